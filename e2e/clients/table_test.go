package clients

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/hamba/avro/v2"

	"tidemark/schemas"
	"tidemark/testkit"
)

var rewrite = flag.Bool("rewrite", false, "write what passed into docs/clients.md")

const page = "../../docs/clients.md"

// cells are the columns of the table, by the subtests that stand for them.
var cells = []string{"produce", "consume", "group", "admin"}

// results gathers what passed. Its methods are safe for concurrent use.
type results struct {
	mu       sync.Mutex
	clients  []client
	versions map[string]string
	done     map[string]bool // name/cell
}

func newResults(clients []client) *results {
	return &results{clients: clients, versions: map[string]string{}, done: map[string]bool{}}
}

func (r *results) version(name, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.versions[name] = strings.TrimPrefix(version, "v")
}

// passed is called at the end of a cell's test; a skip or a Fatal never comes here.
func (r *results) passed(t *testing.T, name, cell string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[name+"/"+cell] = !t.Failed()
}

func broker() string {
	if testkit.Real() {
		return "Apache Kafka 4.1"
	}
	return "embedded"
}

// row is what the page must say of a client whose cells all passed.
func (c client) row(version string, says func(cell string) string) string {
	line := fmt.Sprintf("| %s | %s | %s |", c.name, version, broker())
	for _, cell := range cells {
		line += " " + says(cell) + " |"
	}
	return line + " " + c.setting + " |"
}

func (c client) says(cell string) string {
	if cell == "consume" && c.shows {
		return "**no**: shows aborted records"
	}
	return "yes"
}

// hold compares the rows of the clients that ran with the page's, or writes
// them. A client of which anything failed or was skipped has no say.
func (r *results) hold(t *testing.T) {
	for _, c := range r.clients {
		whole := r.done[c.name+"/version"]
		for _, cell := range cells {
			whole = whole && r.done[c.name+"/"+cell]
		}
		if !whole {
			t.Logf("%s was not tried whole", c.name)
			continue
		}
		holdRow(t, c.row(r.versions[c.name], c.says))
	}
}

func holdRow(t *testing.T, want string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head := func(line string) string { // name and broker
		f := strings.Split(line, "|")
		if len(f) < 5 {
			return ""
		}
		return f[1] + "|" + f[3]
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if head(line) != head(want) {
			continue
		}
		if line == want {
			return
		}
		if !*rewrite {
			t.Errorf("docs/clients.md says\n%s\nand this run\n%s\nif that is right, run again with -rewrite", line, want)
			return
		}
		lines[i] = want
		if err := os.WriteFile(page, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("docs/clients.md has no row for %s", head(want))
}

// TestThePageHasNoOtherRows needs no tool chain: whatever the page claims is a
// cell that a test here stands for.
func TestThePageHasNoOtherRows(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{consoleTools.name: true}
	for _, c := range matrix {
		known[c.name] = true
	}
	rows := map[string]int{}
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Split(line, "|")
		if len(f) != len(cells)+6 || strings.HasPrefix(f[1], "-") || strings.TrimSpace(f[1]) == "client" {
			continue
		}
		name := strings.TrimSpace(f[1])
		if !known[name] {
			t.Errorf("no test stands for the row %s", name)
		}
		rows[name]++
	}
	for name := range known {
		if rows[name] != 2 {
			t.Errorf("%s has %d rows, want one for each broker", name, rows[name])
		}
	}
}

// triggers decodes churn warnings with the schema that Tidemark has in itself.
type triggers struct{ schema avro.Schema }

func newTriggers(t *testing.T) *triggers {
	t.Helper()
	s, err := avro.Parse(schemas.Text("ChurnWarning"))
	if err != nil {
		t.Fatal(err)
	}
	return &triggers{s}
}

func (d *triggers) decode(t *testing.T, value []byte) (out trigger) {
	t.Helper()
	_, body, err := schemas.ParseWire(value)
	if err == nil {
		err = avro.Unmarshal(d.schema, body, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}
