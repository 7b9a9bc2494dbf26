package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	otheryaml "go.yaml.in/yaml/v3"

	"tidemark/testkit/soak"
)

// write puts a configuration into a file of its own, named tidemark.yaml.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tidemark.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const least = "app: my-shop\nkafka: {brokers: [localhost:9092]}\nschema_registry: {urls: [http://localhost:8081]}\n"

func load(t testing.TB, text string, environ ...string) *Config {
	t.Helper()
	c, err := Load(write(t, text), environ)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestWrongConfigurations shows the message of every mistake we could think of.
// `file` is a whole file; `on` has the required keys in the lines 1 to 3; env=
// gives variables, need= fields that are needed.
func TestWrongConfigurations(t *testing.T) {
	cases := 0
	home, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	datadriven.Walk(t, "testdata/wrong", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			cases++
			text := d.Input
			if d.Cmd == "on" {
				text = least + text
			}
			var environ, need []string
			for _, a := range d.CmdArgs {
				switch a.Key {
				case "env":
					for i := 0; i < len(a.Vals); i++ {
						environ = append(environ, strings.ReplaceAll(a.Vals[i], "~", "="))
					}
				case "need":
					need = append(need, a.Vals...)
				default:
					t.Fatalf("unknown argument %s", a.Key)
				}
			}
			t.Chdir(t.TempDir())
			for name, text := range map[string]string{"empty": "\n", "two-lines": "topsecret1\ntopsecret2\n", "not.pem": "no certificate\n"} {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			file := "tidemark.yaml"
			switch d.Cmd {
			case "none":
				file = ""
			case "absent":
				file = "absent.yaml"
			default:
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c, err := Load(file, environ, need...)
			dir, _ := os.Getwd()
			if err := os.Chdir(home); err != nil {
				t.Fatal(err)
			}
			if err == nil {
				return "accepted: " + c.App + "\n"
			}
			if c != nil {
				t.Fatal("a Config came with the error")
			}
			var e *Errors
			if !errors.As(err, &e) || len(e.Problems) == 0 {
				t.Fatalf("not an *Errors with problems: %#v", err)
			}
			for _, p := range e.Problems {
				if p.Problem == "" || p.Cure == "" || p.File == "" && p.Variable == "" && d.Cmd != "none" {
					t.Errorf("a problem without what, where or cure: %+v", p)
				}
			}
			if strings.Contains(err.Error(), "topsecret") {
				t.Error("the message tells a secret")
			}
			return strings.ReplaceAll(err.Error(), dir, "DIR") + "\n"
		})
	})
	if cases < 30 {
		t.Errorf("%d wrong configurations, want 30 at least", cases)
	}
}

// leaves lists every field of the structs by its Go path.
func leaves(v reflect.Value, path string, found map[any]string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		at := strings.TrimPrefix(path+"."+f.Name, ".")
		x := v.Field(i)
		if x.Kind() == reflect.Struct && x.Type() != reflect.TypeFor[Secret]() && x.Type() != reflect.TypeFor[FireFrom]() && x.Type() != reflect.TypeFor[time.Time]() {
			leaves(x, at, found)
			continue
		}
		found[x.Addr().Interface()] = at
	}
}

// TestTableIsTheStruct: each field of the structs has one row, each row a field
// of the same name, each block its row too.
func TestTableIsTheStruct(t *testing.T) {
	c := Default()
	found := map[any]string{}
	leaves(reflect.ValueOf(c).Elem(), "", found)
	inBlocks := map[string]bool{}
	for _, f := range c.fields() {
		name, ok := found[f.value]
		if !ok {
			t.Errorf("%s points at no field, or at one that another row has", f.path)
			continue
		}
		delete(found, f.value)
		want := strings.ToLower(strings.ReplaceAll(f.path, "_", ""))
		if got := strings.ReplaceAll(strings.ToLower(name), ".tls.tls.", ".tls."); got != want {
			t.Errorf("%s stands for the field %s", f.path, name)
		}
		for i, r := range f.path {
			if r == '.' {
				inBlocks[f.path[:i]] = true
			}
		}
		if f.allowed() == "" {
			t.Errorf("%s does not say what is allowed", f.path)
		}
	}
	for _, name := range found {
		t.Errorf("the field %s has no row", name)
	}
	for _, b := range blocks {
		if !inBlocks[b.path] {
			t.Errorf("the block %s has no fields or stands twice", b.path)
		}
		delete(inBlocks, b.path)
	}
	for path := range inBlocks {
		t.Errorf("the block %s is not in blocks", path)
	}
}

