package kafkaconn

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/config"
)

// provider is a token endpoint.
type provider struct {
	*httptest.Server
	asked   []string // the forms
	answers func(w http.ResponseWriter)
}

func newProvider(t *testing.T) *provider {
	p := &provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		id, secret, ok := r.BasicAuth()
		if id, _ = url.QueryUnescape(id); !ok {
			id, secret = r.Form.Get("client_id"), r.Form.Get("client_secret")
		}
		if secret, _ = url.QueryUnescape(secret); id != "tm" || secret != "s3cret &" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":"%s is wrong"}`, secret)
			return
		}
		p.asked = append(p.asked, r.Form.Get("grant_type")+" "+r.Form.Get("scope")+" "+r.Form.Get("audience"))
		p.answers(w)
	}))
	t.Cleanup(p.Close)
	p.gives("token", 100)
	return p
}

func (p *provider) gives(token string, seconds int) {
	p.answers = func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": seconds})
	}
}

func (p *provider) oauth() config.OAuth {
	return config.OAuth{TokenURL: p.URL, ClientID: "tm", ClientSecret: config.NewSecret("s3cret &"), Scope: "kafka.read kafka.write", Audience: "kafka", Extensions: []string{"logicalCluster=lkc-1", "identityPoolId=p"}}
}

func start(t *testing.T, b *bearer) string {
	t.Helper()
	_, ir, err := b.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(ir)
}

func TestTokensAreFetchedKeptAndRenewed(t *testing.T) {
	p := newProvider(t)
	b, err := clientCredentials(p.oauth())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	b.now = func() time.Time { return now }
	if got, want := start(t, b), "n,,\x01auth=Bearer token\x01logicalCluster=lkc-1\x01identityPoolId=p\x01\x01"; got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
	if got, want := fmt.Sprint(p.asked), "[client_credentials kafka.read kafka.write kafka]"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	now = now.Add(79 * time.Second)
	start(t, b)
	if got, want := len(p.asked), 1; got != want {
		t.Errorf("%d requests for tokens within four fifths of a life, want %d", got, want)
	}
	now = now.Add(2 * time.Second)
	p.gives("token-2", 200) // by the real clock, so it has 119 s left
	if got := start(t, b); !strings.Contains(got, "token-2") {
		t.Errorf("after four fifths of its life the old token is sent: %q", got)
	}
	// The endpoint goes away: the token serves to its end, and not longer.
	p.answers = func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }
	now = now.Add(99 * time.Second)
	start(t, b)
	now = now.Add(25 * time.Second)
	_, _, err = b.Start(t.Context())
	var failed *TokenError
	if !errors.As(err, &failed) || !failed.Timeout() {
		t.Errorf("a 502 is not waited for: %v", err)
	}
}

func TestRefusalsTellNoSecret(t *testing.T) {
	p := newProvider(t)
	o := p.oauth()
	o.ClientSecret = config.NewSecret("topsecret")
	b, err := clientCredentials(o)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = b.Start(t.Context())
	var failed *TokenError
	if !errors.As(err, &failed) || failed.Timeout() || strings.Contains(err.Error(), "topsecret") ||
		!strings.Contains(err.Error(), "kafka.sasl.oauth.client_id and client_secret") || !strings.Contains(err.Error(), p.URL) {
		t.Errorf("a wrong secret: %v", err)
	}
	p.Close()
	if b, err = clientCredentials(p.oauth()); err != nil {
		t.Fatal(err)
	}
	if _, _, err = b.Start(t.Context()); !errors.As(err, &failed) || !failed.Timeout() {
		t.Errorf("nobody answers: %v", err)
	}
	done, _, err := bearerSession{}.Next(t.Context(), []byte(`{"status":"invalid_token"}`))
	if done || !errors.Is(err, kafka.SASLAuthenticationFailed) || !strings.Contains(err.Error(), "invalid_token") {
		t.Errorf("a refused token: %v, %v", done, err)
	}
}

// Without expires_in the token's own claim counts, as KIP-768 has it.
func TestExpiryFromTheToken(t *testing.T) {
	p := newProvider(t)
	exp := time.Now().Add(time.Hour).Unix()
	jwt := "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, exp)) + ".x"
	p.gives(jwt, 0)
	b, err := clientCredentials(p.oauth())
	if err != nil {
		t.Fatal(err)
	}
	start(t, b)
	start(t, b)
	if got, want := len(p.asked), 1; got != want || b.expires.Unix() != exp {
		t.Errorf("%d requests, expires %v", got, b.expires)
	}
	p.gives("opaque", 0)
	b.renew = time.Time{}
	start(t, b)
	start(t, b)
	if got, want := len(p.asked), 3; got != want {
		t.Errorf("a token of unknown life is kept: %d requests, want %d", got, want)
	}
}

// The token for MSK is a signed address in base64; no cluster of AWS is asked.
func TestMSKToken(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
	b := mskIAM("eu-central-1")
	ir := start(t, b)
	token := strings.TrimSuffix(strings.TrimPrefix(ir, "n,,\x01auth=Bearer "), "\x01\x01")
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"https://kafka.eu-central-1.amazonaws.com", "Action=kafka-cluster", "X-Amz-Signature=", "X-Amz-Credential=AKIDEXAMPLE"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
	if left := time.Until(b.expires); left < time.Minute || left > time.Hour {
		t.Errorf("the token expires in %v", left)
	}
}
