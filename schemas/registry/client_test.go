package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/schemas"
)

var _ interface {
	SchemaByID(context.Context, int32) (string, []string, error)
	Register(context.Context, string, string) (int32, error)
} = (*Client)(nil)

// server answers with handler and counts the requests.
type server struct {
	*httptest.Server
	asked atomic.Int64
}

func serve(t *testing.T, handler http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		handler(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// client asks the servers in order and never really waits; it returns the waits.
func client(t *testing.T, config Config, servers ...*server) (*Client, *[]time.Duration) {
	t.Helper()
	for _, s := range servers {
		config.URLs = append(config.URLs, s.URL)
	}
	c, err := NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var waits []time.Duration
	c.sleep = func(ctx context.Context, d time.Duration) error {
		waits = append(waits, d)
		return ctx.Err()
	}
	return c, &waits
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

const (
	noSchema = `{"error_code":40403,"message":"Schema 7 not found"}`
	aSchema  = `{"schema":"\"string\""}`
)

// Which answers are definite and which are not: the difference between a dead
// letter and a wait.
func TestWhatAnAnswerMeans(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   error
	}{
		{"the registry's own 404", 404, noSchema, ErrNotFound},
		{"a proxy's 404", 404, "<html>not here</html>", ErrUnavailable},
		{"a 404 with another code", 404, `{"error_code":404,"message":"HTTP 404 Not Found"}`, ErrUnavailable},
		{"401", 401, `{"error_code":40101,"message":"User cannot be authenticated"}`, ErrUnavailable},
		{"403", 403, `{"error_code":40301}`, ErrUnavailable},
		{"429", 429, ``, ErrUnavailable},
		{"500", 500, `{"error_code":50001,"message":"Error in the backend data store"}`, ErrUnavailable},
		{"503", 503, `warming up`, ErrUnavailable},
		{"the right code with 500", 500, noSchema, ErrUnavailable},
		{"409 to a question", 409, `{"error_code":409}`, ErrUnavailable},
		{"a redirect", 302, ``, ErrUnavailable},
		{"200 that is no JSON", 200, `<html>log in</html>`, ErrUnavailable},
		{"200 without a schema", 200, `{}`, ErrUnavailable},
		{"Protobuf", 200, `{"schema":"syntax","schemaType":"PROTOBUF"}`, ErrUnsupported},
		{"an endless answer", 200, strings.Repeat(" ", maxAnswer+1), ErrUnavailable},
	} {
		s := serve(t, answer(c.status, c.body))
		client, _ := client(t, Config{Rounds: 1}, s)
		_, _, err := client.SchemaByID(t.Context(), 7)
		var typed *Error
		if !errors.Is(err, c.want) || !errors.As(err, &typed) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		for _, other := range []error{ErrNotFound, ErrUnavailable, ErrUnsupported, ErrIncompatible, ErrInvalid} {
			if other != c.want && errors.Is(err, other) {
				t.Errorf("%s: is %v too", c.name, other)
			}
		}
	}
}

func TestSchemaIsAskedForOnce(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.URL.Path != "/base/schemas/ids/7" || !strings.Contains(r.Header.Get("Accept"), mediaType) {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		io.WriteString(w, aSchema)
	})
	c, _ := client(t, Config{URLs: []string{s.URL + "/base/"}})
	for range 3 {
		text, refs, err := c.SchemaByID(t.Context(), 7)
		if err != nil || text != `"string"` || refs != nil {
			t.Errorf("%q %v %v", text, refs, err)
		}
	}
	if got := s.asked.Load(); got != 1 {
		t.Errorf("asked %d times", got)
	}
}

// An absence may be a replica's lag: it is asked for again each time.
func TestAbsenceIsNotKept(t *testing.T) {
	there := false
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if there {
			io.WriteString(w, aSchema)
			return
		}
		answer(404, noSchema)(w, r)
	})
	c, _ := client(t, Config{}, s)
	if _, _, err := c.SchemaByID(t.Context(), 7); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v, want %v", err, ErrNotFound)
	}
	there = true
	if _, _, err := c.SchemaByID(t.Context(), 7); err != nil {
		t.Error(err)
	}
}

func TestNegativeIDIsNotAsked(t *testing.T) {
	s := serve(t, answer(500, ""))
	c, _ := client(t, Config{}, s)
	if _, _, err := c.SchemaByID(t.Context(), -5); !errors.Is(err, ErrNotFound) || s.asked.Load() != 0 {
		t.Errorf("%v after %d questions", err, s.asked.Load())
	}
}