// bare takes away what differs between two ways to say the same.
func bare(c *Config) Config {
	b := *c
	b.file, b.origins = "", nil
	return b
}

func TestExampleIsTheDefaults(t *testing.T) {
	c := load(t, string(Example()))
	want := Default()
	want.App, want.Kafka.Brokers, want.SchemaRegistry.URLs = "my-shop", []string{"localhost:9092"}, []string{"http://localhost:8081"}
	host, _ := os.Hostname()
	if got, want := c.Instance, fmt.Sprintf("%s-%d", notInNames.ReplaceAllString(host, "-"), os.Getpid()); got != want {
		t.Errorf("instance %q, want %q", got, want)
	}
	want.Instance, want.Kafka.ClientID, want.Kafka.Group = c.Instance, "tidemark-my-shop", "tidemark-my-shop"
	if got, want := bare(c), bare(want); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", &got, &want)
	}
	for _, f := range c.fields() {
		if _, ok := c.origins[f.path]; !ok {
			t.Errorf("the example does not have %s", f.path)
		}
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if got := load(t, least); !reflect.DeepEqual(bare(got), bare(c)) {
		t.Errorf("the least file gives\n%s\nthe example\n%s", got, c)
	}
}

func validate(t *testing.T, text string) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("tidemark.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile("tidemark.json")
	if err != nil {
		t.Fatal(err)
	}
	var read any // by another YAML reader, as an editor's is
	if err := otheryaml.Unmarshal([]byte(text), &read); err != nil {
		t.Fatal(err)
	}
	j, err := json.Marshal(read)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(j))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(value)
}

// TestSchemaAndLoadAgree: on one value at a time, the schema for editors and
// Load say the same.
func TestSchemaAndLoadAgree(t *testing.T) {
	if err := validate(t, string(Example())); err != nil {
		t.Errorf("the example: %v", err)
	}
	const head = "app: my-shop\nschema_registry: {urls: [http://localhost:8081]}\n"
	for _, text := range []string{
		"kafka: {brokers: [localhost:9092], session_timeout: 12s}", "kafka: {brokers: 'a:1,b:2'}", "kafka: {brokers: [localhost]}",
		"kafka: {brokers: [a:1, a:1]}", "kafka: {brokers: []}", "kafka: {brokers: [a:1], create_topics: yes}", "kafka: {brokers: [a:1], create_topics: false}",
		"kafka: {brokers: [a:1], replication_factor: 3}", "kafka: {brokers: [a:1], replication_factor: three}", "kafka: {brokers: [a:1], min_insync_replicas: 0}",
		"kafka: {brokers: [a:1], topics: {orders: a b}}", "kafka: {brokers: [a:1], topics: {orders: ''}}", "kafka: {brokers: [a:1], brokes: 1}",
		"kafka: {brokers: [a:1], fetch: {partition_max_bytes: 1MB}}", "kafka: {brokers: [a:1], fetch: {partition_max_bytes: 1MiB}}",
		"kafka: {brokers: [a:1], partitioner: crc32}", "kafka: {brokers: [a:1], out_prefix: ''}", "kafka: {brokers: [a:1], fetch: {max_wait: 250}}",
		"kafka: {brokers: [a:1]}\nhistory: {fire_from: beginning}", "kafka: {brokers: [a:1]}\nhistory: {fire_from: later}",
		"kafka: {brokers: [a:1]}\nhistory: {fire_from: '2024-01-31T00:00:00Z', until: ''}", "kafka: {brokers: [a:1]}\nhistory: {until: '2024-01-31'}",
		"kafka: {brokers: [a:1]}\nstore:", "kafka: {brokers: [a:1]}\nhttp: {listen: off}", "kafka: {brokers: [a:1]}\nhttp: {listen: here}",
		"kafka: {brokers: [a:1]}\ndata_dir: ''", "kafka: {brokers: [a:1]}\ninstance: a/b", "kafka: {brokers: [a:1]}\nplaybook: p.yaml",
	} {
		_, loading := Load(write(t, head+text), nil)
		editing := validate(t, head+text)
		if (loading == nil) != (editing == nil) {
			t.Errorf("%s\n  schema: %v\n  Load: %v", text, editing, loading)
		}
	}
}

