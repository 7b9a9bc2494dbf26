package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tidemark/playbook"
	"tidemark/processor/runtime"
	"tidemark/publish"
	"tidemark/schemas"
)

// holding lists the files below a folder that hold what is looked for. Files that
// go meanwhile hold nothing.
func holding(t *testing.T, dir, what string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if bytes.Contains(b, []byte(what)) {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

// `state erase --now` against a running process: no file of its stores holds the
// customer any more, and the others go on as before.
func TestErase(t *testing.T) {
	c, conn := testCluster(t, "shop", 2)
	pb, err := playbook.Compile(starter, "starter.yaml")
	if err != nil {
		t.Fatal(err)
	}
	commits := processing(t, c, pb, 0)
	const anna, order, bob = "anna.karenina@example.com", "order-of-anna-1877", "bob"
	pub, err := publish.New(t.Context(), publish.Config{Brokers: []string{c.broker.Addr()}, Orders: c.topics.Orders, Behaviors: c.topics.Behaviors, Partitions: 2, Registry: c.config().Registry})
	if err != nil {
		t.Fatal(err)
	}
	now := schemas.EventTime(time.Now().UnixMilli())
	const others = 2000 // so many that the store's log goes to the disk
	for i := range others + 2 {
		id := fmt.Sprintf("%s-%d", bob, i)
		if i < 2 {
			id = anna
		}
		e := schemas.Event{Kind: schemas.Order, Order: schemas.Paid, EventID: fmt.Sprintf("%s-%d", order, i), OrderID: fmt.Sprintf("%s-%d", order, i), CustomerID: id,
			OccurredAt: now - schemas.Hour + schemas.EventTime(i), AmountMinor: 20_000, Currency: "USD"}
		if err := pub.Event(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
	}
	if err := pub.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	taken := int64(0)
	await(t, commits, "the orders", func(k runtime.Commit) bool { taken += k.Events; return taken >= others+2 })
	stores := filepath.Join(c.config().DataDir, "shop")
	until(t, "the log of the store on the disk", func() bool { return len(holding(t, stores, anna)) > 0 && len(holding(t, stores, bob)) > 0 })

	r := good(t, append([]string{"state", "erase", "--customer", anna, "--reason", "asked by letter", "--operator", "olga", "--now", "--format", "json"}, conn...)...)
	got := lines[receipt](t, r.out)
	if len(got) != 1 || got[0].Operator != "olga" || got[0].Topic != c.topics.Behaviors || bytes.Contains([]byte(r.out+r.stderr), []byte(anna)) {
		t.Errorf("the receipt: %s%s", r.out, r.stderr)
	}
	where := map[string]remains{}
	for _, x := range got[0].Remains {
		where[x.Where] = x
	}
	for _, w := range []string{"state", "store", "checkpoints", c.topics.Orders, c.topics.Behaviors, c.topics.Out(schemas.TierChanges), c.topics.Out(schemas.DeadLetters)} {
		if where[w].How == "" {
			t.Errorf("the receipt says nothing of %s: %s", w, r.out)
		}
	}
	until(t, "stores without her", func() bool { return len(holding(t, stores, anna)) == 0 })
	if files := holding(t, stores, order); len(files) > 0 {
		t.Errorf("ids of orders stand in %v", files)
	}
	if len(holding(t, stores, bob)) == 0 {
		t.Error("the others went with her")
	}
}
