package python

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tidemark/testkit"
)

// What confluent-kafka's serializers and its registry client get from the
// embedded registry. The refusal must come as 409 with a text that names the
// field, and no refused schema may get a version.
const wantSchemas = `{"again": true, "step": "register", "versions": [1]}
{"other": true, "step": "evolve", "versions": [1, 2]}
{"step": "read old and new by the new schema", "values": [{"id": "a", "shop": "web"}, {"id": "b", "shop": "web"}, {"id": "c", "shop": "till 4"}]}
{"code": 409, "message": "MESSAGE", "status": 409, "step": "refuse", "versions": [1, 2]}
{"evolved": true, "refused": false, "step": "test compatibility"}
{"step": "level NONE", "third": true, "versions": [1, 2, 3]}
{"deleted": 3, "read": [null, null, null, 1], "step": "soft delete", "versions": [1, 2]}
{"code": 40407, "message": "MESSAGE", "status": 404, "step": "hard delete without soft"}
{"deleted": 3, "step": "hard delete"}
{"deleted": [1, 2], "gone": {"code": 40401, "message": "MESSAGE", "status": 404}, "step": "delete the subject"}
{"same": true, "step": "come back"}
{"step": "references", "values": [{"customer": {"id": "c1"}, "id": "a"}]}
{"code": 42206, "status": 422, "step": "delete what is referred to"}
`

func TestPythonsSerializersAndTheRegistry(t *testing.T) {
	python := os.Getenv(interpreter)
	if python == "" {
		t.Skip("needs confluent-kafka for Python; make python-test runs it")
	}
	cmd := exec.CommandContext(testkit.Context(t), python, "schemas.py", "--bootstrap", testkit.Broker(t), "--registry", testkit.Registry(t),
		"--topic", testkit.Topic(t, "sales", 1, nil), "--references", testkit.Topic(t, "references", 1, nil))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, &stderr)
	}
	got, want := strings.Split(string(out), "\n"), strings.Split(wantSchemas, "\n")
	if len(got) != len(want) {
		t.Fatalf("%d steps, want %d:\n%s", len(got), len(want), out)
	}
	for i := range want {
		before, after, some := strings.Cut(want[i], "MESSAGE")
		if got[i] == want[i] || some && strings.HasPrefix(got[i], before) && strings.HasSuffix(got[i], after) {
			continue
		}
		t.Errorf("got  %s\nwant %s", got[i], want[i])
	}
	if !strings.Contains(got[3], "till") {
		t.Errorf("the refusal does not name the field: %s", got[3])
	}
}
