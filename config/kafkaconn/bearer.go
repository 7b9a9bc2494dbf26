package kafkaconn

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-msk-iam-sasl-signer-go/signer"
	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"tidemark/config"
)

// TokenError is a token that could not be had. Its text holds no secret.
type TokenError struct {
	From   string // the endpoint
	Err    error
	Waited bool // no answer, 429 or 5xx: worth asking again
}

func (e *TokenError) Error() string {
	return fmt.Sprintf("kafkaconn: no token for Kafka from %s: %v", e.From, e.Err)
}
func (e *TokenError) Unwrap() error { return e.Err }

// Timeout and Temporary say that it may work in a while, as net.Error has it.
func (e *TokenError) Timeout() bool   { return e.Waited }
func (e *TokenError) Temporary() bool { return e.Waited }

// bearer is SASL OAUTHBEARER (RFC 7628, KIP-255). A token serves all
// connections until four fifths of its life are over; an older one still does
// while no new one can be had.
type bearer struct {
	extensions string
	fetch      func(context.Context) (token string, expires time.Time, err error)
	now        func() time.Time

	mu      sync.Mutex
	token   string
	renew   time.Time // zero: for each connection anew
	expires time.Time
}

func (*bearer) Name() string { return "OAUTHBEARER" }

func (b *bearer) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	token, err := b.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	return bearerSession{}, []byte("n,,\x01auth=Bearer " + token + b.extensions + "\x01\x01"), nil
}

func (b *bearer) get(ctx context.Context) (string, error) {
	b.mu.Lock() // also while a token is fetched: one request for all who wait
	defer b.mu.Unlock()
	now := b.now()
	if b.token != "" && now.Before(b.renew) {
		return b.token, nil
	}
	token, expires, err := b.fetch(ctx)
	if err != nil {
		if b.token != "" && now.Before(b.expires) {
			return b.token, nil
		}
		return "", err
	}
	b.token, b.expires, b.renew = token, expires, time.Time{}
	if !expires.IsZero() {
		b.renew = now.Add(expires.Sub(now) * 4 / 5)
	}
	return token, nil
}

type bearerSession struct{}

// Next takes the broker's answer: nothing, or why it refuses (RFC 7628, 3.2.2).
func (bearerSession) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	if len(challenge) == 0 {
		return true, nil, nil
	}
	text := string(challenge)
	if len(text) > 300 {
		text = text[:300]
	}
	return false, nil, fmt.Errorf("%w: the broker refuses the token: %q; look at kafka.sasl.oauth.scope and audience, and at the broker's expected issuer and audience",
		kafka.SASLAuthenticationFailed, text)
}

const tokenTimeout = 10 * time.Second // of one request to the endpoint

// clientCredentials asks the token endpoint (RFC 6749, 4.4).
func clientCredentials(o config.OAuth) (*bearer, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		var err error
		if t, err = (config.TLS{CAFile: o.CAFile}).ClientConfig(); err != nil {
			return nil, fmt.Errorf("kafkaconn: kafka.sasl.oauth: %w", err)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = t
	// A redirect would carry the secret to wherever it points.
	client := &http.Client{Transport: transport, Timeout: tokenTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	cc := &clientcredentials.Config{ClientID: o.ClientID, ClientSecret: o.ClientSecret.Reveal(), TokenURL: o.TokenURL, Scopes: strings.Fields(o.Scope)}
	if o.Audience != "" {
		cc.EndpointParams = url.Values{"audience": {o.Audience}}
	}
	b := &bearer{now: time.Now, fetch: func(ctx context.Context) (string, time.Time, error) {
		token, err := cc.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
		if err != nil {
			return "", time.Time{}, tokenError(o.TokenURL, err)
		}
		if token.Expiry.IsZero() {
			token.Expiry = claimedExpiry(token.AccessToken)
		}
		return token.AccessToken, token.Expiry, nil
	}}
	for _, x := range o.Extensions {
		b.extensions += "\x01" + x
	}
	return b, nil
}

// tokenError leaves out the answer's body but for what RFC 6749, 5.2, says of
// the refusal: a provider may repeat the request in it.
func tokenError(from string, err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return &TokenError{From: from, Err: err, Waited: true}
	}
	status := 0
	if refused.Response != nil {
		status = refused.Response.StatusCode
	}
	text := fmt.Sprintf("status %d", status)
	if refused.ErrorCode != "" {
		text += ", " + refused.ErrorCode
	}
	switch {
	case refused.ErrorCode == "invalid_client" || status == http.StatusUnauthorized:
		text += ": look at kafka.sasl.oauth.client_id and client_secret"
	case refused.ErrorCode == "invalid_scope":
		text += ": look at kafka.sasl.oauth.scope"
	}
	return &TokenError{From: from, Err: errors.New(text), Waited: status == http.StatusTooManyRequests || status >= 500}
}

// claimedExpiry is the exp of a JWT, which is not checked here; the zero time
// for another kind of token.
func claimedExpiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Expires int64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(text, &claims) != nil || claims.Expires <= 0 {
		return time.Time{}
	}
	return time.Unix(claims.Expires, 0)
}

// mskIAM signs tokens with AWS credentials, which come from the environment,
// AWS's files, or the machine's role.
func mskIAM(region string) *bearer {
	return &bearer{now: time.Now, fetch: func(ctx context.Context) (string, time.Time, error) {
		token, ms, err := signer.GenerateAuthToken(ctx, region)
		if err != nil {
			return "", time.Time{}, &TokenError{From: "AWS credentials", Err: err}
		}
		return token, time.UnixMilli(ms), nil
	}}
}
