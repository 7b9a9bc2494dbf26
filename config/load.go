package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"tidemark/spelling"
)

// Load reads the file at path, puts the variables of environ (as os.Environ
// gives them) over it, fills in what is derived and checks everything. With
// path "" the environment alone is read.
//
// need names fields that the caller cannot do without although others can, by
// their path in the file, such as "playbook"; what playbook names must then
// be there to be read.
//
// The error is nil or an *Errors, and then there is no Config.
func Load(path string, environ []string, need ...string) (*Config, error) {
	l := newLoader(path, environ)
	if path != "" {
		l.readFile(path)
	}
	l.readEnvironment()
	l.derive()
	l.check(need)
	if err := asError(l.problems); err != nil {
		return nil, err
	}
	return l.config, nil
}

// loader gathers the problems while the Config is filled. After a problem a
// field keeps its default, so that the rest is still looked at.
type loader struct {
	file     string
	environ  map[string]string
	config   *Config
	origins  map[string]place
	fields   []field
	table    map[string]*field // by path
	blocks   map[string]bool   // by path
	paths    []string          // blocks and fields, in the order of the table
	problems []Problem
	bad      map[string]bool // fields with a problem: no relation is checked on them
	broken   bool            // the file could not be read at all
}

func newLoader(file string, environ []string) *loader {
	l := &loader{file: file, config: Default(), environ: map[string]string{}, origins: map[string]place{},
		table: map[string]*field{}, blocks: map[string]bool{}, bad: map[string]bool{}}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			l.environ[name] = value
		}
	}
	l.config.file, l.config.origins = file, l.origins
	l.fields = l.config.fields()
	for _, b := range blocks {
		l.blocks[b.path] = true
		l.paths = append(l.paths, b.path)
	}
	for i := range l.fields {
		l.table[l.fields[i].path] = &l.fields[i]
		l.paths = append(l.paths, l.fields[i].path)
	}
	return l
}

// children returns the words that may stand directly under a path.
func (l *loader) children(path string) []string {
	var out []string
	for _, f := range l.fields {
		rest := f.path
		if path != "" {
			var ok bool
			if rest, ok = strings.CutPrefix(f.path, path+"."); !ok {
				continue
			}
		}
		word, _, _ := strings.Cut(rest, ".")
		if !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return out
}

func (l *loader) add(path string, p Problem) {
	if path != "" {
		l.bad[path] = true
	}
	l.problems = append(l.problems, p)
}

// fault tells of a value at a place; what it shows of a secret is nothing.
func (l *loader) fault(f *field, at place, value string, w fault) {
	p := Problem{Field: f.path, Problem: w.problem, Allowed: w.allowed, Cure: w.cure}
	if f.kind != secretKind && value != "" {
		p.Value = quote(value)
	}
	if w.item >= 0 {
		p.Field = fmt.Sprintf("%s[%d]", f.path, w.item)
	}
	l.locate(&p, at)
	l.add(f.path, p)
}

// locate sets the place of a problem; what has none is said of the file as a whole.
func (l *loader) locate(p *Problem, at place) {
	if at.variable != "" {
		p.Variable = at.variable
		return
	}
	p.File, p.Line, p.Column = l.file, at.line, at.column
}

func (l *loader) read(f *field, value string, at place) {
	for _, w := range f.read(value, l.getenv) {
		shown := value
		if items := split(value); w.item >= 0 && w.item < len(items) {
			shown = items[w.item]
		}
		l.fault(f, at, shown, w)
	}
}

func (l *loader) getenv(name string) (string, bool) {
	v, ok := l.environ[name]
	return v, ok
}

func (l *loader) readFile(path string) {
	text, err := readSmall(path, maxFile)
	if err != nil {
		p := Problem{File: path, Problem: fmt.Sprintf("the configuration cannot be read: %v", err),
			Allowed: fmt.Sprintf("a YAML file of at most %s", formatSize(maxFile)), Cure: "check the path"}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			p.Cure = "check the path, or begin with a copy of tidemark.example.yaml"
			if wd, err := os.Getwd(); err == nil {
				p.Cure += "; the working directory is " + wd
			}
		case errors.Is(err, fs.ErrPermission):
			p.Cure = "let Tidemark's user read the file"
		}
		l.broken = true
		l.add("", p)
		return
	}
	root, problem := parse(text)
	if problem != nil {
		l.broken = true
		problem.File = path
		l.add("", *problem)
		return
	}
	if root != nil {
		d := &document{loader: l, seen: map[string]place{}}
		d.block(root, "", place{line: 1, column: 1})
	}
}