// other gives each field a value that is not its default.
func other(f *field) string {
	switch f.path {
	case "app":
		return "other"
	case "kafka.brokers":
		return "a.internal:9092,[::1]:9093"
	case "schema_registry.urls":
		return "https://a:8081,https://b"
	case "http.listen":
		return "[::1]:1234"
	case "checkpoint.url":
		return "s3://bucket?region=eu-central-1"
	case "kafka.heartbeat_interval":
		return "2s"
	case "kafka.session_timeout":
		return "9s"
	case "kafka.transaction_timeout":
		return "9s"
	case "kafka.rebalance_timeout", "restart.backoff_max":
		return "45s"
	case "kafka.partitioner":
		return "murmur2"
	case "kafka.sasl.mechanism":
		return SASLScramSHA512
	case "kafka.replication_factor", "kafka.min_insync_replicas", "standby.copies":
		return "2"
	}
	switch f.kind {
	case flagKind:
		if f.text() == "true" {
			return "false"
		}
		return "true"
	case numberKind:
		return "777"
	case durationKind:
		return "770ms"
	case sizeKind:
		return "7MiB"
	case choiceKind:
		return f.words[(slices.Index(f.words, f.text())+1)%len(f.words)]
	case instantKind, fireFromKind:
		return "2024-02-29T12:00:00.125Z"
	case secretKind:
		return "topsecret-" + f.path
	}
	return "x-" + strings.ReplaceAll(f.path, ".", "-")
}

