package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/embedded/broker"
	"tidemark/playbook"
	"tidemark/processor/runtime"
	"tidemark/topics"
)

// Exit codes: 0 done, 1 failed, 2 wrong use.
func TestExitCodes(t *testing.T) {
	events := write(t, "events.jsonl", `{"event_id":"e","customer_id":"c","type":"x","occurred_at":1}`+"\n")
	broken := write(t, "broken.jsonl", "{\n")
	mapping := write(t, "wrong.mapping.yaml", "version: 1\nname: x\nkind: nothing\n")
	nobody := []string{"--brokers", "127.0.0.1:1", "--registry", "http://127.0.0.1:1"}
	for _, x := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"version"}, 0, ""},
		{[]string{"playbook", "schema"}, 0, ""},
		{[]string{"config", "schema"}, 0, ""},
		{[]string{"config", "example"}, 0, ""},
		{[]string{"publish", "--dry-run", events}, 0, "1 lines, 1 events"},
		{[]string{"nothing"}, 2, "unexpected argument nothing"},
		{[]string{"publish", "--dry-run"}, 2, "<files>"},
		{[]string{"publish", "--dry-run", "none.jsonl"}, 2, "none.jsonl"},
		{[]string{"publish", "--dry-run", broken}, 1, "broken.jsonl:1"},
		{[]string{"publish", "--dry-run", "--mapping", mapping, events}, 2, "wrong.mapping.yaml:3"},
		{[]string{"publish", "--dry-run", "--zone", "Mars/Base", events}, 2, "--zone"},
		{[]string{"publish", "--rate", "-1", "--dry-run", events}, 2, "--rate"},
		{[]string{"publish", events}, 2, "give --config FILE, or --brokers"},
		{append([]string{"publish", events}, nobody...), 1, ""},
		{[]string{"publish", "--problems", "-1", events}, 2, `--problems="-1"`},
		{[]string{"tail"}, 2, "give --config FILE, or --brokers"},
		{[]string{"tail", "--brokers", "host"}, 2, "--brokers: kafka.brokers"},
		{append([]string{"tail", "--since", "yesterday"}, nobody...), 2, "--since"},
		{append([]string{"tail", "--status", "fired"}, nobody...), 2, "--status"},
		{append([]string{"tail", "--since", "1h", "--from-beginning"}, nobody...), 2, "can't be used together"},
		{append([]string{"tail"}, nobody...), 1, ""},
		{append([]string{"dlq", "replay", "--all"}, nobody...), 2, "--app is needed"},
		{[]string{"topics", "check", "--brokers", "127.0.0.1:1"}, 1, ""},
		{[]string{"pause", "rule"}, 2, "needs a name"},
		{[]string{"pause", "all", "x"}, 2, "all takes no name"},
		{[]string{"pause", "everything"}, 2, "everything"},
		{[]string{"resume", "all"}, 2, "--send"},
		{[]string{"config", "check", "none.yaml"}, 2, "none.yaml"},
		{[]string{"playbook", "check", "none.yaml"}, 2, "none.yaml"},
		{[]string{"dev", "--playbook", broken}, 2, "broken.jsonl"},
		{[]string{"dev", "--fire-from", "soon"}, 2, "--fire-from"},
		{[]string{"dev", "--kafka", "0.0.0.0:0"}, 1, "loopback"},
	} {
		r := tidemark(t, x.args...)
		if r.code != x.code || !strings.Contains(r.stderr, x.says) {
			t.Errorf("tidemark %s: exit %d, want %d and %q\n%s", strings.Join(x.args, " "), r.code, x.code, x.says, r.stderr)
		}
	}
	if r := tidemark(t); r.code != 2 || !strings.Contains(r.out, "Read triggers, decoded") {
		t.Errorf("without a verb: exit %d, and the verbs are not listed:\n%s", r.code, r.out)
	}
	if r := tidemark(t, "publish", "--nonsense"); r.code != 2 || strings.Contains(r.out, "--mapping") {
		t.Errorf("a wrong flag: exit %d, and the error is lost behind all flags:\n%s", r.code, r.out)
	}
}

