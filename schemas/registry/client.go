package registry

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Config says where the registry is and how to speak to it.
type Config struct {
	// URLs are the addresses of one registry, for example
	// "https://registry:8081"; asked in this order, beginning with the last one
	// that answered. At least one. User and password in an address are used.
	URLs []string
	// User and Password give HTTP basic authentication.
	User, Password string
	// Token gives "Authorization: Bearer"; not together with User.
	Token string
	// TLS is used for https addresses; nil for the system's roots.
	TLS *tls.Config
	// Naming says under which subjects schemas are registered and looked up.
	Naming Naming
	// Timeout bounds one request to one address; 5 s if zero.
	Timeout time.Duration
	// Rounds is how often all addresses are tried before ErrUnavailable; 3 if zero.
	Rounds int
	// Backoff is the wait after the first round, doubled after each further one
	// up to 16 times itself; 200 ms if zero.
	Backoff time.Duration
}

const (
	defaultTimeout = 5 * time.Second
	defaultRounds  = 3
	defaultBackoff = 200 * time.Millisecond

	maxAnswer = 8 << 20 // bytes of an answer that are read
	maxDetail = 300     // bytes of a message that are kept
	maxRefs   = 256     // schemas that one schema may refer to, directly or not

	mediaType = "application/vnd.schemaregistry.v1+json"
)

// Error codes of the Confluent REST API that say that something definitely does
// not exist: subject, version, schema.
const (
	codeSubjectNotFound = 40401
	codeVersionNotFound = 40402
	codeSchemaNotFound  = 40403
)

// Client speaks to one schema registry. It may be used by any number of goroutines.
type Client struct {
	config Config
	bases  []*url.URL
	http   *http.Client
	sleep  func(context.Context, time.Duration) error

	mu    sync.Mutex
	first int              // index in bases of the last one that answered
	found map[int32]schema // for ever
}

type schema struct {
	text string
	refs []string
}

