package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// pollEvery is how often something is looked at that gives no notice of its own.
const pollEvery = 25 * time.Millisecond

// lockCache takes the lock under which nodes' folders and jars are made and
// removed; it waits for other processes until ctx ends.
func lockCache(ctx context.Context, cache string) (unlock func(), err error) {
	path := filepath.Join(cache, "lock")
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		f, ok, err := tryLock(path)
		if err != nil {
			return nil, err
		}
		if ok {
			return func() { f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %s: %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}

// tryLock takes an advisory lock that lasts until the file is closed or the
// process is gone. A child does not inherit it: Go opens files close-on-exec.
func tryLock(path string) (f *os.File, ok bool, err error) {
	f, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, false, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err == nil:
		return f, true, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, false, f.Close()
	default:
		f.Close()
		return nil, false, fmt.Errorf("lock %s: %w", path, err)
	}
}