// TestEveryVariable: each field can be set by its variable, and what is set
// that way is the same as from the file; and Show is a file that gives it again.
func TestEveryVariable(t *testing.T) {
	skip := map[string]bool{ // one of two, or files that must be there
		"schema_registry.folder": true, "schema_registry.bearer_token": true,
		"kafka.tls.ca_file": true, "kafka.tls.cert_file": true, "kafka.tls.key_file": true,
		"schema_registry.tls.ca_file": true, "schema_registry.tls.cert_file": true, "schema_registry.tls.key_file": true,
		"kafka.sasl.oauth.token_url": true, "kafka.sasl.oauth.client_id": true, "kafka.sasl.oauth.client_secret": true, "kafka.sasl.oauth.scope": true,
		"kafka.sasl.oauth.audience": true, "kafka.sasl.oauth.ca_file": true, "kafka.sasl.oauth.extensions": true, "kafka.sasl.aws_region": true, // another mechanism's
		"http.tls.cert_file": true, "http.tls.key_file": true, "http.tls.client_ca_file": true, "http.tls.operators": true,
	}
	var environ []string
	want := Default()
	for _, f := range want.fields() {
		if skip[f.path] {
			continue
		}
		value := other(&f)
		environ = append(environ, variable(f.path)+"="+value)
		if was := f.text(); was == value && f.path != "kafka.partitioner" {
			t.Errorf("%s: %s is the default", f.path, value)
		}
		if faults := f.read(value, os.LookupEnv); faults != nil {
			t.Fatalf("%s = %s: %+v", f.path, value, faults)
		}
	}
	c, err := Load("", environ)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := bare(c), bare(want); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", &got, &want)
	}
	shown := c.Show()
	if strings.Contains(shown, "topsecret") {
		t.Error("Show tells a secret")
	}
	for _, secret := range []struct{ path, key string }{{"kafka.sasl.password", "password"}, {"schema_registry.password", "password"},
		{"http.read_token", "read_token"}, {"http.operate_token", "operate_token"}} {
		shown = strings.Replace(shown, secret.key+`: "`+mask+`"`, secret.key+": topsecret-"+secret.path, 1)
	}
	again := load(t, shown)
	if got, want := bare(again), bare(c); !reflect.DeepEqual(got, want) {
		t.Errorf("from Show:\n%s\nbefore:\n%s", &got, &want)
	}
	again = load(t, least, environ...)
	if got, want := bare(again), bare(c); !reflect.DeepEqual(got, want) {
		t.Errorf("variables over a file:\n%s\nalone:\n%s", &got, &want)
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "password")
	if err := os.WriteFile(path, []byte("topsecret file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ given, value, shown string }{
		{"topsecret", "topsecret", mask},
		{"file:" + path, "topsecret file", "file:" + path},
		{"env:MY_PASSWORD", "topsecret variable", "env:MY_PASSWORD"},
		{"literal:file:topsecret", "file:topsecret", mask},
		{"literal:literal:", "literal:", mask},
		{"1234", "1234", mask},
	} {
		text := strings.Replace(least, "{urls: [http://localhost:8081]}", "{urls: [http://localhost:8081], bearer_token: '"+x.given+"'}", 1)
		c := load(t, text, "MY_PASSWORD=topsecret variable")
		s := c.SchemaRegistry.BearerToken
		if got, want := s.Reveal(), x.value; got != want {
			t.Errorf("%s: got %q, want %q", x.given, got, want)
		}
		if got, want := s.String(), x.shown; got != want {
			t.Errorf("%s: shown %q, want %q", x.given, got, want)
		}
		j, _ := json.Marshal(c)
		y, _ := yaml.Marshal(c)
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("", "secret", s, "config", c)
		slog.New(slog.NewTextHandler(&log, nil)).Info("", "secret", s, "config", c, "value", *c)
		all := []string{string(j), string(y), log.String(), c.String(), c.Show()}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			all = append(all, fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, c), fmt.Sprintf(verb, *c), fmt.Sprintf(verb, c.SchemaRegistry))
		}
		hex := fmt.Sprintf("%x", "topsecret")
		for _, text := range all {
			if strings.Contains(strings.ToLower(text), "topsecret") || strings.Contains(strings.ToLower(text), hex) {
				t.Errorf("%s is told in %.300s", x.given, text)
			}
		}
	}
}

