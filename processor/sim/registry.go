package sim

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	sr "tidemark/schemas/registry"
)

// registry is a schema registry that can be away. Any goroutine may ask it.
type registry struct {
	w    *world
	away atomic.Bool
	hit  atomic.Int64 // asked while away
	mu   sync.Mutex
	text map[int32]string
	ids  map[string]int32
}

func newRegistry(w *world) *registry {
	return &registry{w: w, text: map[int32]string{}, ids: map[string]int32{}}
}

// SchemaByID is runtime.Registry's.
func (r *registry) SchemaByID(_ context.Context, id int32) (string, []string, error) {
	if r.away.Load() {
		r.hit.Add(1)
		return "", nil, fmt.Errorf("sim: %w", sr.ErrUnavailable)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	text, ok := r.text[id]
	if !ok {
		return "", nil, fmt.Errorf("sim: %d: %w", id, sr.ErrNotFound)
	}
	return text, nil, nil
}

// Register is runtime.Registry's.
func (r *registry) Register(_ context.Context, subject, schema string) (int32, error) {
	if r.away.Load() {
		r.hit.Add(1)
		return 0, fmt.Errorf("sim: %w", sr.ErrUnavailable)
	}
	return r.register(schema), nil
}

func (r *registry) register(schema string) int32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, ok := r.ids[schema]
	if !ok {
		id = int32(len(r.ids) + 1)
		r.ids[schema], r.text[id] = id, schema
	}
	return id
}
