package kafka

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// StartShared returns the address of the checkout's shared node. It starts the
// node, on empty storage, if it does not run and answer already; one that runs
// keeps its data and its own options. It lives until StopShared.
func StartShared(ctx context.Context, o Options) (addr string, started bool, err error) {
	o, err = o.withDefaults()
	if err != nil {
		return "", false, err
	}
	// Held through the whole start: two makes at once must not both start one.
	unlock, err := lockCache(ctx, o.Cache)
	if err != nil {
		return "", false, err
	}
	defer unlock()
	if err := clearLeftovers(o.Cache); err != nil {
		return "", false, err
	}
	dir := sharedDir(o.Cache)
	if addr, ok := runningShared(ctx, dir); ok {
		return addr, false, nil
	}
	if err := discard(dir); err != nil {
		return "", false, err
	}
	jars, err := jarsLocked(ctx, o.Cache)
	if err != nil {
		return "", false, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", false, err
	}
	n, err := newNode(o, dir, jars, nil)
	if err != nil {
		return "", false, err
	}
	if err := n.bringUp(ctx); err != nil {
		return "", false, errors.Join(err, discard(dir))
	}
	if err := os.WriteFile(filepath.Join(dir, "cluster"), []byte(n.clusterID), 0o644); err != nil {
		return "", false, errors.Join(err, discard(dir))
	}
	return n.Addr(), true, nil
}

// StopShared stops the shared node and removes its data. running says whether
// there was one; that there was none is no error.
func StopShared(ctx context.Context, o Options) (running bool, err error) {
	o, err = o.withDefaults()
	if err != nil {
		return false, err
	}
	unlock, err := lockCache(ctx, o.Cache)
	if err != nil {
		return false, err
	}
	defer unlock()
	dir := sharedDir(o.Cache)
	p, err := find(dir)
	if err != nil {
		return false, err
	}
	if p != nil {
		if _, err := p.stop(ctx, o.StopLimit); err != nil {
			return true, err
		}
	}
	return p != nil, os.RemoveAll(dir)
}

func sharedDir(cache string) string { return filepath.Join(cache, "shared") }

func runningShared(ctx context.Context, dir string) (addr string, ok bool) {
	p, err := find(dir)
	if err != nil || p == nil {
		return "", false
	}
	text, err := os.ReadFile(filepath.Join(dir, "address"))
	if err != nil {
		return "", false
	}
	cluster, err := os.ReadFile(filepath.Join(dir, "cluster"))
	if err != nil {
		return "", false
	}
	addr = strings.TrimSpace(string(text))
	return addr, answers(ctx, addr, string(cluster)) == nil
}

// clearLeftovers removes every private node whose owner is gone.
func clearLeftovers(cache string) error {
	private := filepath.Join(cache, "private")
	entries, err := os.ReadDir(private)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(private, e.Name())
		owner, ok, err := tryLock(filepath.Join(dir, "owner.lock"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // its owner closed it just now
		}
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		err = discard(dir)
		owner.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// discard kills the node in dir, if one runs there, and removes the folder.
func discard(dir string) error {
	p, err := find(dir)
	if err != nil {
		return err
	}
	if p != nil {
		if err := p.kill(); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}
