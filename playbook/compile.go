package playbook

import (
	"fmt"
	"io/fs"
	"os"
	slashpath "path"
	"path/filepath"
	"strings"
	"time"
	_ "time/tzdata" // a zone must not hang on what the host has installed

	"cel.dev/cel-go/cel"

	"tidemark/schemas"
)

// Load reads and compiles the file at path, and the parameters files that it
// names, from its own folder. The error is an *Errors unless the file can't be
// read.
func Load(path string) (*Playbook, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("playbook: %w", err)
	}
	text, err = Resolve(text, path, func(file string) ([]byte, error) {
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(path), file)
		}
		return os.ReadFile(file)
	})
	if err != nil {
		return nil, err
	}
	return Compile(text, path)
}

// LoadFS is Load in a file system, such as the one that the binary carries.
func LoadFS(fsys fs.FS, name string) (*Playbook, error) {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("playbook: %w", err)
	}
	text, err = Resolve(text, name, func(file string) ([]byte, error) {
		return fs.ReadFile(fsys, slashpath.Join(slashpath.Dir(name), file))
	})
	if err != nil {
		return nil, err
	}
	return Compile(text, name)
}

// Compile turns a text into rules; name is the file's name in messages. The
// error, if any, is an *Errors with every problem of the text.
func Compile(text []byte, name string) (*Playbook, error) {
	root, problems := parse(text)
	p := &builder{c: &compiler{zone: time.UTC, problems: problems}, taken: map[string]string{}}
	if root != nil {
		p.build(root)
	}
	if len(p.c.problems) > 0 {
		e := &Errors{File: name, Problems: p.c.problems}
		e.sort()
		return nil, e
	}
	p.out.Text = append([]byte(nil), text...)
	return &p.out, nil
}

// builder fills a Playbook in the order in which later parts need earlier ones.
type builder struct {
	c   *compiler
	out Playbook

	taken       map[string]string // rule name -> path of its first use
	growthNames []string          // "" where the name was refused: indices stay true
	churnNames  []string
	env         *conditionEnv
	events      *cel.Env // of conditions over one event
	known       Names    // of facts and rules of phases
	written     []written
	root        *block
	byTier      []*block // multipliers for levels

	correctWithin, maxAge   schemas.EventTime // of defaults
	longest, longestCorrect schemas.EventTime
}

const zoneForm = "a name of the IANA time zone database, such as Asia/Shanghai, Europe/London or UTC"

var commonZones = []string{"UTC", "Asia/Shanghai", "Asia/Hong_Kong", "Asia/Taipei", "Asia/Singapore", "Asia/Tokyo", "Asia/Seoul",
	"Asia/Kolkata", "Asia/Dubai", "Europe/London", "Europe/Paris", "Europe/Berlin", "America/New_York", "America/Chicago",
	"America/Los_Angeles", "America/Sao_Paulo", "Australia/Sydney"}

func (p *builder) build(root *node) {
	c, out := p.c, &p.out
	b := c.open(root, "", "", "")
	out.Name = b.name("playbook")
	version := "1"
	if s, v, ok := b.scalar("version", versionForm); ok {
		if version = s; !isVersion(s) {
			c.problem(v, "version", fmt.Sprintf("%q is not a version", shorten(s)), versionForm)
		}
	}
	out.Version = versionOf(root, version)
	out.Clock = map[string]Clock{"live": Live, "input": Input}[b.choice("clock", "live", "live", "input")]
	p.zone(b)
	p.currency(b)
	rates := c.rates(b.get("rates"))
	out.Rates = rates
	out.CountsAtPlaced = b.choice("counts_at", "PAID", "PAID", "PLACED") == "PLACED"
	out.Disorder = b.duration("disorder", 10*schemas.Minute, 0, 7*schemas.Day)
	out.PublishDelay = b.duration("publish_delay", 2*schemas.Second, 0, schemas.Hour)
	out.Future = b.duration("future", 10*schemas.Minute, 0, 7*schemas.Day)
	out.RefundWait = b.duration("refund_wait", 30*schemas.Day, 0, 3650*schemas.Day)
	out.UnlinkedApply = b.choice("unlinked", "apply", "apply", "dead-letter") == "apply"
	out.MaxEventBytes = int(b.integer("max_event_bytes", 1<<20, 1<<10, 64<<20))
	out.PauseAfterDead = 100
	if v := b.get("dead_letters"); v != nil {
		d := c.open(v, "dead_letters", "dead_letters", "")
		out.PauseAfterDead = int(d.integer("pause_after", 100, 1, 1_000_000))
	}
	out.Salt = b.text("salt", out.Name)
	p.correctWithin = defaultCorrectWithin
	if v := b.get("defaults"); v != nil {
		d := c.open(v, "defaults", "defaults", "")
		p.correctWithin = p.readCorrectWithin(d)
		p.maxAge = p.readMaxAge(d)
	}
	p.longestCorrect = p.correctWithin
	p.rules(b)
	p.horizon(b)
}