func TestForeignVariables(t *testing.T) {
	c, err := Load(write(t, least), []string{
		"PATH=/bin", "TIDEMARK=1", "TIDEMARK_CONFIG=x", "TIDEMARK_TEST_NODE=1", "TIDEMARK_APP=", "TIDEMARK_KAFKA=localhost:9092", "=C:=x", "odd",
		"TIDEMARK_SERVICE_HOST=10.0.0.1", "TIDEMARK_SERVICE_PORT=9464", "TIDEMARK_SERVICE_PORT_HTTP=9464", "TIDEMARK_PORT=tcp://10.0.0.1:9464",
		"TIDEMARK_PORT_9464_TCP=tcp://10.0.0.1:9464", "TIDEMARK_PORT_9464_TCP_ADDR=10.0.0.1", "TIDEMARK_CONSOLE_SERVICE_HOST=10.0.0.2", "TIDEMARK_CONSOLE_PORT_80_TCP_PROTO=tcp",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.App, "my-shop"; got != want {
		t.Errorf("an empty variable changed app to %q", got)
	}
	for _, f := range c.fields() {
		if service.MatchString(variable(f.path)) || foreign[variable(f.path)] {
			t.Errorf("%s would be taken for a foreign variable", f.path)
		}
	}
}

func TestValidateOfCode(t *testing.T) {
	c := load(t, least)
	c.App, c.Commit.MaxDelay, c.Commit.MaxBytes, c.Kafka.Brokers = "Shop", -time.Second, 7, []string{"a:1,b:2", "c"}
	c.Restart.BackoffMin = time.Microsecond
	err := c.Validate()
	var e *Errors
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range e.Problems {
		got = append(got, p.Field)
	}
	slices.Sort(got)
	if want := []string{"app", "commit.max_bytes", "commit.max_delay", "kafka.brokers[0]", "kafka.brokers[1]", "restart.backoff_min"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v\n%v", got, want, err)
	}
	err = (&Config{}).Validate()
	if !errors.As(err, &e) || len(e.Problems) < 20 {
		t.Errorf("the zero Config: %v", err)
	}
}

func TestCheckClock(t *testing.T) {
	c := load(t, least+"history:\n  until: 2011-12-10T00:00:00Z\n")
	if err := c.CheckClock("input"); err != nil {
		t.Error(err)
	}
	err := c.CheckClock("live")
	if err == nil || !strings.Contains(err.Error(), "tidemark.yaml:5:10: history.until = \"2011-12-10T00:00:00Z\": has no meaning with this playbook") {
		t.Error(err)
	}
	if err := load(t, least).CheckClock("live"); err != nil {
		t.Error(err)
	}
}

func TestWarnings(t *testing.T) {
	if got := load(t, least).Warnings(); len(got) > 0 {
		t.Errorf("the defaults on loopback: %v", got)
	}
	c := load(t, "app: a\nkafka:\n  brokers: [b.internal:9092]\n  sasl: {mechanism: plain, username: u, password: p}\nschema_registry: {urls: [http://r.internal:8081], bearer_token: t}\nhttp: {listen: ':9464', allow_remote: true}\n")
	if got, want := len(c.Warnings()), 4; got != want {
		t.Errorf("%d warnings, want %d: %v", got, want, c.Warnings())
	}
}

// A token in the clear is allowed, since a proxy may stand in between, and said.
func TestWarningOfTokensInTheClear(t *testing.T) {
	c := load(t, least+"http: {listen: ':9464', read_token: topsecret-topsecret}\n")
	if got := c.Warnings(); len(got) != 1 || !strings.Contains(got[0], "in the clear") {
		t.Errorf("warnings %q", got)
	}
}

func TestOriginsInShow(t *testing.T) {
	c := load(t, least+"log:\n  level: warn\n", "TIDEMARK_LOG__FORMAT=json")
	shown := c.Show()
	for _, want := range []string{"level: warn # " + c.file + ":5:10", "format: json # TIDEMARK_LOG__FORMAT", "data_dir: ./tidemark-data # default"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
}

func FuzzLoad(f *testing.F) { fuzzLoad(f) }

func fuzzLoad(f soak.F) {
	f.Add(string(Example()), "a:1")
	f.Add(least, "")
	f.Add("app: [a\nkafka: {brokers: &a [b], sasl: {password: !x y}}\n<<: *a\n? b\n", "topsecret")
	f.Add("app: a\nkafka: {brokers: [é:1, http://a:2, :, ::1, a:, a:1:2, {a:1}]}\n", "")
	f.Add("app: |\n  x\n---\nb: 1\n", "\xff")
	dir := f.TempDir()
	write := func(t *testing.T, text string) string {
		path := filepath.Join(dir, "tidemark.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		path := write(t, text)
		const secret = "topsecret-0123456789"
		c, err := Load(path, []string{"TIDEMARK_KAFKA__BROKERS=" + value, "TIDEMARK_DATA_DIR=" + value, "TIDEMARK_SCHEMA_REGISTRY__BEARER_TOKEN=" + secret})
		if err != nil {
			var e *Errors
			if !errors.As(err, &e) || len(e.Problems) == 0 || c != nil {
				t.Fatalf("not an *Errors alone: %#v", err)
			}
			for _, p := range e.Problems {
				if p.Problem == "" || p.Cure == "" || p.Line < 0 || p.Line > 0 && p.Column < 1 {
					t.Fatalf("a problem without what, where or cure: %+v", p)
				}
			}
			if strings.Contains(err.Error(), secret) && !strings.Contains(text, secret) && !strings.Contains(value, secret) {
				t.Fatal("the error tells the secret")
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("loaded, but not valid: %v", err)
		}
		// Masked secrets are read as texts of their own; references stay.
		again, err := Load(write(t, c.Show()), nil)
		if err != nil {
			t.Fatalf("Show is not read again: %v\n%s", err, c.Show())
		}
		if got, want := again.String(), c.String(); got != want {
			t.Fatalf("Show gives\n%s\nnot\n%s", got, want)
		}
	})
}
