package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tidemark/deploy/kafka"
	"tidemark/processor/rights"
	"tidemark/processor/runtime"
	"tidemark/processor/source"
	"tidemark/schemas"
	"tidemark/testkit"
)

// documented is a row of the table of rights in docs/kafka.md, for one program
// and one operation; its name is still the table's.
type documented struct {
	program   string
	resource  string
	name      string
	pattern   string
	operation string
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// rightsTable reads docs/kafka.md.
func rightsTable(t *testing.T) (rows []documented) {
	t.Helper()
	text, err := os.ReadFile("../docs/kafka.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "| program | resource | name | pattern | operations |\n")
	if !ok {
		t.Fatal("docs/kafka.md has no table of rights")
	}
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if strings.HasPrefix(cells[0], "-") {
			continue
		}
		if len(cells) != 5 {
			t.Fatalf("a row of %d cells: %s", len(cells), line)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		program := codeSpan.FindStringSubmatch(cells[0])[1]
		if strings.HasSuffix(cells[0], "that makes topics") {
			program = "creating"
		}
		names := codeSpan.FindAllStringSubmatch(cells[2], -1)
		if names == nil {
			names = [][]string{{"", "<out>"}} // "each topic that is read"
		}
		for _, n := range names {
			for op := range strings.SplitSeq(cells[4], ", ") {
				rows = append(rows, documented{program, cells[1], n[1], cells[3], op})
			}
		}
	}
	if len(rows) < 30 {
		t.Fatalf("%d rows only", len(rows))
	}
	return rows
}

// granted fills the names of an app in; <out> becomes eight rows.
func granted(rows []documented, program string, n rights.Names) (out []documented) {
	fill := strings.NewReplacer("<app>", n.App, "<orders>", n.Orders, "<behaviors>", n.Behaviors, "<group>", n.Group, "<dead-letters>", n.DeadLetters)
	for _, r := range rows {
		if r.program != program {
			continue
		}
		names := []string{fill.Replace(r.name)}
		if r.name == "<out>" {
			names = n.Out
		}
		for _, name := range names {
			out = append(out, documented{program, r.resource, name, r.pattern, r.operation})
		}
	}
	return out
}

func securedNames(app string) rights.Names {
	topics := runtime.TopicsOf(app, app+".")
	topics.Orders, topics.Behaviors = app+"-orders", app+"-behaviors"
	c := runtime.Config{App: app, Topics: topics, Group: "tidemark-" + app}
	_, n := c.Rights()
	return n
}

// TestRightsTable: what docs/kafka.md says is what is asked for.
func TestRightsTable(t *testing.T) {
	n := securedNames("shop")
	table := rightsTable(t)
	for program, rules := range map[string][]rights.Rule{"run": rights.Run(n), "creating": rights.Creating(n), "publish": rights.Publish(n),
		"tail": rights.Tail(n.Out...), "dlq replay": rights.Replay(n), "topics check": rights.Look(n), "topics create": slices.Concat(rights.Look(n), rights.Creating(n))} {
		want := map[string]bool{}
		for _, r := range rules {
			name, pattern := r.Granted()
			want[fmt.Sprint(r.Resource, name, pattern, r.Operation)] = true
		}
		got := map[string]bool{}
		for _, r := range granted(table, program, n) {
			key := fmt.Sprint(r.resource, r.name, r.pattern, r.operation)
			if got[key] = true; !want[key] {
				t.Errorf("%s: %+v is documented and not asked for", program, r)
			}
		}
		for key := range want {
			if !got[key] {
				t.Errorf("%s: %s is asked for and not documented", program, key)
			}
		}
	}
}

// secured is a real Kafka with an authorizer, and an app on it.
type secured struct {
	*world
	node  *kafka.Node
	admin *kgo.Client
	names rights.Names
	table []documented
	began time.Time
}

var passwords = map[string]string{kafka.Admin: "admin-secret", "tidemark": "tidemark-secret", "publisher": "publisher-secret", "consumer": "consumer-secret", "operator": "operator-secret"}

func newSecured(t *testing.T, properties map[string]string) *secured {
	t.Helper()
	if os.Getenv("TIDEMARK_TEST_SECURE") == "" {
		t.Skip("starts Java; make test-secure runs it")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	node, err := kafka.Start(ctx, kafka.Options{Users: passwords, Properties: properties})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Kill(); node.Close() }) // an orderly stop takes half a minute, and nothing is kept
	admin, err := kgo.NewClient(append(node.Secured().Client(kafka.Admin), kgo.SeedBrokers(node.Addr()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	w := &world{t: t, app: testkit.Unique(t, "sec"), broker: node.Addr(), url: testkit.Registry(t), tasks: 2, log: &lines{}}
	s := &secured{world: w, node: node, admin: admin, names: securedNames(w.app), table: rightsTable(t), began: time.Now()}
	return s
}

var (
	resources  = map[string]kmsg.ACLResourceType{"Topic": kmsg.ACLResourceTypeTopic, "Group": kmsg.ACLResourceTypeGroup, "TransactionalId": kmsg.ACLResourceTypeTransactionalId}
	patterns   = map[string]kmsg.ACLResourcePatternType{"literal": kmsg.ACLResourcePatternTypeLiteral, "prefixed": kmsg.ACLResourcePatternTypePrefixed}
	operations = map[string]kmsg.ACLOperation{"Read": kmsg.ACLOperationRead, "Write": kmsg.ACLOperationWrite, "Create": kmsg.ACLOperationCreate,
		"Describe": kmsg.ACLOperationDescribe, "DescribeConfigs": kmsg.ACLOperationDescribeConfigs}
)

// grant gives rights and returns once the authorizer has them.
func (s *secured) grant(principal string, rows ...documented) {
	s.t.Helper()
	if len(rows) == 0 {
		s.t.Fatal("no rights to grant")
	}
	req := kmsg.NewPtrCreateACLsRequest()
	for _, r := range rows {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType = resources[r.resource], r.name, patterns[r.pattern]
		c.Principal, c.Host, c.Operation, c.PermissionType = "User:"+principal, "*", operations[r.operation], kmsg.ACLPermissionTypeAllow
		req.Creations = append(req.Creations, c)
	}
	res, err := req.RequestWith(testkit.Context(s.t), s.admin)
	if err != nil {
		s.t.Fatal(err)
	}
	for i, r := range res.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			s.t.Fatalf("granting %+v: %v", rows[i], err)
		}
	}
	for _, r := range rows {
		s.await(10*time.Second, "a right to be granted", func() bool { return s.held(principal, r) })
	}
}

func (s *secured) revoke(principal string, rows ...documented) {
	s.t.Helper()
	req := kmsg.NewPtrDeleteACLsRequest()
	for _, r := range rows {
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourceName, f.ResourcePatternType = resources[r.resource], kmsg.StringPtr(r.name), patterns[r.pattern]
		f.Principal, f.Operation, f.PermissionType = kmsg.StringPtr("User:"+principal), operations[r.operation], kmsg.ACLPermissionTypeAllow
		req.Filters = append(req.Filters, f)
	}
	res, err := req.RequestWith(testkit.Context(s.t), s.admin)
	if err != nil {
		s.t.Fatal(err)
	}
	for i, r := range res.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil || len(r.MatchingACLs) != 1 {
			s.t.Fatalf("taking %+v away: %d found, %v", rows[i], len(r.MatchingACLs), err)
		}
	}
	for _, r := range rows {
		s.await(10*time.Second, "a right to be gone", func() bool { return !s.held(principal, r) })
	}
}

func (s *secured) held(principal string, r documented) bool {
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourceName, req.ResourcePatternType = resources[r.resource], kmsg.StringPtr(r.name), patterns[r.pattern]
	req.Principal, req.Operation, req.PermissionType = kmsg.StringPtr("User:"+principal), operations[r.operation], kmsg.ACLPermissionTypeAllow
	res, err := req.RequestWith(testkit.Context(s.t), s.admin)
	if err != nil {
		s.t.Fatal(err)
	}
	return len(res.Resources) > 0
}

// file writes a configuration; security is what stands under kafka.
func (s *secured) file(name, broker, security, more string) string {
	s.t.Helper()
	text := fmt.Sprintf(`app: %s
instance: %s
data_dir: %s
playbook: ../cmd/tidemark/starter.yaml
kafka:
  brokers: ["%s"]
  topics: {orders: %s, behaviors: %s}
  out_prefix: "%s."
%s
schema_registry: {urls: ["%s"]}
commit: {idle_delay: 100ms}
http: {listen: "off"}
restart: {backoff_max: 500ms}
log: {level: info}
%s`, s.app, name, filepath.Join(s.t.TempDir(), name), broker, s.names.Orders, s.names.Behaviors, s.app, security, s.url, more)
	path := filepath.Join(s.t.TempDir(), name+".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// as is the configuration of a user over SCRAM and TLS.
func (s *secured) as(user string) string {
	return s.file(user, s.node.Addr(), fmt.Sprintf("  tls: {enabled: true, ca_file: %q}\n  sasl: {mechanism: scram-sha-512, username: %s, password: %s}",
		s.node.Secured().CAFile(), user, passwords[user]), "")
}

// do runs a verb to its end.
func (s *secured) do(verb, config string, args ...string) (out, said string, code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, tidemark(s.t), append(append(strings.Fields(verb), "--config", config), args...)...)
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TIDEMARK_") })
	err := cmd.Run()
	s.t.Logf("%v tidemark %s: exit %d", time.Since(s.began).Round(time.Millisecond), verb, cmd.ProcessState.ExitCode())
	if ctx.Err() != nil {
		s.t.Fatalf("tidemark %s does not end:\n%s", verb, e.String())
	}
	if err != nil && cmd.ProcessState.ExitCode() < 0 {
		s.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// must runs a verb that has to work.
func (s *secured) must(verb, config string, args ...string) string {
	s.t.Helper()
	out, said, code := s.do(verb, config, args...)
	if code != 0 {
		s.t.Fatalf("tidemark %s: exit %d\n%s%s", verb, code, out, said)
	}
	return out
}

// names checks that a message names a missing right.
func (s *secured) told(said, principal string, r documented) string {
	want := fmt.Sprintf("does not allow User:%s the operation %s on %s %s", principal, r.operation, r.resource, r.name)
	grant := fmt.Sprintf("--operation %s --%s '%s' --resource-pattern-type %s", r.operation,
		map[string]string{"Topic": "topic", "Group": "group", "TransactionalId": "transactional-id"}[r.resource], r.name, r.pattern)
	if !strings.Contains(said, want) {
		return want
	}
	if !strings.Contains(said, grant) {
		return grant
	}
	return ""
}

// each takes every right away in turn: the verb must fail and name it.
func (s *secured) each(principal string, rows []documented, verb, config string, args ...string) {
	s.t.Helper()
	for _, r := range rows {
		s.revoke(principal, r)
		_, said, code := s.do(verb, config, args...)
		if code != 1 {
			s.t.Errorf("%s without %s on %s %s: exit %d, want 1\n%s", verb, r.operation, r.resource, r.name, code, said)
		}
		if want := s.told(said, principal, r); want != "" {
			s.t.Errorf("%s without %s on %s %s: it does not say %q\n%s", verb, r.operation, r.resource, r.name, want, said)
		}
		s.grant(principal, r)
	}
}

// unmade deletes the topics that a right to create is about and takes it away:
// the verb must fail and name it.
func (s *secured) unmade(principal string, r documented, verb, config string, args ...string) {
	s.t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 10_000
	for _, name := range append(s.names.Out, s.names.Orders, s.names.Behaviors, s.names.Journal, s.names.Control, s.names.Transfers) {
		if name == r.name || r.pattern == "prefixed" && strings.HasPrefix(name, r.name) {
			rt := kmsg.NewDeleteTopicsRequestTopic()
			rt.Topic = kmsg.StringPtr(name)
			req.Topics, req.TopicNames = append(req.Topics, rt), append(req.TopicNames, name)
		}
	}
	if _, err := req.RequestWith(testkit.Context(s.t), s.admin); err != nil {
		s.t.Fatal(err)
	}
	s.revoke(principal, r)
	_, said, code := s.do(verb, config, args...)
	if want := s.told(said, principal, r); code != 1 || want != "" {
		s.t.Errorf("%s without Create on %s: exit %d, it does not say %q\n%s", verb, r.name, code, want, said)
	}
	if strings.Count(said, "the operation") > max(len(req.Topics), 1) {
		s.t.Errorf("%s without Create on %s names more than that:\n%s", verb, r.name, said)
	}
	s.grant(principal, r)
}

// paid is an order of a customer that takes her to the second tier, as a line.
func paid(customer string) string {
	text, _ := json.Marshal(map[string]any{"event_id": customer + "-paid", "customer_id": customer, "order_id": customer + "-1", "type": "PAID",
		"occurred_at": time.Now().UnixMilli(), "amount_minor": 12000, "currency": "USD", "channel": "web", "items": []any{}, "attributes": map[string]string{}})
	return string(text) + "\n"
}

func (s *secured) events(customers ...string) string {
	path := filepath.Join(s.t.TempDir(), "events.jsonl")
	var b strings.Builder
	for _, c := range customers {
		b.WriteString(paid(c))
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// run starts `tidemark run` and waits for its tasks.
func (s *secured) run(name, config string) *child {
	s.t.Helper()
	c := s.spawn(name, config)
	s.await(testkit.Limit, "an assignment", func() bool {
		c.died(s.t)
		return c.log.has("msg=assignment")
	})
	s.t.Logf("%v tidemark run has tasks", time.Since(s.began).Round(time.Millisecond))
	return c
}

// upgraded waits until a consumer sees the customer's second tier.
func (s *secured) upgraded(config, customer string) {
	s.t.Helper()
	out := s.must("tail", config, "--from-beginning", "--customer", customer, "--max", "1", s.app+"."+string(schemas.TierChanges))
	if !strings.Contains(out, `"to_tier":"Silver"`) && !strings.Contains(out, customer) {
		s.t.Fatalf("the first tier change of %s: %s", customer, out)
	}
}

// TestSecuredRights is the promise of docs/kafka.md, "Access rights".
func TestSecuredRights(t *testing.T) {
	s := newSecured(t, nil)
	rows := func(program string) []documented { return granted(s.table, program, s.names) }
	tidemark, publisher, consumer, operator := s.as("tidemark"), s.as("publisher"), s.as("consumer"), s.as("operator")

	// Making topics, by the verb and by run.
	making := rows("topics create")
	s.grant("operator", making...)
	s.must("topics create", operator, "--partitions", "2")
	for _, r := range making {
		if r.operation == "Create" {
			s.unmade("operator", r, "topics create", operator, "--partitions", "2")
			s.must("topics create", operator, "--partitions", "2")
		}
	}
	s.grant("tidemark", append(rows("run"), rows("creating")...)...)
	for _, r := range rows("creating") {
		if r.pattern == "prefixed" || r.name == s.names.Behaviors || r.name == s.names.DeadLetters {
			s.unmade("tidemark", r, "run", tidemark)
		}
	}
	s.must("topics create", operator, "--partitions", "2")
	s.revoke("operator", making...)
	s.revoke("tidemark", rows("creating")...)

	look := rows("topics check")
	s.grant("operator", look...)
	s.must("topics check", operator)
	s.each("operator", look, "topics check", operator)

	// All of it works.
	c := s.run("tidemark", tidemark)
	events := s.events("anna", "berta")
	s.grant("publisher", rows("publish")...)
	s.must("publish", publisher, events)
	tiers := s.app + "." + string(schemas.TierChanges)
	reading := slices.DeleteFunc(rows("tail"), func(r documented) bool { return r.name != tiers })
	s.grant("consumer", reading...)
	s.upgraded(consumer, "anna")
	s.upgraded(consumer, "berta")

	// A right that goes while tasks run, and comes back.
	write := slices.DeleteFunc(rows("run"), func(r documented) bool { return r.name != tiers })
	s.revoke("tidemark", write...)
	s.must("publish", publisher, s.events("clara"))
	s.await(testkit.Limit, "the log to name the right", func() bool {
		c.died(t)
		return s.told(c.log.last(20), "tidemark", write[0]) == ""
	})
	s.grant("tidemark", write...)
	s.upgraded(consumer, "clara")

	// Write on transactional ids beyond Describe shows at the first use.
	ids := slices.DeleteFunc(rows("run"), func(r documented) bool { return r.resource != "TransactionalId" })
	describe := ids[0]
	describe.operation = "Describe"
	s.grant("tidemark", describe)
	c.end(t)
	s.revoke("tidemark", ids...)
	c = s.run("tidemark", tidemark)
	s.await(testkit.Limit, "the log to name the transactional id", func() bool {
		c.died(t)
		return s.told(c.log.last(20), "tidemark", ids[0]) == ""
	})
	s.grant("tidemark", ids...)
	s.revoke("tidemark", describe)
	s.must("publish", publisher, s.events("dora"))
	s.upgraded(consumer, "dora")

	// Dead letters are put back.
	record := testkit.EventRecord(testkit.Register(t, s.names.Orders, "OrderEvent"), order(1, "emma", schemas.Paid, "o1", schemas.EventTime(time.Now().UnixMilli()), 12000))
	if err := s.astray(record); err != nil {
		t.Fatal(err)
	}
	s.grant("operator", rows("dlq replay")...)
	s.await(testkit.Limit, "the dead letter", func() bool {
		out, _, _ := s.do("dlq list", operator, "--format", "json")
		return strings.Contains(out, "wrong_partition")
	})
	s.each("operator", rows("dlq replay"), "dlq replay", operator, "--all")
	if out := s.must("dlq list", operator, "--format", "json"); strings.Count(out, "\n") != 1 {
		t.Errorf("dead letters: %s", out)
	}
	s.must("dlq replay", operator, "--all")
	s.upgraded(consumer, "emma")
	c.end(t)

	// And each right in turn.
	s.each("tidemark", rows("run"), "run", tidemark)
	s.each("publisher", rows("publish"), "publish", publisher, events)
	s.each("consumer", reading, "tail", consumer, "--exit-at-end", tiers)
}

// astray writes a record to the partition that is not its key's.
func (s *secured) astray(r *kgo.Record) error {
	client, err := kgo.NewClient(append(s.node.Secured().Client(kafka.Admin), kgo.SeedBrokers(s.node.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return err
	}
	defer client.Close()
	r.Topic = s.names.Orders
	r.Partition = 1 - source.Partition(r.Key, 2)
	return client.ProduceSync(testkit.Context(s.t), r).FirstErr()
}

// TestSecuredByCertificate: the same without a password.
func TestSecuredByCertificate(t *testing.T) {
	s := newSecured(t, nil)
	rows := granted(s.table, "run", s.names)
	cert, key, err := s.node.Secured().Certificate("lifecycle")
	if err != nil {
		t.Fatal(err)
	}
	config := s.file("lifecycle", s.node.Secured().Mutual(), fmt.Sprintf("  tls: {enabled: true, ca_file: %q, cert_file: %q, key_file: %q}", s.node.Secured().CAFile(), cert, key), "")
	s.grant("CN=lifecycle", append(rows, granted(s.table, "creating", s.names)...)...)
	c := s.run("lifecycle", config)
	s.grant("publisher", granted(s.table, "publish", s.names)...)
	s.grant("consumer", granted(s.table, "tail", s.names)...)
	s.must("publish", s.as("publisher"), s.events("anna"))
	s.upgraded(s.as("consumer"), "anna")
	c.end(t)
	s.each("CN=lifecycle", rows[:1], "run", config)
}

// TestSecuredByToken: tokens from an endpoint, checked by Kafka against the
// provider's keys. The broker ends sessions early, so that connections are made
// anew with new tokens while the process works.
func TestSecuredByToken(t *testing.T) {
	s := newSecured(t, map[string]string{"listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms": "4000"})
	var tokens atomic.Int64
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, secret, _ := r.BasicAuth(); id != "tidemark" || secret != "topsecret" || r.FormValue("scope") != "kafka" {
			http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
			return
		}
		tokens.Add(1)
		token, err := s.node.Secured().Token("lifecycle", time.Now(), 5*time.Second)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":5}`, token)
	}))
	t.Cleanup(provider.Close)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("topsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	security := fmt.Sprintf("  tls: {enabled: true, ca_file: %q}\n  sasl: {mechanism: oauthbearer, oauth: {token_url: %q, client_id: tidemark, client_secret: %q, scope: kafka}}",
		s.node.Secured().CAFile(), provider.URL, "file:"+file)
	config := s.file("lifecycle", s.node.Addr(), security, "")
	rows := granted(s.table, "run", s.names)
	s.grant("lifecycle", append(rows, granted(s.table, "creating", s.names)...)...)
	c := s.run("lifecycle", config)
	s.grant("publisher", granted(s.table, "publish", s.names)...)
	s.grant("consumer", granted(s.table, "tail", s.names)...)
	publisher, consumer := s.as("publisher"), s.as("consumer")
	for i := range 4 {
		customer := fmt.Sprint("anna-", i)
		s.must("publish", publisher, s.events(customer))
		s.upgraded(consumer, customer)
	}
	if n := tokens.Load(); n < 2 {
		t.Errorf("%d tokens", n)
	}
	c.end(t)
	t.Logf("%d tokens; the log ends:\n%s", tokens.Load(), c.log.last(20))

	// Nobody knows the principal of a token but the broker.
	s.revoke("lifecycle", rows[0])
	_, said, code := s.do("run", config)
	if want := "does not allow this client the operation " + rows[0].operation; code != 1 || !strings.Contains(said, want) {
		t.Errorf("exit %d, it does not say %q:\n%s", code, want, said)
	}
	wrong := s.file("wrong", s.node.Addr(), strings.Replace(security, "file:"+file, "literal:other", 1), "")
	if _, said, code = s.do("run", wrong); code != 1 || !strings.Contains(said, "kafka.sasl.oauth.client_id and client_secret") {
		t.Errorf("a wrong secret: exit %d\n%s", code, said)
	}
	password := s.file("password", s.node.Addr(), fmt.Sprintf("  tls: {enabled: true, ca_file: %q}\n  sasl: {mechanism: scram-sha-512, username: tidemark, password: other}", s.node.Secured().CAFile()), "")
	if _, said, code = s.do("run", password); code != 1 || !strings.Contains(said, "kafka.sasl") {
		t.Errorf("a wrong password: exit %d\n%s", code, said)
	}
}