const versionForm = "1 to 32 letters, digits, dots, dashes and underscores, such as 3 or 2024.1"

func isVersion(s string) bool {
	return len(s) >= 1 && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

func (p *builder) zone(b *block) {
	p.out.Zone = time.UTC
	b.need("time_zone", zoneForm)
	s, v, ok := b.scalar("time_zone", zoneForm)
	if !ok {
		return
	}
	zone, err := time.LoadLocation(s)
	if err != nil || s == "" || s == "Local" {
		p.c.problem(v, "time_zone", fmt.Sprintf("unknown time zone %q%s", shorten(s), didYouMean(s, commonZones)), zoneForm)
		return
	}
	p.out.Zone, p.c.zone = zone, zone
}

func (p *builder) currency(b *block) {
	const form = "a code of ISO 4217, such as CNY, USD or GBP"
	b.need("currency", form)
	s, v, ok := b.scalar("currency", form)
	if !ok {
		return
	}
	if _, known := Exponent(s); !known {
		p.c.problem(v, "currency", unknownCurrency(s), form)
		return
	}
	p.out.Currency, p.c.currency = s, s
}

func (p *builder) rules(b *block) {
	out := &p.out
	each := func(key string, read func(n *node, path string)) {
		for i, n := range b.list(key, "a list of rules") {
			read(n, fmt.Sprintf("%s[%d]", key, i))
		}
	}
	p.root = b
	p.facts(b)
	factsText := ""
	if v := b.get("facts"); v != nil {
		factsText = string(canonical(nil, v))
	}
	each("growth", func(n *node, path string) {
		g := p.growth(n, path, factsText)
		p.rewarded(&g, "growth")
		out.Growth = append(out.Growth, g)
		p.growthNames = append(p.growthNames, out.Growth[len(out.Growth)-1].Name)
	})
	each("tiers", func(n *node, path string) { out.Tiers = append(out.Tiers, p.tier(n, path, factsText)) })
	each("ledgers", func(n *node, path string) { out.Ledgers = append(out.Ledgers, p.ledger(n, path, factsText)) })
	p.multiplyByTier()
	each("rfm", func(n *node, path string) { out.RFM = append(out.RFM, p.rfm(n, path)) })
	each("churn", func(n *node, path string) {
		out.Churn = append(out.Churn, p.churn(n, path))
		p.churnNames = append(p.churnNames, out.Churn[len(out.Churn)-1].Name)
		p.needs(year) // a warning tells the net spend of the 365 days before
	})
	p.foretell(b)
	p.phases(b)
	p.customerZone(b)
	p.touchPolicy(b)
	p.globalControl(b)
	each("recall", func(n *node, path string) { out.Recall = append(out.Recall, p.recall(n, path)) })
	each("benefits", func(n *node, path string) { out.Ledgers = append(out.Ledgers, p.benefit(n, path, factsText)) })
	p.calendar(b)
	each("sop", func(n *node, path string) { out.Sops = append(out.Sops, p.sop(n, path)) })
	p.sopStreams()
	p.touchFacts()
}

// year is the window of the facts orders_365d and spend_365d_minor and of the value at stake.
const year = 365 * schemas.Day

// needs notes that history is read so far back.
func (p *builder) needs(d schemas.EventTime) { p.longest = max(p.longest, d) }

func (p *builder) horizon(b *block) {
	p.needs(p.out.RefundWait)
	p.out.Horizon = p.longest + p.longestCorrect
	v := b.get("horizon")
	if v == nil {
		return
	}
	p.out.Horizon = b.duration("horizon", p.out.Horizon, 0, 2*maxDuration)
	if p.out.Horizon < p.longest {
		p.c.problem(v, "horizon", fmt.Sprintf("%s is shorter than the longest window that a rule reads", FormatDuration(p.out.Horizon)),
			fmt.Sprintf("at least %s", FormatDuration(p.longest)))
	}
}

// ruleName reads the name of a rule and holds it against all others: a rule's
// identity, and that of its triggers, is its name.
func (p *builder) ruleName(b *block) string { return p.ruleNamed(b, "name") }

func (p *builder) ruleNamed(b *block, key string) string {
	name := b.name(key)
	if name == "" {
		return ""
	}
	if first, taken := p.taken[name]; taken {
		p.c.problem(b.get(key), b.at(key), fmt.Sprintf("the name %q is taken by %s", name, first), "a name of its own for every rule")
		return name
	}
	p.taken[name] = b.path
	return name
}

func (p *builder) common(b *block) Common { return p.commonAs(b, "name") }

// commonAs is common where the rule's name stands under another key.
func (p *builder) commonAs(b *block, key string) Common {
	c := Common{Name: p.ruleNamed(b, key), CorrectWithin: p.correctWithin, MaxAge: p.maxAge}
	c.CoolDown = b.duration("cool_down", 0, schemas.Minute, 3650*schemas.Day)
	c.Once = b.choice("once", "false", "true", "false") == "true"
	if b.get("correct_within") != nil {
		c.CorrectWithin = p.readCorrectWithin(b)
	}
	if b.get("max_age") != nil {
		c.MaxAge = p.readMaxAge(b)
	}
	p.longestCorrect = max(p.longestCorrect, c.CorrectWithin)
	return c
}

func (p *builder) readCorrectWithin(b *block) schemas.EventTime {
	return b.duration("correct_within", defaultCorrectWithin, 0, 3650*schemas.Day)
}

// readMaxAge reads a duration or none.
func (p *builder) readMaxAge(b *block) schemas.EventTime {
	if v := b.get("max_age"); v != nil && v.kind == scalarNode && v.text == "none" {
		return 0
	}
	return b.duration("max_age", 0, schemas.Minute, 3650*schemas.Day)
}

// refer reads the name of another rule and gives its index.
func (p *builder) refer(b *block, key, what string, names []string) int {
	allowed := "the name of a " + what
	var known []string
	for _, n := range names {
		if n != "" {
			known = append(known, n)
		}
	}
	if len(known) > 0 {
		allowed = strings.Join(known, ", ")
	}
	b.need(key, allowed)
	s, v, ok := b.scalar(key, allowed)
	if !ok {
		return 0
	}
	for i, n := range names {
		if n == s && s != "" {
			p.out.reads(Ref{what, n})
			return i
		}
	}
	p.c.problem(v, b.at(key), fmt.Sprintf("there is no %s %q%s", what, shorten(s), didYouMean(s, known)), allowed)
	return 0
}

// condition compiles the CEL under key; absent, it holds for everyone.
func (p *builder) condition(b *block, key string) Condition {
	if p.env == nil {
		p.env = newConditionEnv(p.names())
	}
	const allowed = "a condition such as orders >= 2 && spend_minor >= 5000"
	b.need(key, allowed+`, or "true" for everyone`)
	source, v, ok := b.scalar(key, allowed)
	if !ok {
		return nil
	}
	cond, problems := p.env.compile(source)
	for _, q := range problems {
		line, column := v.place(q.line, q.column)
		p.c.problems = append(p.c.problems, Problem{Line: line, Column: column, Path: b.at(key),
			Problem: fmt.Sprintf("%s (at character %d of the condition)", q.text, q.offset+1), Allowed: q.allowed})
	}
	if cond == nil {
		return nil
	}
	for _, ref := range cond.refs {
		p.out.reads(ref)
	}
	for _, fact := range cond.reads {
		if f, ok := p.out.FactNamed(fact); ok && (f.Kind == FactAverage || f.Kind == FactRatio) && !cond.native {
			p.c.problem(v, b.at(key), fmt.Sprintf("%s moves all the time, and only a comparison with a number says when to look", fact), fact+" >= 100000 and the like, joined by && and ||")
			return nil
		}
		if fact == "orders_365d" || fact == "spend_365d_minor" {
			p.needs(year)
		}
	}
	return cond
}

func (p *builder) names() Names {
	n := p.known
	n.Churn, n.Tiers = p.churnNames, map[string][]string{}
	for _, t := range p.out.Tiers {
		for _, l := range t.Levels {
			n.Tiers[t.Name] = append(n.Tiers[t.Name], l.Name)
		}
		if len(t.Levels) == 0 {
			n.Tiers[t.Name] = nil
		}
	}
	for _, r := range p.out.RFM {
		n.RFM = append(n.RFM, r.Name)
	}
	return n
}