func TestFailover(t *testing.T) {
	down := serve(t, answer(503, ""))
	up := serve(t, answer(200, aSchema))
	c, waits := client(t, Config{}, down, up)
	for id := range int32(3) {
		if _, _, err := c.SchemaByID(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	// The one that answered is asked first from then on.
	if got, want := down.asked.Load(), int64(1); got != want {
		t.Errorf("the broken one was asked %d times, want %d", got, want)
	}
	if len(*waits) != 0 {
		t.Errorf("waited %v", *waits)
	}
}

func TestAbsenceNeedsEveryAddress(t *testing.T) {
	absent := serve(t, answer(404, noSchema))
	lagging := serve(t, answer(404, noSchema))
	up := serve(t, answer(200, aSchema))
	down := serve(t, answer(503, ""))
	for _, c := range []struct {
		name    string
		servers []*server
		want    error
	}{
		{"all say no", []*server{absent, lagging}, ErrNotFound},
		{"one lags behind", []*server{lagging, up}, nil},
		{"one is silent", []*server{absent, down}, ErrUnavailable},
	} {
		client, _ := client(t, Config{}, c.servers...)
		if _, _, err := client.SchemaByID(t.Context(), 7); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	s := serve(t, answer(503, ""))
	c, waits := client(t, Config{Rounds: 8, Backoff: 10 * time.Millisecond}, s)
	_, _, err := c.SchemaByID(t.Context(), 7)
	if !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	ms := time.Millisecond
	if want := []time.Duration{10 * ms, 20 * ms, 40 * ms, 80 * ms, 160 * ms, 160 * ms, 160 * ms}; !reflect.DeepEqual(*waits, want) {
		t.Errorf("waited %v, want %v", *waits, want)
	}
	if got := s.asked.Load(); got != 8 {
		t.Errorf("asked %d times", got)
	}
}

func TestRecoversBetweenRounds(t *testing.T) {
	var asked int
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked < 3 {
			answer(500, "")(w, r)
			return
		}
		io.WriteString(w, aSchema)
	})
	c, waits := client(t, Config{}, s)
	if _, _, err := c.SchemaByID(t.Context(), 7); err != nil || len(*waits) != 2 {
		t.Errorf("%v after %d waits", err, len(*waits))
	}
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	c, _ := client(t, Config{Timeout: time.Millisecond, Rounds: 2}, s)
	_, _, err := c.SchemaByID(t.Context(), 7)
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestCancelledIsUnavailable(t *testing.T) {
	s := serve(t, answer(503, ""))
	c, _ := client(t, Config{Rounds: 1000}, s)
	ctx, cancel := context.WithCancel(t.Context())
	c.sleep = func(ctx context.Context, d time.Duration) error {
		cancel()
		return sleep(ctx, time.Hour)
	}
	if _, _, err := c.SchemaByID(ctx, 7); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if _, _, err := c.SchemaByID(ctx, 7); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestConnectionRefusedIsUnavailable(t *testing.T) {
	s := serve(t, answer(200, aSchema))
	s.Close()
	c, _ := client(t, Config{}, s)
	if _, _, err := c.SchemaByID(t.Context(), 7); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}

func TestAuthentication(t *testing.T) {
	var got string
	handler := func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		answer(403, "")(w, r)
	}
	s := serve(t, handler)
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{}, ""},
		{Config{User: "u", Password: "secret"}, "Basic dTpzZWNyZXQ="},
		{Config{Token: "secret"}, "Bearer secret"},
		{Config{URLs: []string{strings.Replace(s.URL, "http://", "http://u:secret@", 1)}}, "Basic dTpzZWNyZXQ="},
	} {
		if c.config.URLs == nil {
			c.config.URLs = []string{s.URL}
		}
		client, _ := client(t, c.config)
		_, _, err := client.SchemaByID(t.Context(), 7)
		if got != c.want {
			t.Errorf("sent %q, want %q", got, c.want)
		}
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "check the registry's user") {
			t.Errorf("%v", err)
		}
	}
}

// The credentials must not travel to wherever an answer points.
func TestRedirectIsNotFollowed(t *testing.T) {
	target := serve(t, answer(200, aSchema))
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target.URL, http.StatusTemporaryRedirect)
	})
	c, _ := client(t, Config{User: "u", Password: "secret"}, s)
	if _, _, err := c.SchemaByID(t.Context(), 7); !errors.Is(err, ErrUnavailable) || target.asked.Load() > 0 {
		t.Errorf("%v, and the target was asked %d times", err, target.asked.Load())
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(answer(200, aSchema))
	defer s.Close()
	c, _ := client(t, Config{URLs: []string{s.URL}, TLS: s.Client().Transport.(*http.Transport).TLSClientConfig})
	if _, _, err := c.SchemaByID(t.Context(), 7); err != nil {
		t.Error(err)
	}
	c, _ = client(t, Config{URLs: []string{s.URL}})
	if _, _, err := c.SchemaByID(t.Context(), 7); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an unknown authority: %v", err)
	}
}