// Variables that begin with TIDEMARK_ and are none of Load's: the command
// line's own, those of this project's tests, and those that Kubernetes sets in
// every pod beside a service that is named tidemark or tidemark-SOMETHING.
var (
	foreign = map[string]bool{prefix + "CONFIG": true, prefix + "KAFKA": true, prefix + "ONLINE_RETAIL": true}
	service = regexp.MustCompile(`^TIDEMARK_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)$`)
)

func (l *loader) readEnvironment() {
	byName := map[string]*field{}
	var names []string
	for i := range l.fields {
		name := variable(l.fields[i].path)
		byName[name] = &l.fields[i]
		names = append(names, name)
	}
	for _, name := range slices.Sorted(maps.Keys(l.environ)) {
		value := l.environ[name]
		f := byName[name]
		switch {
		case f != nil && value != "":
			at := place{variable: name}
			l.origins[f.path] = at
			l.read(f, value, at)
		case f != nil, !strings.HasPrefix(name, prefix), foreign[name],
			strings.HasPrefix(name, prefix+"TEST_"), service.MatchString(name):
		default:
			if l.stray(name, names) {
				continue
			}
			cure := "unset it, or see tidemark.example.yaml for the keys there are"
			if under := l.variablesUnder(name); len(under) > 0 {
				cure = "it is a block: set its keys, such as " + under[0]
			} else if w := spelling.Nearest(name, names); w != "" {
				cure = fmt.Sprintf("did you mean %s?", w)
			}
			l.add("", Problem{Variable: shorten(name), Problem: "sets nothing", Cure: cure,
				Allowed: "TIDEMARK_ and the key in capitals, two underscores for each dot, such as TIDEMARK_KAFKA__BROKERS"})
		}
	}
}

// maxSlip is how far from a known name a misspelling of it may be, see spelling.Distance.
const maxSlip = 2

// stray reports whether a variable that sets nothing is as like as not somebody
// else's, and keeps it for Warnings. A block's name, a key under a block and a
// near miss are meant for us, and so a mistake.
func (l *loader) stray(name string, names []string) bool {
	if strings.Contains(name[len(prefix):], "__") || len(l.variablesUnder(name)) > 0 {
		return false
	}
	text := fmt.Sprintf("the environment variable %s is not one of Tidemark's and sets nothing", shorten(name))
	for _, known := range names {
		// Underscores are what is forgotten most.
		if spelling.Distance(name, known, maxSlip) <= maxSlip || strings.ReplaceAll(name, "_", "") == strings.ReplaceAll(known, "_", "") {
			return false
		}
	}
	if w := spelling.Nearest(name, names); w != "" {
		text += "; the nearest name is " + w
	}
	l.config.strays = append(l.config.strays, text)
	return true
}

