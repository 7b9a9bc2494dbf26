package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/embedded/broker"
)

const limit = 30 * time.Second

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// lab is a registry on a broker, both inside the test.
type lab struct {
	*testing.T
	dir    string
	broker *broker.Broker
	server *Server
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{T: t, dir: t.TempDir()}
	l.startBroker()
	l.startServer()
	t.Cleanup(func() {
		if err := l.server.Close(); err != nil {
			t.Error(err)
		}
		if err := l.broker.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *lab) startBroker() {
	l.Helper()
	var err error
	if l.broker, err = broker.Start(broker.Options{Dir: l.dir}); err != nil {
		l.Fatal(err)
	}
}

func (l *lab) startServer() {
	l.Helper()
	var err error
	if l.server, err = Start(deadline(l.T), Options{Brokers: []string{l.broker.Addr()}}); err != nil {
		l.Fatal(err)
	}
}

// restart stops both and starts them again on what is on disk.
func (l *lab) restart() {
	l.Helper()
	if err := l.server.Close(); err != nil {
		l.Fatal(err)
	}
	if err := l.broker.Close(); err != nil {
		l.Fatal(err)
	}
	l.startBroker()
	l.startServer()
}

// do sends a request and returns status and body without its line end.
func (l *lab) do(method, path, body string) (int, string) {
	l.Helper()
	status, text, err := send(deadline(l.T), l.server.URL(), method, path, body)
	if err != nil {
		l.Fatal(err)
	}
	return status, text
}

func send(ctx context.Context, base, method, path, body string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", err
	}
	if got := resp.Header.Get("Content-Type"); got != contentType {
		return 0, "", fmt.Errorf("%s %s: content type %q, want %q", method, path, got, contentType)
	}
	return resp.StatusCode, string(bytes.TrimSpace(raw)), nil
}

// ok wants status 200 and this body.
func (l *lab) ok(method, path, body, want string) {
	l.Helper()
	status, got := l.do(method, path, body)
	if status != http.StatusOK || got != want {
		l.Fatalf("%s %s: %d %s, want 200 %s", method, path, status, got, want)
	}
}

// fails wants an error body with this code, and the HTTP status that belongs to it.
func (l *lab) fails(method, path, body string, code int) {
	l.Helper()
	status, got := l.do(method, path, body)
	var e apiError
	if err := json.Unmarshal([]byte(got), &e); err != nil {
		l.Fatalf("%s %s: %d %s: %v", method, path, status, got, err)
	}
	if e.Code != code || status != (&apiError{Code: code}).status() || e.Message == "" {
		l.Fatalf("%s %s: %d %s, want code %d", method, path, status, got, code)
	}
}

// schemaBody wraps a schema, given as JSON, into a request.
func schemaBody(schema string, refs ...Reference) string {
	return string(marshal(map[string]any{"schema": schema, "references": refs}))
}

func (l *lab) register(subject, schema string, want int) {
	l.Helper()
	l.ok("POST", "/subjects/"+subject+"/versions", schemaBody(schema), fmt.Sprintf(`{"id":%d}`, want))
}

// rec is a record schema with these fields.
func rec(fields ...string) string {
	return `{"type":"record","name":"R","namespace":"t","fields":[` + strings.Join(fields, ",") + `]}`
}

const (
	fieldA        = `{"name":"a","type":"long"}`
	fieldB        = `{"name":"b","type":"string"}`
	fieldBDefault = `{"name":"b","type":"string","default":""}`
	fieldC        = `{"name":"c","type":"int"}`
	fieldCDefault = `{"name":"c","type":"int","default":0}`
)

func TestRegisterAndRead(t *testing.T) {
	l := newLab(t)
	one, two := rec(fieldA), rec(fieldA, fieldBDefault)
	l.ok("GET", "/subjects", "", `[]`)
	l.register("orders-value", one, 1)
	l.register("orders-value", two, 2)
	l.register("orders-value", one, 1) // again: the same id, no new version
	l.register("other-value", one, 1)  // another subject: the same id
	l.ok("GET", "/subjects", "", `["orders-value","other-value"]`)
	l.ok("GET", "/subjects?subjectPrefix=ord", "", `["orders-value"]`)
	l.ok("GET", "/subjects/orders-value/versions", "", `[1,2]`)

	second := `{"subject":"orders-value","version":2,"id":2,"schema":` + string(marshal(two)) + `}`
	for _, v := range []string{"2", "latest", "-1"} {
		l.ok("GET", "/subjects/orders-value/versions/"+v, "", second)
	}
	l.ok("GET", "/subjects/orders-value/versions/1/schema", "", one)
	l.ok("GET", "/schemas/ids/2", "", `{"schema":`+string(marshal(two))+`}`)
	l.ok("GET", "/schemas/ids/1?fetchMaxId=true", "", `{"schema":`+string(marshal(one))+`,"maxId":2}`)
	l.ok("GET", "/schemas/ids/2/schema", "", two)
	l.ok("GET", "/schemas/ids/1/subjects", "", `["orders-value","other-value"]`)
	l.ok("GET", "/schemas/ids/1/versions", "", `[{"subject":"orders-value","version":1},{"subject":"other-value","version":1}]`)
	l.ok("GET", "/schemas/types", "", `["AVRO"]`)
	l.ok("GET", "/schemas?latestOnly=true&subjectPrefix=orders", "", `[`+second+`]`)
	l.ok("POST", "/subjects/orders-value", schemaBody(two), second)
	l.ok("GET", "/", "", `{}`)

	l.register("a%2Fb", one, 1) // a subject with a slash
	l.ok("GET", "/subjects?subjectPrefix=a", "", `["a/b"]`)

	l.fails("GET", "/subjects/nobody/versions", "", 40401)
	l.fails("GET", "/subjects/nobody/versions/1", "", 40401)
	l.fails("POST", "/subjects/nobody", schemaBody(one), 40401)
	l.fails("GET", "/subjects/orders-value/versions/3", "", 40402)
	l.fails("GET", "/schemas/ids/99", "", 40403)
	l.fails("POST", "/subjects/orders-value", schemaBody(rec(fieldC)), 40403)
	for _, v := range []string{"0", "-2", "first", "2147483648"} {
		l.fails("GET", "/subjects/orders-value/versions/"+v, "", 42202)
	}
	l.fails("POST", "/subjects/__GLOBAL/versions", schemaBody(one), 42208)
	l.fails("POST", "/subjects/orders-value/versions", `{"schema":`, 422)
	l.fails("GET", "/nowhere", "", 404)
	l.fails("PUT", "/subjects", "", 405)
}

func TestRefusesWhatIsNotAvro(t *testing.T) {
	l := newLab(t)
	for _, schema := range []string{
		``, `{`, `string`, `"nobody"`, `{"type":"record"}`, `["null","null"]`,
		`{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}`,
		`{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}`,
		`{"type":"record","name":"1R","fields":[]}`,
		`{"type":"record","name":"R","name":"S","fields":[]}`,
		`{"type":"enum","name":"E","symbols":["A","A"]}`,
		`{"type":["null","string"]}`,
		`"string" "int"`,
		strings.Repeat(`{"type":"array","items":`, 5000) + `"int"` + strings.Repeat(`}`, 5000),
	} {
		l.fails("POST", "/subjects/s/versions", schemaBody(schema), 42201)
	}
	l.fails("POST", "/subjects/s/versions", `{"schema":"\"string\"","schemaType":"PROTOBUF"}`, 42201)
	l.fails("POST", "/subjects/s/versions", `{"schema":"\"string\"","metadata":{"tags":{}}}`, 42201)
	l.ok("GET", "/subjects", "", `[]`)

	// A name that another schema declared is not known here: the parser's cache is not shared.
	l.register("s", rec(fieldA), 1)
	l.fails("POST", "/subjects/s2/versions", schemaBody(`{"type":"array","items":"t.R"}`), 42201)
}

// Docs and defaults make another schema; white space, the order of Avro's own
// attributes and the way a name is qualified do not.
func TestSameSchema(t *testing.T) {
	l := newLab(t)
	l.ok("PUT", "/config", `{"compatibility":"NONE"}`, `{"compatibility":"NONE"}`)
	l.register("s", rec(fieldBDefault), 1)
	l.register("s", ` { "fields" : [ {"type":{"type":"string"}, "default":"", "name":"b"} ], "name":"t.R", "type":"record" } `, 1)
	l.register("s", rec(fieldB), 2)
	l.register("s", rec(`{"name":"b","type":"string","default":"x"}`), 3)
	l.register("s", rec(`{"name":"b","type":"string","doc":"d","default":""}`), 4)
	l.register("s", rec(`{"name":"b","type":"string","default":"","x":1,"y":2}`), 5)
	l.register("s", rec(`{"name":"b","type":"string","default":"","y":2,"x":1}`), 6)
	l.ok("POST", "/subjects/s/versions?normalize=true", schemaBody(rec(`{"name":"b","type":"string","default":"","y":2,"x":1}`)), `{"id":5}`)
	l.ok("GET", "/subjects/s/versions", "", `[1,2,3,4,5,6]`)
}

func TestLevels(t *testing.T) {
	// From {a, b default}: add with and without default, remove with and without default.
	base := rec(fieldA, fieldBDefault)
	changes := []struct{ name, schema string }{
		{"add default", rec(fieldA, fieldBDefault, fieldCDefault)},
		{"add bare", rec(fieldA, fieldBDefault, fieldC)},
		{"remove default", rec(fieldA)},
		{"remove bare", rec(fieldBDefault)},
		{"other type", rec(`{"name":"a","type":"string"}`, fieldBDefault)},
		{"narrower type", rec(`{"name":"a","type":"int"}`, fieldBDefault)},
		{"wider type", rec(`{"name":"a","type":"double"}`, fieldBDefault)},
	}
	allowed := map[string]string{ // one letter per change
		"NONE":                "yyyyyyy",
		"BACKWARD":            "ynyynny",
		"BACKWARD_TRANSITIVE": "ynyynny",
		"FORWARD":             "yyynnyn",
		"FORWARD_TRANSITIVE":  "yyynnyn",
		"FULL":                "ynynnnn",
		"FULL_TRANSITIVE":     "ynynnnn",
	}
	l := newLab(t)
	for level, want := range allowed {
		subject := "s-" + level
		l.ok("PUT", "/config/"+subject, `{"compatibility":"`+strings.ToLower(level)+`"}`, `{"compatibility":"`+level+`"}`)
		l.register(subject, base, 1)
		got := ""
		for _, c := range changes {
			_, body := l.do("POST", "/compatibility/subjects/"+subject+"/versions/latest", schemaBody(c.schema))
			got += map[string]string{`{"is_compatible":true}`: "y", `{"is_compatible":false}`: "n"}[body]
		}
		if got != want {
			t.Errorf("%s: %s, want %s", level, got, want)
		}
		for i, c := range changes {
			if want[i] == 'n' {
				l.fails("POST", "/subjects/"+subject+"/versions", schemaBody(c.schema), 409)
			}
		}
		l.ok("GET", "/subjects/"+subject+"/versions", "", `[1]`)
	}
	status, body := l.do("POST", "/compatibility/subjects/s-FULL/versions?verbose=true", schemaBody(rec(fieldBDefault)))
	if status != 200 || !strings.Contains(body, `"is_compatible":false`) || !strings.Contains(body, "version 1") || !strings.Contains(body, "FULL") {
		t.Errorf("verbose: %d %s", status, body)
	}
	l.ok("POST", "/compatibility/subjects/new/versions/latest", schemaBody(base), `{"is_compatible":true}`)
	l.fails("POST", "/compatibility/subjects/new/versions/1", schemaBody(base), 40401)
	l.fails("POST", "/compatibility/subjects/s-FULL/versions/7", schemaBody(base), 40402)
}

// b loses its default in two steps: each step is compatible with the one
// before it, the last is not with the first.
func TestTransitive(t *testing.T) {
	steps := []string{rec(fieldA), rec(fieldA, fieldBDefault), rec(fieldA, fieldB)}
	for _, level := range []string{"BACKWARD", "FULL"} {
		l := newLab(t)
		l.ok("PUT", "/config", `{"compatibility":"`+level+`"}`, `{"compatibility":"`+level+`"}`)
		for i, schema := range steps {
			l.register("plain", schema, i+1)
		}
		l.ok("PUT", "/config/strict", `{"compatibility":"`+level+`_TRANSITIVE"}`, `{"compatibility":"`+level+`_TRANSITIVE"}`)
		l.register("strict", steps[0], 1)
		l.register("strict", steps[1], 2)
		l.fails("POST", "/subjects/strict/versions", schemaBody(steps[2]), 409)
		l.ok("POST", "/compatibility/subjects/strict/versions", schemaBody(steps[2]), `{"is_compatible":false}`)
		l.ok("POST", "/compatibility/subjects/strict/versions/latest", schemaBody(steps[2]), `{"is_compatible":true}`)
	}
	l := newLab(t)
	l.ok("PUT", "/config/strict", `{"compatibility":"FORWARD_TRANSITIVE"}`, `{"compatibility":"FORWARD_TRANSITIVE"}`)
	slices.Reverse(steps)
	l.register("strict", steps[0], 1)
	l.register("strict", steps[1], 2)
	l.fails("POST", "/subjects/strict/versions", schemaBody(steps[2]), 409)
	l.ok("PUT", "/config/strict", `{"compatibility":"FORWARD"}`, `{"compatibility":"FORWARD"}`)
	l.register("strict", steps[2], 3)
}

func TestConfig(t *testing.T) {
	l := newLab(t)
	l.ok("GET", "/config", "", `{"compatibilityLevel":"BACKWARD"}`)
	l.fails("GET", "/config/s", "", 40408)
	l.ok("PUT", "/config", `{"compatibility":"FULL"}`, `{"compatibility":"FULL"}`)
	l.ok("GET", "/config/s?defaultToGlobal=true", "", `{"compatibilityLevel":"FULL"}`)
	l.ok("PUT", "/config/s", `{"compatibility":"NONE"}`, `{"compatibility":"NONE"}`)
	l.ok("GET", "/config/s", "", `{"compatibilityLevel":"NONE"}`)
	l.restart()
	l.ok("GET", "/config", "", `{"compatibilityLevel":"FULL"}`)
	l.ok("DELETE", "/config/s", "", `{"compatibilityLevel":"NONE"}`)
	l.fails("DELETE", "/config/s", "", 40401)
	l.fails("GET", "/config/s", "", 40408)
	l.ok("DELETE", "/config", "", `{"compatibilityLevel":"FULL"}`)
	l.ok("GET", "/config", "", `{"compatibilityLevel":"BACKWARD"}`)
	l.fails("PUT", "/config", `{"compatibility":"SIDEWAYS"}`, 42203)
	l.fails("PUT", "/config/s", `{}`, 42203)
}

func TestModes(t *testing.T) {
	l := newLab(t)
	one, two := rec(fieldA), rec(fieldA, fieldBDefault)
	l.ok("GET", "/mode", "", `{"mode":"READWRITE"}`)
	l.fails("GET", "/mode/s", "", 40409)
	l.register("s", one, 1)
	l.ok("PUT", "/mode/s", `{"mode":"readonly"}`, `{"mode":"READONLY"}`)
	l.register("s", one, 1) // what is there needs no write
	l.fails("POST", "/subjects/s/versions", schemaBody(two), 42205)
	l.fails("DELETE", "/subjects/s", "", 42205)
	l.fails("DELETE", "/subjects/s/versions/1", "", 42205)
	l.fails("PUT", "/config/s", `{"compatibility":"NONE"}`, 42205)
	l.register("open", two, 2)
	l.ok("DELETE", "/mode/s", "", `{"mode":"READONLY"}`)
	l.ok("GET", "/mode/s?defaultToGlobal=true", "", `{"mode":"READWRITE"}`)
	l.fails("PUT", "/mode", `{"mode":"CLOSED"}`, 42204)

	l.fails("POST", "/subjects/s/versions", string(marshal(request{Schema: two, ID: 9})), 42205)
	l.fails("PUT", "/mode", `{"mode":"IMPORT"}`, 42205)
	l.fails("PUT", "/mode/s", `{"mode":"IMPORT"}`, 42205)
	l.ok("PUT", "/mode/moved", `{"mode":"IMPORT"}`, `{"mode":"IMPORT"}`)
	imported := func(schema string, id, version int) string {
		return string(marshal(request{Schema: schema, ID: id, Version: version}))
	}
	l.fails("POST", "/subjects/moved/versions", schemaBody(rec(fieldC)), 42205)         // no id
	l.fails("POST", "/subjects/moved/versions", imported(rec(fieldC), 1, 1), 42205)     // 1 is taken
	l.ok("POST", "/subjects/moved/versions", imported(rec(fieldC), 70, 5), `{"id":70}`) // incompatible ones too:
	l.ok("POST", "/subjects/moved/versions", imported(`"string"`, 71, 7), `{"id":71}`)  // no check
	l.ok("POST", "/subjects/moved/versions", imported(`"string"`, 71, 7), `{"id":71}`)  // and again
	l.fails("POST", "/subjects/moved/versions", imported(`"bytes"`, 72, 7), 42205)      // another one's version
	l.ok("GET", "/subjects/moved/versions", "", `[5,7]`)
	l.ok("DELETE", "/mode/moved", "", `{"mode":"IMPORT"}`)
	l.register("fresh", `"int"`, 72) // ids go on after the imported ones
}

func TestSoftAndHardDelete(t *testing.T) {
	l := newLab(t)
	one, two := rec(fieldA), rec(fieldA, fieldBDefault)
	l.register("s", one, 1)
	l.register("s", two, 2)

	l.fails("DELETE", "/subjects/s/versions/1?permanent=true", "", 40407)
	l.ok("DELETE", "/subjects/s/versions/1", "", `1`)
	l.fails("DELETE", "/subjects/s/versions/1", "", 40406)
	l.fails("GET", "/subjects/s/versions/1", "", 40402)
	l.ok("GET", "/subjects/s/versions", "", `[2]`)
	l.ok("GET", "/subjects/s/versions?deleted=true", "", `[1,2]`)
	l.ok("GET", "/subjects/s/versions?deletedOnly=true", "", `[1]`)
	l.ok("GET", "/subjects/s/versions/1?deleted=true", "", `{"subject":"s","version":1,"id":1,"schema":`+string(marshal(one))+`,"deleted":true}`)
	l.ok("GET", "/schemas/ids/1/schema", "", one) // records written with it stay readable
	l.ok("GET", "/schemas/ids/1/subjects", "", `[]`)
	l.fails("POST", "/subjects/s", schemaBody(one), 40403)
	l.register("s", one, 1) // comes back under its id, as a new version
	l.ok("GET", "/subjects/s/versions", "", `[2,3]`)

	l.ok("PUT", "/config/s", `{"compatibility":"NONE"}`, `{"compatibility":"NONE"}`)
	l.fails("DELETE", "/subjects/s?permanent=true", "", 40405)
	l.ok("DELETE", "/subjects/s", "", `[2,3]`)
	l.fails("DELETE", "/subjects/s", "", 40404)
	l.fails("GET", "/config/s", "", 40408)
	l.ok("GET", "/subjects", "", `[]`)
	l.ok("GET", "/subjects?deleted=true", "", `["s"]`)
	l.ok("GET", "/subjects?deletedOnly=true", "", `["s"]`)
	l.fails("GET", "/subjects/s/versions/latest", "", 40401)
	l.restart()
	l.ok("GET", "/subjects?deleted=true", "", `["s"]`)
	l.ok("DELETE", "/subjects/s?permanent=true", "", `[1,2,3]`)
	l.fails("DELETE", "/subjects/s?permanent=true", "", 40401)
	l.fails("GET", "/schemas/ids/1", "", 40403)
	l.fails("DELETE", "/subjects/nobody/versions/1", "", 40401)
}

// An id never comes back, although nothing in the topic bears it any more,
// not even after compaction.
func TestIDsAreNeverReused(t *testing.T) {
	l := newLab(t)
	l.register("keep", `"int"`, 1)
	for i, schema := range []string{`"string"`, `"bytes"`} {
		subject := fmt.Sprint("gone", i)
		l.register(subject, schema, i+2)
		l.ok("DELETE", "/subjects/"+subject, "", `[1]`)
		l.ok("DELETE", "/subjects/"+subject+"?permanent=true", "", `[1]`)
	}
	l.ok("PUT", "/config/x", `{"compatibility":"NONE"}`, `{"compatibility":"NONE"}`) // the last batch is never compacted
	before := l.broker.Cluster().PartitionInfo(DefaultTopic, 0).NumBytes
	l.broker.Cluster().Compact()
	if after := l.broker.Cluster().PartitionInfo(DefaultTopic, 0).NumBytes; after >= before {
		t.Fatalf("%d bytes after compaction, %d before", after, before)
	}
	l.restart()
	l.ok("GET", "/schemas/ids/1?fetchMaxId=true", "", `{"schema":"\"int\"","maxId":3}`)
	l.register("next", `"string"`, 4)
	l.restart()
	l.register("next2", `"bytes"`, 5)
	l.register("keep2", `"int"`, 1)
}

func TestRestartKeepsAll(t *testing.T) {
	l := newLab(t)
	var before []string
	for i := range 20 {
		l.register(fmt.Sprintf("s%02d", i%5), rec(fieldA, fmt.Sprintf(`{"name":"f%d","type":["null","string"],"default":null}`, i)), i+1)
	}
	l.ok("DELETE", "/subjects/s03/versions/2", "", `2`)
	l.ok("PUT", "/mode/s04", `{"mode":"READONLY"}`, `{"mode":"READONLY"}`)
	paths := []string{"/schemas?deleted=true", "/schemas", "/mode/s04", "/subjects?deleted=true", "/schemas/ids/7/versions"}
	for _, p := range paths {
		_, body := l.do("GET", p, "")
		before = append(before, body)
	}
	l.restart()
	for i, p := range paths {
		l.ok("GET", p, "", before[i])
	}
	l.register("new", `"int"`, 21)
}

func TestReferences(t *testing.T) {
	l := newLab(t)
	money := `{"type":"record","name":"Money","namespace":"t","fields":[{"name":"minor","type":"long"}]}`
	order := `{"type":"record","name":"Order","namespace":"t","fields":[{"name":"paid","type":"Money"}]}`
	batch := `{"type":"array","items":"t.Order"}`
	toMoney := Reference{"t.Money", "money", 1}
	toOrder := Reference{"t.Order", "order", 1}
	l.register("money", money, 1)
	l.fails("POST", "/subjects/order/versions", schemaBody(order), 42201)
	l.fails("POST", "/subjects/order/versions", schemaBody(order, Reference{"t.Money", "money", 2}), 42201)
	l.ok("POST", "/subjects/order/versions", schemaBody(order, toMoney), `{"id":2}`)
	l.ok("POST", "/subjects/order/versions", schemaBody(order, Reference{"t.Money", "money", -1}), `{"id":2}`)
	l.ok("POST", "/subjects/batch/versions", schemaBody(batch, toOrder), `{"id":3}`)
	want := `{"subject":"order","version":1,"id":2,"references":[{"name":"t.Money","subject":"money","version":1}],"schema":` + string(marshal(order)) + `}`
	l.ok("GET", "/subjects/order/versions/1", "", want)
	l.restart()
	l.ok("POST", "/subjects/order", schemaBody(order, toMoney), want)
	l.ok("GET", "/subjects/money/versions/1/referencedby", "", `[2]`)
	l.fails("DELETE", "/subjects/money", "", 42206)
	l.fails("DELETE", "/subjects/order/versions/1", "", 42206)
	l.ok("DELETE", "/subjects/batch", "", `[1]`)
	l.ok("DELETE", "/subjects/order", "", `[1]`)
	l.fails("DELETE", "/subjects/order?permanent=true", "", 42206) // batch is deleted softly only
	l.ok("DELETE", "/subjects/batch?permanent=true", "", `[1]`)
	l.ok("DELETE", "/subjects/order?permanent=true", "", `[1]`)
	l.ok("DELETE", "/subjects/money", "", `[1]`)
}

func TestConcurrentRegistrationGivesOneID(t *testing.T) {
	l := newLab(t)
	ctx, url := deadline(t), l.server.URL()
	const writers = 16
	answers := make([]string, 2*writers)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			// Half of them the same schema in one subject, half in subjects of their own.
			subject := "shared"
			if i >= writers {
				subject = fmt.Sprint("own", i)
			}
			_, body, err := send(ctx, url, "POST", "/subjects/"+subject+"/versions", schemaBody(rec(fieldA)))
			if err != nil {
				body = err.Error()
			}
			answers[i] = body
		})
	}
	wg.Wait()
	for _, a := range answers {
		if a != `{"id":1}` {
			t.Fatalf("answers %q, want one id", answers)
		}
	}
	l.ok("GET", "/subjects/shared/versions", "", `[1]`)
	l.register("next", `"int"`, 2)
}
