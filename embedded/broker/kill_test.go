package broker

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

const childDir = "TIDEMARK_TEST_BROKER_DIR"

// TestMain lets the test binary be the process that TestKill kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := produceForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// produceForEver prints each value after the broker has acknowledged it.
func produceForEver(dir string) error {
	b, err := Start(Options{Dir: dir})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := b.CreateTopics(ctx, []Topic{{Name: "orders", Partitions: 1}}); err != nil {
		return err
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		v := fmt.Sprint("v", i)
		if err := c.ProduceSync(ctx, kgo.StringRecord(v)).FirstErr(); err != nil {
			return err
		}
		fmt.Println(v)
	}
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(deadline(t), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acked []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		acked = append(acked, lines.Text())
		if len(acked) == 200 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the child was not killed: %v", err)
	}
	b := start(t, Options{Dir: dir})
	got := committed(t, b, "orders", len(acked))
	if len(got) > len(acked) { // acknowledged, but killed before it was printed
		got = got[:len(acked)]
	}
	same(t, got, acked)
}
