package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"tidemark/bench/internal/proc"
	"tidemark/bench/internal/report"
	"tidemark/bench/orders"
)

const (
	silenceAfter = time.Hour       // the shortest that a playbook may say
	publishDelay = 2 * time.Second // the playbook's default: nothing is told before
)

// silence arms a timer for every customer, lets so many of them be due within one
// second, and measures from the instant at which each may be told, which is its
// due time and the publishers' delay, to the instant at which a read_committed
// consumer holds the warning.
func (b *bench) silence(ctx context.Context, customers int) error {
	app := fmt.Sprintf("silence-%s", count(customers))
	text, err := withSilence(b.playbook)
	if err != nil {
		return err
	}
	p, l, err := b.startLive(ctx, app, text)
	if err != nil {
		return err
	}
	defer p.Kill()
	defer l.client.Close()
	due := time.Now().Add(b.SilenceWait).Truncate(time.Second)
	for i := range b.Silences {
		at := due.Add(time.Duration(i) * time.Second / time.Duration(b.Silences))
		l.send(ctx, markPrefix+strconv.FormatInt(at.Add(publishDelay).UnixNano(), 10), 1_00, at.Add(-silenceAfter), nil)
	}
	for i := range customers {
		l.send(ctx, orders.Customer(i), 1_00, time.Now(), nil)
	}
	if err := l.flush(ctx); err != nil {
		return err
	}
	s, err := p.follow(ctx, b.Silences+customers, 50*time.Millisecond, nil)
	if err != nil {
		return err
	}
	if left := time.Until(due); left < 5*time.Second {
		return fmt.Errorf("%s: the orders were taken %s before the silences are due; a longer --silence-wait is needed", app, left)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	reader, err := proc.Start(b.dir+"/"+app+".consume.log", true, self, "consume", "--broker", b.c.Kafka, "--topic", app+"-churn-warnings", "--expect", strconv.Itoa(b.Silences))
	if err != nil {
		return err
	}
	defer reader.Kill()
	if _, err := reader.Line(); err != nil {
		return err
	}
	m := b.meter()
	got := make(chan error, 1)
	var seen consumed
	go func() {
		line, err := reader.Line()
		if err == nil {
			err = json.Unmarshal(line, &seen)
		}
		got <- err
	}()
	select {
	case err = <-got:
	case <-time.After(time.Until(due) + 30*time.Second):
		reader.CloseInput()
		err = <-got
	}
	if err != nil {
		return fmt.Errorf("the reader: %w", err)
	}
	end, err := p.sample(ctx)
	if err != nil {
		return err
	}
	ms := func(us int64) float64 { return float64(us) / 1000 }
	r := report.Silence{Armed: b.Silences + customers, Due: b.Silences, Received: seen.Received, Twice: seen.Twice, P50: ms(seen.P50), P99: ms(seen.P99), Max: ms(seen.Max)}
	_, _, r.OthersCores = between(m, b.meter(), end.use.CPU()-s.use.CPU())
	b.rec.Silence = append(b.rec.Silence, r)
	_, err = p.stop()
	return err
}

// withSilence gives the playbook with clock: live and one fixed silence in place
// of its churn rules.
func withSilence(text []byte) ([]byte, error) {
	live, err := turnLive(text)
	if err != nil {
		return nil, err
	}
	head, _, ok := bytes.Cut(live, []byte("\nchurn:\n"))
	if !ok {
		return nil, errors.New("the playbook has no line `churn:` to be replaced")
	}
	return fmt.Appendf(nil, "%s\nchurn:\n  - {name: silent, model: hiatus, after: %s, level: early}\n", head, "1h"), nil
}
