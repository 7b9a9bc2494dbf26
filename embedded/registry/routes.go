package registry

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode"
)

// maxBody bounds a request's body, in bytes: white space and escapes included,
// a schema of maxSchema fits.
const maxBody = 8 << 20

// ServeHTTP answers one request of the registry's API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s.mux.ServeHTTP(w, r)
}

// call is one request on its way.
type call struct {
	*http.Request
	subject string // "" where the path has none
}

// handler returns what to send, as JSON, or an error.
type handler func(*call) (any, error)

// raw is a body that is JSON already.
type raw string

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /{$}":          func(*call) (any, error) { return struct{}{}, nil },
		"GET /schemas":      s.listSchemas,
		"GET /schemas/{$}":  s.listSchemas,
		"GET /subjects":     s.listSubjects,
		"GET /subjects/{$}": s.listSubjects,

		"GET /schemas/types":             func(*call) (any, error) { return []string{avroType}, nil },
		"GET /schemas/ids/{id}":          s.getID,
		"GET /schemas/ids/{id}/schema":   s.getIDText,
		"GET /schemas/ids/{id}/subjects": s.getIDSubjects,
		"GET /schemas/ids/{id}/versions": s.getIDVersions,

		"POST /subjects/{subject}":                                s.lookUp,
		"DELETE /subjects/{subject}":                              s.dropSubject,
		"GET /subjects/{subject}/versions":                        s.listVersions,
		"POST /subjects/{subject}/versions":                       s.postVersion,
		"GET /subjects/{subject}/versions/{version}":              s.getVersion,
		"DELETE /subjects/{subject}/versions/{version}":           s.dropVersion,
		"GET /subjects/{subject}/versions/{version}/schema":       s.getVersionText,
		"GET /subjects/{subject}/versions/{version}/referencedby": s.getReferrers,

		"POST /compatibility/subjects/{subject}/versions":           s.testAll,
		"POST /compatibility/subjects/{subject}/versions/{version}": s.testOne,

		"GET /config":              s.getConfig,
		"PUT /config":              s.putConfig,
		"DELETE /config":           s.dropConfig,
		"GET /config/{subject}":    s.getConfig,
		"PUT /config/{subject}":    s.putConfig,
		"DELETE /config/{subject}": s.dropConfig,
		"GET /mode":                s.getMode,
		"PUT /mode":                s.putMode,
		"DELETE /mode":             s.dropMode,
		"GET /mode/{subject}":      s.getMode,
		"PUT /mode/{subject}":      s.putMode,
		"DELETE /mode/{subject}":   s.dropMode,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { serve(w, r, h) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			other := r.Clone(r.Context())
			other.Method = method
			if _, pattern := mux.Handler(other); pattern != "/" {
				respondError(w, refuse(codeMethodNotAllowed, "HTTP 405 Method Not Allowed"))
				return
			}
		}
		respondError(w, refuse(codeNotFound, "HTTP 404 Not Found"))
	})
	return mux
}

func serve(w http.ResponseWriter, r *http.Request, h handler) {
	c := &call{Request: r, subject: r.PathValue("subject")}
	if strings.Contains(r.Pattern, "{subject}") {
		if err := checkSubject(c.subject); err != nil {
			respondError(w, err)
			return
		}
	}
	body, err := h(c)
	if err != nil {
		respondError(w, err)
		return
	}
	if text, ok := body.(raw); ok {
		body = json.RawMessage(text)
	}
	respond(w, http.StatusOK, body)
}

// checkSubject keeps out what the real registry reserves and what could not be shown.
func checkSubject(name string) error {
	if name == "" || name == "__GLOBAL" || name == "__EMPTY" || len(name) > 1024 || strings.ContainsFunc(name, unicode.IsControl) {
		return refuse(codeInvalidSubject, "The specified subject '%s' is not a valid subject.", name)
	}
	return nil
}

// flag reads a boolean of the query; what is not true is false.
func (c *call) flag(name string) bool {
	return strings.EqualFold(c.URL.Query().Get(name), "true")
}

func (c *call) decode(v any) error {
	err := json.NewDecoder(c.Body).Decode(v)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return refuse(codeUnprocessable, "The request is larger than %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return refuse(codeUnprocessable, "The request's body is not what it should be: %v", err)
	}
	return nil
}

func (c *call) id() (int, error) {
	id, err := strconv.Atoi(c.PathValue("id"))
	if err != nil {
		return 0, refuse(codeNotFound, "HTTP 404 Not Found")
	}
	return id, nil
}

// lookup finds a version by its number or as latest, which is the latest that
// is not deleted; a deleted one only with deleted.
func (s *state) lookup(subject, which string, deleted bool) (*version, error) {
	number, err := parseVersion(which)
	if err != nil {
		return nil, err
	}
	list := s.versions(subject, deleted)
	if len(list) == 0 {
		return nil, subjectNotFound(subject)
	}
	if number == latest {
		if alive := s.versions(subject, false); len(alive) > 0 {
			return alive[len(alive)-1], nil
		}
		return list[len(list)-1], nil
	}
	if v := s.subjects[subject][number]; v != nil && (deleted || !v.deleted) {
		return v, nil
	}
	return nil, versionNotFound(number)
}

const latest = -1

func parseVersion(s string) (int, error) {
	if s == "latest" || s == "-1" {
		return latest, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 1 {
		return 0, refuse(codeInvalidVersion, "The specified version '%s' is not a valid version id. "+
			"Allowed values are between [1, 2^31-1] and the string \"latest\"", s)
	}
	return int(n), nil
}