// NewClient checks the configuration; it asks nothing of the registry. The
// error names every fault.
func NewClient(config Config) (*Client, error) {
	var faults []error
	c := &Client{config: config, found: map[int32]schema{}, sleep: sleep}
	if len(config.URLs) == 0 {
		faults = append(faults, errors.New("schema registry: no address"))
	}
	for _, text := range config.URLs {
		base, err := url.Parse(strings.TrimRight(text, "/"))
		if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
			// The error of url.Parse would repeat a password.
			faults = append(faults, errors.New("schema registry: an address is not of the form http://host:port or https://host:port"))
			continue
		}
		c.bases = append(c.bases, base)
	}
	if config.User != "" && config.Token != "" {
		faults = append(faults, errors.New("schema registry: both a user and a token"))
	}
	switch config.Naming {
	case "", TopicName, RecordName, TopicRecordName:
	default:
		faults = append(faults, fmt.Errorf("schema registry: there is no naming strategy %q", string(config.Naming)))
	}
	if config.Timeout < 0 || config.Rounds < 0 || config.Backoff < 0 {
		faults = append(faults, errors.New("schema registry: a negative time-out, number of rounds or back-off"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if c.config.Timeout == 0 {
		c.config.Timeout = defaultTimeout
	}
	if c.config.Rounds == 0 {
		c.config.Rounds = defaultRounds
	}
	if c.config.Backoff == 0 {
		c.config.Backoff = defaultBackoff
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config.TLS.Clone()
	// A redirect would carry the credentials to wherever it points.
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// SchemaByID returns the text of a schema and the texts of those that it refers
// to, each after those that it refers to itself, which is the order that
// schemas.CompileReader takes. Found schemas are kept for ever.
//
// The error is an *Error of kind ErrNotFound, ErrUnsupported or ErrUnavailable.
func (c *Client) SchemaByID(ctx context.Context, id int32) (text string, refs []string, err error) {
	c.mu.Lock()
	s, ok := c.found[id]
	c.mu.Unlock()
	if ok {
		return s.text, s.refs, nil
	}
	op := request{method: http.MethodGet, path: fmt.Sprintf("/schemas/ids/%d", id)}
	if id < 0 {
		// A registry does not route such a path, and its answer would look like
		// that of a wrong address. No registry gives a negative id.
		return "", nil, &Error{Op: op.String(), Kind: ErrNotFound, Detail: "ids are not negative"}
	}
	var answer schemaAnswer
	if err := c.ask(ctx, op, &answer); err != nil {
		return "", nil, err
	}
	if err := answer.check(op); err != nil {
		return "", nil, err
	}
	s = schema{text: answer.Schema}
	if err := c.references(ctx, answer.References, map[string]bool{}, &s.refs); err != nil {
		return "", nil, err
	}
	c.mu.Lock()
	c.found[id] = s
	c.mu.Unlock()
	return s.text, s.refs, nil
}

type reference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

type schemaAnswer struct {
	Schema     string      `json:"schema"`
	SchemaType string      `json:"schemaType"` // absent for Avro
	References []reference `json:"references"`
}

func (a *schemaAnswer) check(op request) error {
	if a.SchemaType != "" && a.SchemaType != "AVRO" {
		return &Error{Op: op.String(), Kind: ErrUnsupported, Detail: "it is " + shorten(a.SchemaType)}
	}
	if a.Schema == "" {
		return &Error{Op: op.String(), Kind: ErrUnavailable, Detail: "the answer holds no schema"}
	}
	return nil
}

// references appends the schemas that are referred to, depth first.
func (c *Client) references(ctx context.Context, list []reference, seen map[string]bool, refs *[]string) error {
	for _, r := range list {
		// A version that was deleted softly is still needed for what was written with it.
		op := request{method: http.MethodGet,
			path: fmt.Sprintf("/subjects/%s/versions/%d?deleted=true", url.PathEscape(r.Subject), r.Version)}
		if seen[op.path] {
			continue
		}
		if seen[op.path] = true; len(seen) > maxRefs {
			return &Error{Op: op.String(), Kind: ErrUnsupported, Detail: "too many references"}
		}
		var answer schemaAnswer
		if err := c.ask(ctx, op, &answer); err != nil {
			return err
		}
		if err := answer.check(op); err != nil {
			return err
		}
		if err := c.references(ctx, answer.References, seen, refs); err != nil {
			return err
		}
		*refs = append(*refs, answer.Schema)
	}
	return nil
}

// Register registers an Avro schema under a subject, see schemas.Subject, and
// returns its id; a schema that is there already keeps its id. The error is an
// *Error, of kind ErrIncompatible or ErrInvalid if the registry refused.
func (c *Client) Register(ctx context.Context, subject, text string) (id int32, err error) {
	subject, err = c.config.Naming.subject(subject, text)
	if err != nil {
		return 0, err
	}
	var answer struct {
		ID int32 `json:"id"`
	}
	op := request{method: http.MethodPost, path: "/subjects/" + url.PathEscape(subject) + "/versions",
		body: map[string]string{"schema": text}}
	if err := c.ask(ctx, op, &answer); err != nil {
		return 0, err
	}
	return answer.ID, nil
}

// Lookup returns the id and version of a schema under a subject, without
// registering it. The error is an *Error, of kind ErrNotFound if the subject or
// the schema under it does not exist.
func (c *Client) Lookup(ctx context.Context, subject, text string) (id int32, version int, err error) {
	subject, err = c.config.Naming.subject(subject, text)
	if err != nil {
		return 0, 0, err
	}
	var answer struct {
		ID      int32 `json:"id"`
		Version int   `json:"version"`
	}
	op := request{method: http.MethodPost, path: "/subjects/" + url.PathEscape(subject),
		body: map[string]string{"schema": text}}
	if err := c.ask(ctx, op, &answer); err != nil {
		return 0, 0, err
	}
	return answer.ID, answer.Version, nil
}

// SetCompatibility sets a subject's level, for example BACKWARD. The subject
// need not exist yet.
func (c *Client) SetCompatibility(ctx context.Context, subject, level string) error {
	op := request{method: http.MethodPut, path: "/config/" + url.PathEscape(subject),
		body: map[string]string{"compatibility": level}}
	return c.ask(ctx, op, nil)
}

type request struct {
	method, path string
	body         any
}

func (r request) String() string { return r.method + " " + r.path }

// ask tries the addresses in turn, in several rounds, until one gives a final
// answer. An absence is final only when every address tells of it in one round:
// a replica may lag behind the one where the schema was just registered.
func (c *Client) ask(ctx context.Context, op request, into any) error {
	var body []byte
	if op.body != nil {
		var err error
		if body, err = json.Marshal(op.body); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	wait := c.config.Backoff
	for round := 1; ; round++ {
		c.mu.Lock()
		first := c.first
		c.mu.Unlock()
		var unavailable, absent error
		for i := range c.bases {
			at := (first + i) % len(c.bases)
			err := c.once(ctx, c.bases[at], op, body, into)
			switch {
			case errors.Is(err, ErrUnavailable):
				unavailable = err
				if ctx.Err() != nil {
					return err
				}
			case errors.Is(err, ErrNotFound):
				absent = err
			default:
				c.mu.Lock()
				c.first = at
				c.mu.Unlock()
				return err
			}
		}
		if unavailable == nil {
			return absent
		}
		if round == c.config.Rounds {
			return unavailable
		}
		if err := c.sleep(ctx, wait); err != nil {
			return unavailable
		}
		wait = min(2*wait, 16*c.config.Backoff)
	}
}

// once asks one address.
func (c *Client) once(ctx context.Context, base *url.URL, op request, body []byte, into any) error {
	fail := &Error{Op: op.String(), URL: base.Redacted(), Kind: ErrUnavailable}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, op.method, base.String()+op.path, bytes.NewReader(body))
	if err != nil {
		fail.Cause = withoutURL(err)
		return fail
	}
	req.Header.Set("Accept", mediaType+", application/json")
	if body != nil {
		req.Header.Set("Content-Type", mediaType)
	}
	switch {
	case c.config.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.config.Token)
	case c.config.User != "":
		req.SetBasicAuth(c.config.User, c.config.Password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		fail.Cause = withoutURL(err)
		return fail
	}
	defer resp.Body.Close()
	fail.Status = resp.StatusCode
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		fail.Cause = err
		return fail
	}
	if len(answer) > maxAnswer {
		fail.Detail = "the answer is too long"
		return fail
	}
	if resp.StatusCode == http.StatusOK {
		if into == nil {
			return nil
		}
		if err := json.Unmarshal(answer, into); err != nil {
			fail.Detail, fail.Cause = "the answer is not the registry's", err
			return fail
		}
		return nil
	}
	var refusal struct {
		Code    int    `json:"error_code"`
		Message string `json:"message"`
	}
	// What is not JSON came from something in between; the code then stays 0.
	if json.Unmarshal(answer, &refusal) == nil {
		fail.Code, fail.Detail = refusal.Code, shorten(refusal.Message)
	}
	switch writes := op.method != http.MethodGet; {
	case fail.Code == 0:
	case resp.StatusCode == http.StatusNotFound &&
		(fail.Code == codeSubjectNotFound || fail.Code == codeVersionNotFound || fail.Code == codeSchemaNotFound):
		fail.Kind = ErrNotFound
	case resp.StatusCode == http.StatusConflict && writes:
		fail.Kind = ErrIncompatible
	case resp.StatusCode == http.StatusUnprocessableEntity && writes:
		fail.Kind = ErrInvalid
	}
	return fail
}

// withoutURL takes the address out of the HTTP client's error: Error has it, redacted.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

func shorten(s string) string {
	if len(s) > maxDetail {
		return strings.ToValidUTF8(s[:maxDetail], "") + "…"
	}
	return s
}
