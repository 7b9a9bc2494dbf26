package registry

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound: the schema, subject or version does not exist.
	ErrNotFound = errors.New("the schema registry has no such schema")
	// ErrUnavailable: whether it exists is not known. Wait and ask again.
	ErrUnavailable = errors.New("the schema registry gives no answer")
	// ErrUnsupported: the schema exists and is not Avro.
	ErrUnsupported = errors.New("the schema is not Avro")
	// ErrIncompatible: the subject's compatibility level forbids the schema.
	ErrIncompatible = errors.New("the schema is not compatible with the subject's earlier ones")
	// ErrInvalid: the registry does not accept the schema, subject or level at all.
	ErrInvalid = errors.New("the schema registry refuses it as invalid")
)

// Error is an answer, or the lack of one, with what an operator needs to act.
type Error struct {
	Op     string // what was asked, for example "GET /schemas/ids/7"
	URL    string // the address that was asked last, without credentials
	Status int    // HTTP status; 0 if there was no answer
	Code   int    // error_code of the registry; 0 if it gave none
	Detail string // message of the registry, shortened
	Kind   error  // one of the sentinels of this package
	Cause  error  // the network's or the context's error, if there was one
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%v: %s", e.Kind, e.Op)
	if e.URL != "" {
		s += " at " + e.URL
	}
	if e.Status != 0 {
		s += fmt.Sprintf(": status %d", e.Status)
	}
	if e.Code != 0 {
		s += fmt.Sprintf(", error code %d", e.Code)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	if hint := e.hint(); hint != "" {
		s += " (" + hint + ")"
	}
	return s
}

func (e *Error) hint() string {
	switch e.Status {
	case 401, 403:
		return "check the registry's user, password or token"
	case 404:
		if e.Code == 0 {
			return "this does not look like a schema registry: check its address"
		}
	}
	return ""
}

// Unwrap gives both the sentinel and the cause to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}
