package tail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"tidemark/schemas"
	"tidemark/schemas/avrojson"
	"tidemark/schemas/registry"
)

// Schemas finds writer schemas; a registry.Client or a registry.Folder.
type Schemas interface {
	SchemaByID(ctx context.Context, id int32) (schema string, refs []string, err error)
}

// Values shows the values of records. It is for one goroutine.
type Values struct {
	schemas Schemas
	byID    map[int32]*avrojson.Schema
}

// NewValues returns Values that ask s, each id once.
func NewValues(s Schemas) *Values { return &Values{schemas: s, byID: map[int32]*avrojson.Schema{}} }

// UnreadableError says why a value cannot be shown: its frame, its schema or
// its body is wrong. Asking again gives the same until the registry changes.
type UnreadableError struct{ Err error }

func (e *UnreadableError) Error() string { return e.Err.Error() }
func (e *UnreadableError) Unwrap() error { return e.Err }

// JSON returns a value in the wire format as JSON, "null" for a tombstone. The
// error is an *UnreadableError, or the registry's where that gives no answer.
func (v *Values) JSON(ctx context.Context, value []byte) (json.RawMessage, error) {
	if value == nil {
		return json.RawMessage("null"), nil
	}
	id, body, err := schemas.ParseWire(value)
	if err != nil {
		return nil, &UnreadableError{err}
	}
	s := v.byID[id]
	if s == nil {
		text, refs, err := v.schemas.SchemaByID(ctx, id)
		switch {
		case errors.Is(err, registry.ErrNotFound):
			return nil, &UnreadableError{fmt.Errorf("the registry has no schema %d", id)}
		case errors.Is(err, registry.ErrUnsupported):
			return nil, &UnreadableError{err}
		case err != nil:
			return nil, err
		}
		if s, err = avrojson.Compile(text, refs...); err != nil {
			return nil, &UnreadableError{fmt.Errorf("schema %d: %w", id, err)}
		}
		v.byID[id] = s
	}
	out, err := s.Append(nil, body)
	if err != nil {
		return nil, &UnreadableError{fmt.Errorf("schema %d: %w", id, err)}
	}
	return out, nil
}
