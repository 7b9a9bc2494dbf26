package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"tidemark/embedded/internal/loopback"
)

// ErrOtherWriter reports that somebody else writes to the schemas topic.
var ErrOtherWriter = errors.New("registry: another writer is at work on the schemas topic; stop it and start this registry again")

// ErrNotLoopback reports an address that other machines could reach.
var ErrNotLoopback = loopback.ErrNotLoopback

// The API's error codes. The first three digits are the HTTP status.
const (
	codeNotFound              = 404
	codeMethodNotAllowed      = 405
	codeIncompatible          = 409
	codeSubjectNotFound       = 40401
	codeVersionNotFound       = 40402
	codeSchemaNotFound        = 40403
	codeSubjectSoftDeleted    = 40404
	codeSubjectNotSoftDeleted = 40405
	codeVersionSoftDeleted    = 40406
	codeVersionNotSoftDeleted = 40407
	codeNoSubjectConfig       = 40408
	codeNoSubjectMode         = 40409
	codeUnprocessable         = 422
	codeInvalidSchema         = 42201
	codeInvalidVersion        = 42202
	codeInvalidCompatibility  = 42203
	codeInvalidMode           = 42204
	codeNotPermitted          = 42205
	codeReferenceExists       = 42206
	codeIDMismatch            = 42207
	codeInvalidSubject        = 42208
	codeStore                 = 50001
	codeStoreTimeout          = 50002
)

// apiError is what a client sees.
type apiError struct {
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}

func (e *apiError) Error() string { return e.Message }

func (e *apiError) status() int {
	if e.Code < 1000 {
		return e.Code
	}
	return e.Code / 100
}

func refuse(code int, format string, args ...any) *apiError {
	return &apiError{Code: code, Message: fmt.Sprintf(format, args...)}
}

func subjectNotFound(subject string) *apiError {
	return refuse(codeSubjectNotFound, "Subject '%s' not found.", subject)
}

func versionNotFound(version int) *apiError {
	return refuse(codeVersionNotFound, "Version %d not found.", version)
}

const contentType = "application/vnd.schemaregistry.v1+json"

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // the client has gone: there is nobody to tell
}

func respondError(w http.ResponseWriter, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = refuse(codeStore, "%s", err)
	}
	respond(w, e.status(), e)
}
