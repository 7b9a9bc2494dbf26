package clients

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tidemark/schemas"
	"tidemark/testkit"
)

// Each program under examples/snippets publishes an order and prints the churn
// warning that follows from it. Against the embedded broker it talks to a
// `tidemark dev`, against a real one to a `tidemark run` with the same playbook.
func TestSnippets(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	env := []string{}
	if testkit.Real() {
		w := newWorld(t)
		w.process(t)
		warnings := w.topics.Out(schemas.ChurnWarnings)
		testkit.AwaitTopic(t, warnings, partitions)
		env = append(env, "KAFKA="+w.broker, "REGISTRY="+w.url, "ORDERS="+w.topics.Orders, "TRIGGERS="+warnings)
	} else {
		d := dev(t, t.TempDir())
		env = append(env, "KAFKA="+d.Kafka, "REGISTRY="+d.Registry)
	}
	for _, s := range []struct {
		name    string
		command func(t *testing.T) command
	}{
		{"python", func(t *testing.T) command {
			return command{args: []string{need(t, pythonEnv, "confluent-kafka for Python"), "examples/snippets/python/order_and_trigger.py"}}
		}},
		{"node", func(t *testing.T) command {
			path := need(t, nodeEnv, "kafkajs")
			return command{args: []string{"node", "examples/snippets/node/order-and-trigger.js"}, env: []string{"NODE_PATH=" + path, "KAFKAJS_NO_PARTITIONER_WARNING=1"}}
		}},
		{"java", func(t *testing.T) command {
			return command{args: compiled(t, "../../examples/snippets/java/OrderAndTrigger.java")}
		}},
		{"go", func(t *testing.T) command {
			path := filepath.Join(t.TempDir(), "snippet")
			if out, err := exec.Command("go", "build", "-o", path, "tidemark/examples/snippets/go").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			return command{args: []string{path}}
		}},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := s.command(t)
			c.env, c.dir = append(c.env, env...), root
			p := c.start(t)
			var out []string
			for _, line := range p.wait() {
				out = append(out, string(line))
			}
			want := regexp.MustCompile(`^\S*churn-warnings ` + s.name + `-\S+ silent FIRED [0-9a-f]{32}$`)
			if text := strings.Join(out, "\n"); !want.MatchString(text) {
				t.Errorf("it printed\n%s", text)
			}
		})
	}
}

// devAddresses is what `tidemark dev --format json` prints.
type devAddresses struct {
	Kafka      string `json:"kafka"`
	Registry   string `json:"schema_registry"`
	Connection string `json:"connection"`
}

// dev starts `tidemark dev` on free ports with its own playbook or another.
func dev(t *testing.T, dir string, more ...string) devAddresses {
	t.Helper()
	c := command{args: []string{tidemark(t), "dev", "--format", "json", "--dir", dir, "--kafka", "127.0.0.1:0", "--registry", "127.0.0.1:0", "--http", "127.0.0.1:0"},
		dir: filepath.Dir(dir), clean: true}
	p := c.start(t, more...)
	p.until("address", func(lines [][]byte) bool { return len(lines) == 1 })
	return decode[devAddresses](t, p.printed()[0])
}