// variablesUnder lists the variables of the block whose variable it would be.
func (l *loader) variablesUnder(name string) (out []string) {
	for _, f := range l.fields {
		if v := variable(f.path); strings.HasPrefix(v, name+"__") {
			out = append(out, v)
		}
	}
	return out
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// derive fills in what depends on the app and on the process.
func (l *loader) derive() {
	c := l.config
	if c.Kafka.ClientID == "" {
		c.Kafka.ClientID = "tidemark-" + c.App
	}
	if c.Kafka.Group == "" {
		c.Kafka.Group = "tidemark-" + c.App
	}
	if c.Instance == "" {
		host, err := os.Hostname()
		if host = notInNames.ReplaceAllString(host, "-"); err != nil || host == "" {
			host = "localhost"
		}
		c.Instance = fmt.Sprintf("%s-%d", host[:min(len(host), 100)], os.Getpid())
	}
}

// check looks at what is missing, at what hangs on several values and at the
// files that are named. A file that could not be read as a whole is problem
// enough: what is missing then stands in it, as like as not.
func (l *loader) check(need []string) {
	if l.broken {
		return
	}
	l.missing(need)
	l.relations()
	if slices.Contains(need, "playbook") && !l.bad["playbook"] {
		if _, err := readSmall(l.config.Playbook, maxPlaybook); err != nil {
			l.fileFault("playbook", err, "check the path, or let Tidemark's user read the file")
		}
	}
	if l.config.Kafka.TLS.Enabled {
		l.tlsFiles("kafka.tls.", l.config.Kafka.TLS.TLS)
	}
	l.tlsFiles("schema_registry.tls.", l.config.SchemaRegistry.TLS)
	h := l.config.HTTP.TLS
	if l.config.HTTP.Listen == "off" || l.bad["http.tls.cert_file"] || l.bad["http.tls.key_file"] || l.bad["http.tls.client_ca_file"] {
		return
	}
	_, own := ownCertificate(h.CertFile, h.KeyFile)
	_, clients := authorities("client_ca_file", h.ClientCAFile)
	for _, err := range []error{own, clients} {
		if f := new(FileError); errors.As(err, &f) {
			l.fileFault("http.tls."+f.Key, f.Err, "give a PEM file that Tidemark's user can read")
		}
	}
}

const maxPlaybook = 1 << 20 // bytes; above the playbook's own limit, which its compiler tells better

func (l *loader) missing(need []string) {
	for _, path := range need {
		if l.table[path] == nil {
			panic("config: Load needs a field that does not exist: " + path)
		}
	}
	for i := range l.fields {
		f := &l.fields[i]
		if !f.required && !slices.Contains(need, f.path) || l.bad[f.path] || f.isSet() {
			continue
		}
		p := Problem{Field: f.path, Problem: "is missing", Allowed: f.allowed(), Cure: "set " + variable(f.path)}
		if l.file != "" {
			p.Cure = fmt.Sprintf("add %s to the file, or set %s", f.example(), variable(f.path))
		}
		l.locate(&p, l.origins[f.path])
		l.add(f.path, p)
	}
}

func (l *loader) fileFault(path string, err error, cure string) {
	f := l.table[path]
	l.fault(f, l.origins[path], f.text(), fault{fmt.Sprintf("cannot be used: %v", err), "a file that can be read", cure, -1})
}

// tlsFiles tries the files of one block, unless a relation failed already.
func (l *loader) tlsFiles(at string, t TLS) {
	for _, f := range tlsFields(at, &t) {
		if l.bad[f.path] {
			return
		}
	}
	// The authorities first and alone, so that both are told if both are wrong.
	for _, part := range []TLS{{CAFile: t.CAFile}, {CertFile: t.CertFile, KeyFile: t.KeyFile}} {
		_, err := part.ClientConfig()
		var f *FileError
		if errors.As(err, &f) {
			l.fileFault(at+f.Key, f.Err, "give a PEM file that Tidemark's user can read")
		}
	}
}

// example is how the field is written in the file.
func (f *field) example() string {
	sample := f.sample
	if sample == "" {
		sample = map[string]string{"playbook": "./playbook.yaml", "schema_registry.folder": "./schemas"}[f.path]
	}
	if f.kind == listKind {
		sample = "[" + sample + "]"
	}
	parts := strings.Split(f.path, ".")
	s := parts[len(parts)-1] + ": " + sample
	for i := len(parts) - 2; i >= 0; i-- {
		s = parts[i] + ": {" + s + "}"
	}
	return s
}