// Errors stand where editors look for them; wrong files are exit code 2.
func TestFilesAreCheckedLikeACompiler(t *testing.T) {
	book := `playbook: shop
version: 1
clock: sometimes
currency: CNY
growth:
  - name: spend
    per: {amount: "1.001", gives: 1}
tiers:
  - name: member
    on: spent
    window: {rolling: 365d}
    levels: [{name: Base, reach: 0}]
`
	conf := `app: My Shop
kafka:
  brokers: [localhost]
  sesion_timeout: 10s
schema_registry: {urls: [http://127.0.0.1:8081], password: hunter2}
`
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Chdir(dir) // so that messages name files without a path of this machine
	for name, text := range map[string]string{"shop.yaml": book, "tidemark.yaml": conf, "good.yaml": string(starter),
		"fine.yaml":  "app: shop\nplaybook: good.yaml\nkafka: {brokers: ['127.0.0.1:9092'], sasl: {mechanism: scram-sha-512, username: u, password: hunter2}}\nschema_registry: {urls: ['http://127.0.0.1:8081']}\n",
		"until.yaml": "app: shop\nplaybook: good.yaml\nhistory: {until: 2026-01-01T00:00:00Z}\nkafka: {brokers: ['127.0.0.1:9092']}\nschema_registry: {urls: ['http://127.0.0.1:8081']}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var all strings.Builder
	for _, x := range []struct {
		code int
		args []string
	}{
		{2, []string{"playbook", "check", "shop.yaml"}},
		{0, []string{"playbook", "check", "good.yaml"}},
		{2, []string{"playbook", "check", "--format", "json", "shop.yaml"}},
		{2, []string{"config", "check", "tidemark.yaml"}},
		{0, []string{"config", "check", "fine.yaml"}},
		{2, []string{"config", "check", "until.yaml"}},
		{2, []string{"config", "check", "--format", "json", "tidemark.yaml"}},
	} {
		r := tidemark(t, x.args...)
		if r.code != x.code {
			t.Errorf("tidemark %s: exit %d, want %d", strings.Join(x.args, " "), r.code, x.code)
		}
		fmt.Fprintf(&all, "$ tidemark %s\n%s%s\n", strings.Join(x.args, " "), r.out, r.stderr)
		if strings.Contains(r.out+r.stderr, "hunter2") {
			t.Errorf("tidemark %s shows a secret", strings.Join(x.args, " "))
		}
	}
	if r := tidemarkIn(t, []string{"TIDEMARK_LOG__LEVEL=debug"}, "config", "show", "fine.yaml"); r.code != 0 ||
		!strings.Contains(r.out, "level: debug # TIDEMARK_LOG__LEVEL") || strings.Contains(r.out, "hunter2") {
		t.Errorf("show: exit %d\n%s%s", r.code, r.out, r.stderr)
	}
	t.Chdir(here)
	golden(t, "checks.txt", all.String())
}

// What create makes is what run wants, and the other way round.
func TestTopicsAgreeWithPrepare(t *testing.T) {
	pb, err := playbook.Compile(starter, "starter.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, conn := testCluster(t, "shop", 3)
	check := append([]string{"topics", "check"}, conn...)
	if r := tidemark(t, check...); r.code != 1 || !strings.Contains(r.out, "kafka-topics.sh --bootstrap-server "+c.broker.Addr()+
		" --create --topic tidemark-shop-journal --partitions 3 --replication-factor 1 --config cleanup.policy=delete --config message.timestamp.type=LogAppendTime") {
		t.Errorf("before: exit %d\n%s%s", r.code, r.out, r.stderr)
	}
	if r := good(t, append([]string{"topics", "create", "--dry-run"}, conn...)...); strings.Count(r.out, "kafka-topics.sh") != 11 {
		t.Errorf("dry run:\n%s", r.out)
	}
	if r := good(t, append([]string{"topics", "create"}, conn...)...); strings.Count(r.out, "\n") != 11 {
		t.Errorf("created:\n%s%s", r.out, r.stderr)
	}
	if r := good(t, check...); r.out != "" {
		t.Errorf("after: \n%s", r.out)
	}
	// With a playbook it says what run would: how far back its rules look.
	file := write(t, "tidemark.yaml", "app: shop\nplaybook: "+write(t, "shop.yaml", string(starter))+
		"\nkafka: {brokers: ["+c.broker.Addr()+"]}\nschema_registry: {urls: [\""+c.registry.URL()+"\"]}\n")
	if r := good(t, "topics", "check", "--config", file); strings.Count(r.out, "rules of the playbook look back 395 days") != 2 ||
		!strings.Contains(r.stderr, oneBroker) {
		t.Errorf("with a playbook:\n%s%s", r.out, r.stderr)
	}
	p, err := runtime.Prepare(t.Context(), c.config(), runtime.PrepareOptions{Playbook: pb, By: "test"})
	if err != nil || len(p.Created) != 0 {
		t.Errorf("Prepare after create: %v, created %v", err, p)
	}

	// The other way round, and then what goes wrong.
	c2, conn2 := testCluster(t, "other", 2)
	if _, err := c2.prepare(t.Context(), c2.config(), runtime.PrepareOptions{Playbook: pb}); err != nil {
		t.Fatal(err)
	}
	if r := good(t, append([]string{"topics", "check"}, conn2...)...); r.out != "" {
		t.Errorf("after Prepare:\n%s", r.out)
	}
	for _, need := range topics.Need(c2.topics, 2) {
		if need.Role == topics.Internal && need.Config["retention.ms"] != "-1" {
			t.Errorf("%s is not kept for ever", need.Name)
		}
	}
}

func TestTopicsThatAreWrong(t *testing.T) {
	c, conn := testCluster(t, "shop", 2)
	for _, x := range [][]string{
		{"tidemark-shop-journal", "2", "retention.ms=1000"},
		{"tidemark-shop-control", "2", "retention.ms=-1", "retention.bytes=-1"},
		{"tidemark-shop-transfers", "1", "cleanup.policy=compact", "retention.ms=-1", "retention.bytes=-1"},
		{"tier-changes", "1"},
		{"churn-warnings", "2", "retention.ms=1000"},
	} {
		createTopic(t, c, x[0], x[1], x[2:]...)
	}
	r := tidemark(t, append([]string{"topics", "check"}, conn...)...)
	if r.code != 1 {
		t.Errorf("exit %d", r.code)
	}
	golden(t, "topics.txt", strings.ReplaceAll(r.out+r.stderr, c.broker.Addr(), "BROKER"))
	var report topics.Report
	if err := json.Unmarshal([]byte(tidemark(t, append([]string{"topics", "check", "--format", "json"}, conn...)...).out), &report); err != nil || report.Wrong() == 0 {
		t.Errorf("as JSON: %v, %+v", err, report)
	}
	if r := tidemark(t, append([]string{"topics", "create"}, conn...)...); r.code != 1 || !strings.Contains(r.stderr, "topics created") {
		t.Errorf("create makes the others and says what is wrong: exit %d\n%s", r.code, r.stderr)
	}
}

func createTopic(t *testing.T, c *cluster, name, partitions string, settings ...string) {
	t.Helper()
	var n int32
	_, _ = fmt.Sscan(partitions, &n)
	conf := map[string]string{}
	for _, s := range settings {
		k, v, _ := strings.Cut(s, "=")
		conf[k] = v
	}
	if err := c.broker.CreateTopics(t.Context(), []broker.Topic{{Name: name, Partitions: n, Config: conf}}); err != nil {
		t.Fatal(err)
	}
}

// dev stays up: what another process publishes comes out of it.
func TestDev(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	dev := exec.CommandContext(ctx, self, "dev", "--format", "json", "--dir", t.TempDir(), "--partitions", "2",
		"--kafka", "127.0.0.1:0", "--registry", "127.0.0.1:0", "--http", "127.0.0.1:0")
	dev.Env = append(os.Environ(), asMain+"=1")
	dev.Cancel = func() error { return dev.Process.Signal(os.Interrupt) }
	var stderr strings.Builder
	dev.Stderr = &stderr
	out, err := dev.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := dev.Start(); err != nil {
		t.Fatal(err)
	}
	text, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var at devAddresses
	if err := json.Unmarshal([]byte(text), &at); err != nil {
		t.Fatal(err)
	}
	orders := write(t, "orders.jsonl", `{"event_id":"1","customer_id":"ann","order_id":"1","type":"PAID","occurred_at":"2026-01-05T00:00:00Z","amount_minor":60000,"currency":"USD"}`+"\n")
	good(t, "publish", "--config", at.Connection, orders)
	r := good(t, "tail", "--config", at.Connection, "--from-beginning", "--max", "1", "tier-changes")
	if !strings.Contains(r.out, `"to_tier":"Gold"`) {
		t.Errorf("tail: %s", r.out)
	}
	if err := dev.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := dev.Wait(); err != nil {
		t.Errorf("dev ends with %v\n%s", err, stderr.String())
	}
}
