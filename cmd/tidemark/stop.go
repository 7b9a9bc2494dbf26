package main

import (
	"fmt"
	"time"
)

// stopGrace is added to the broker's transaction timeout: after that an open
// transaction is over whatever this process still does, so there is nothing left
// to wait for. What a task has not committed by then its next owner does again.
const stopGrace = 5 * time.Second

// within waits for wait, but no longer than limit.
func within(limit time.Duration, wait func()) error {
	done := make(chan struct{})
	go func() { wait(); close(done) }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return fmt.Errorf("not all tasks let go within %s; what they had not committed is done again from the journal", limit)
	}
}
