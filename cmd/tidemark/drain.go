package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"tidemark/blobs"
	"tidemark/config"
	"tidemark/telemetry"
)

// drain sends on done once every task has brought its store to its journal's end
// (nil), or one of them stands until somebody acts (why).
func drain(tasks int32, done chan<- error) func(int32, string, string) {
	var mu sync.Mutex
	ready := map[int32]bool{}
	over := false
	return func(task int32, state, detail string) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case over:
		case state == fmt.Sprint(telemetry.Paused):
			over = true
			done <- fmt.Errorf("task %d is not at the end of its journal: %s", task, detail)
		case state == fmt.Sprint(telemetry.Running):
			if ready[task] = true; int32(len(ready)) == tasks {
				over = true
				done <- nil
			}
		}
	}
}

// told says where the drained stores of this disk stand, and saves checkpoints of
// them: a process on another disk begins there.
func told(ctx context.Context, c *config.Config, bucket *blobs.Bucket, tasks int32) error {
	p := &place{stores: &stores{Format: "text"}, c: c}
	if bucket != nil {
		p.bucket = bucket
	}
	for task := range tasks {
		if err := p.printStore(task); err != nil {
			return err
		}
	}
	if bucket == nil {
		return nil
	}
	all := make([]int32, tasks)
	for i := range all {
		all[i] = int32(i)
	}
	if _, err := p.save(ctx, all); err != nil {
		return errors.Join(errors.New("every store stands at the end of its journal; a checkpoint of them was not saved, tidemark state checkpoint does it"), err)
	}
	return nil
}