func TestConfigFaults(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   []string
	}{
		{Config{}, []string{"no address"}},
		{Config{URLs: []string{"registry:8081"}}, []string{"http://host:port"}},
		{Config{URLs: []string{"http://u:secret@[::1"}}, []string{"http://host:port"}},
		{Config{User: "u", Token: "t", Rounds: -1}, []string{"no address", "both", "negative"}},
	} {
		_, err := NewClient(c.config)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", c.config, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in %v", want, err)
			}
		}
	}
}

func TestReferences(t *testing.T) {
	schemas := map[string]string{
		"/schemas/ids/7": `{"schema":"A","references":[{"name":"B","subject":"b/x","version":2},{"name":"C","subject":"c","version":1}]}`,
		"/subjects/b%2Fx/versions/2?deleted=true": `{"schema":"B","references":[{"name":"C","subject":"c","version":1}]}`,
		"/subjects/c/versions/1?deleted=true":     `{"schema":"C","references":[{"name":"C","subject":"c","version":1}]}`,
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		text, ok := schemas[r.URL.RequestURI()]
		if !ok {
			t.Errorf("asked for %s", r.URL.RequestURI())
		}
		io.WriteString(w, text)
	})
	c, _ := client(t, Config{}, s)
	text, refs, err := c.SchemaByID(t.Context(), 7)
	if err != nil || text != "A" || fmt.Sprint(refs) != "[C B]" {
		t.Errorf("%s %v %v", text, refs, err)
	}
}

func TestEndlessReferences(t *testing.T) {
	var n int
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		fmt.Fprintf(w, `{"schema":"A","references":[{"name":"B","subject":"b","version":%d}]}`, n)
	})
	c, _ := client(t, Config{}, s)
	if _, _, err := c.SchemaByID(t.Context(), 7); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}

func TestWriting(t *testing.T) {
	var method, path, contentType string
	var body map[string]string
	status, text := 200, `{"id":12,"version":3}`
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		method, path, contentType = r.Method, r.URL.EscapedPath(), r.Header.Get("Content-Type")
		body = nil
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		answer(status, text)(w, r)
	})
	c, _ := client(t, Config{Rounds: 1}, s)
	schema := schemas.Text("TierChange")
	id, err := c.Register(t.Context(), schemas.Subject("a/tier-changes"), schema)
	if err != nil || id != 12 || method != "POST" || path != "/subjects/a%2Ftier-changes-value/versions" ||
		contentType != mediaType || body["schema"] != schema {
		t.Errorf("Register: %d %v, %s %s %s %v", id, err, method, path, contentType, body)
	}
	id, version, err := c.Lookup(t.Context(), "s", schema)
	if err != nil || id != 12 || version != 3 || method != "POST" || path != "/subjects/s" || body["schema"] != schema {
		t.Errorf("Lookup: %d %d %v, %s %s", id, version, err, method, path)
	}
	err = c.SetCompatibility(t.Context(), "s", "BACKWARD")
	if err != nil || method != "PUT" || path != "/config/s" || body["compatibility"] != "BACKWARD" {
		t.Errorf("SetCompatibility: %v, %s %s %v", err, method, path, body)
	}
	for _, r := range []struct {
		status int
		text   string
		want   error
	}{
		{409, `{"error_code":409,"message":"incompatible"}`, ErrIncompatible},
		{422, `{"error_code":42201,"message":"invalid"}`, ErrInvalid},
		{404, `{"error_code":40401,"message":"no subject"}`, ErrNotFound},
		{409, `<html>`, ErrUnavailable},
		{500, `{"error_code":50001}`, ErrUnavailable},
	} {
		status, text = r.status, r.text
		if _, err := c.Register(t.Context(), "s", schema); !errors.Is(err, r.want) {
			t.Errorf("Register with %d: %v, want %v", r.status, err, r.want)
		}
		if _, _, err := c.Lookup(t.Context(), "s", schema); !errors.Is(err, r.want) {
			t.Errorf("Lookup with %d: %v, want %v", r.status, err, r.want)
		}
	}
}
