package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// DefaultMinAge is the age below which nothing is deleted.
const DefaultMinAge = 24 * time.Hour

// CollectOptions say what stays.
type CollectOptions struct {
	Keep   int           // of the newest positions; at least 1
	MinAge time.Duration // nothing younger is deleted; 0: DefaultMinAge; below 0: no bound, for erasure with nobody else alive
	Now    time.Time
	// Rewritten is when the store was last rewritten without erased customers. What is
	// older holds them, and goes as soon as it is old enough and a newer one is there.
	Rewritten time.Time
	// May is asked before every deletion and says whether the caller still owns the
	// task: it committed to the journal under its epoch a moment ago. Its error ends
	// the collection.
	May func() error
}

// Collected is what one collection did.
type Collected struct {
	Manifests, Objects int   // deleted
	Bytes              int64 // of the objects
	Kept               int   // manifests
}

// Collect deletes old manifests, then objects that no manifest needs. The newest
// checkpoint of another engine than the newest one's stays too, so that a version
// can be taken back.
func (h *Home) Collect(ctx context.Context, o CollectOptions) (Collected, error) {
	var c Collected
	switch {
	case o.MinAge == 0:
		o.MinAge = DefaultMinAge
	case o.MinAge < 0:
		o.MinAge = 0
	}
	old := o.Now.Add(-o.MinAge)
	names, err := h.List(ctx)
	if err != nil {
		return c, err
	}
	needed := map[string]bool{}
	var drop []Name
	other := false
	for i, n := range names {
		first := i > 0 && !other && n.Engine != names[0].Engine
		other = other || first
		spare := i >= max(o.Keep, 1) && !first || i >= 1 && n.Modified.Before(o.Rewritten) && !names[0].Modified.Before(o.Rewritten)
		if spare && n.Modified.Before(old) {
			drop = append(drop, n)
			continue
		}
		m, err := h.Read(ctx, n.Name)
		if corrupt := (*CorruptError)(nil); errors.As(err, &corrupt) {
			continue // nobody can restore from it; it goes when it is old enough
		} else if err != nil {
			return c, err
		}
		c.Kept++
		for j := range m.Files {
			needed[m.Files[j].SHA256] = true
		}
	}
	// Listed after the manifests were read: what came since is young.
	objects, err := h.Bucket.List(ctx, h.objects())
	if err != nil {
		return c, err
	}
	for _, n := range drop {
		if err := o.may(); err != nil {
			return c, err
		}
		if err := h.Bucket.Delete(ctx, h.manifest(n.Name)); err != nil {
			return c, err
		}
		c.Manifests++
	}
	for _, e := range objects {
		if needed[e.Key[strings.LastIndexByte(e.Key, '/')+1:]] || !e.Modified.Before(old) {
			continue
		}
		if err := o.may(); err != nil {
			return c, err
		}
		// It may have been put again since the listing.
		if now, err := h.Bucket.Stat(ctx, e.Key); err != nil || !now.Modified.Before(old) {
			continue
		}
		if err := h.Bucket.Delete(ctx, e.Key); err != nil {
			return c, err
		}
		c.Objects++
		c.Bytes += e.Size
	}
	return c, nil
}

func (o *CollectOptions) may() error {
	if o.May == nil {
		return nil
	}
	if err := o.May(); err != nil {
		return fmt.Errorf("checkpoint: collection ends: %w", err)
	}
	return nil
}
