package telemetry

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidemark/testkit/soak"
)

const (
	readToken    = "read-token-read-token"
	operateToken = "operate-token-operate"
)

func access(t testing.TB, certificates bool, operators ...string) *Access {
	t.Helper()
	a, err := NewAccess(readToken, operateToken, certificates, operators...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// erase is a route as `state erase` will be.
func erase(done *int) Route {
	return Route{Pattern: "POST /customers/erase", Role: Operate, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		*done++
		fmt.Fprintln(w, "erased")
	})}
}

// Every path, every kind of caller: who gets which answer.
func TestWhoGetsIn(t *testing.T) {
	erased := 0
	tel := start(t, Options{Access: access(t, false), Routes: []Route{erase(&erased)}})
	tel.Tasks.Process("the group's first assignment")
	callers := []string{"", "Bearer wrong-token-wrong-token", "Bearer " + readToken, "bearer  " + operateToken, "Basic " + readToken, "Bearer " + readToken[:len(readToken)-1], "Bearer"}
	for _, c := range []struct {
		request string
		codes   [7]int
	}{
		{"GET /healthz", [7]int{200, 200, 200, 200, 200, 200, 200}},
		{"GET /readyz", [7]int{503, 503, 503, 503, 503, 503, 503}},
		{"GET /metrics", [7]int{401, 401, 200, 200, 401, 401, 401}},
		{"GET /debug/pprof/cmdline", [7]int{401, 401, 403, 200, 401, 401, 401}},
		{"POST /customers/erase", [7]int{401, 401, 403, 200, 401, 401, 401}},
	} {
		for i, caller := range callers {
			method, path, _ := strings.Cut(c.request, " ")
			r, _ := http.NewRequest(method, "http://"+tel.Addr()+path, nil)
			if caller != "" {
				r.Header.Set("Authorization", caller)
			}
			code, body := do(t, http.DefaultTransport, r)
			if got, want := code, c.codes[i]; got != want {
				t.Errorf("%s with %q: %d, want %d", c.request, caller, got, want)
			}
			if path == "/readyz" {
				if got, want := strings.Contains(body, "first assignment"), i == 2 || i == 3; got != want {
					t.Errorf("with %q the reason is told: %v, want %v", caller, got, want)
				}
			}
			if strings.Contains(body, readToken) || strings.Contains(body, operateToken) {
				t.Errorf("a token stands in the answer %q", body)
			}
		}
	}
	if got, want := erased, 1; got != want {
		t.Errorf("erased %d times, want %d", got, want)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func do(t *testing.T, via http.RoundTripper, r *http.Request) (int, string) {
	t.Helper()
	resp, err := via.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// On loopback nobody is asked, so that a page of another site in a browser on
// this machine could operate: by its own name that resolves to loopback, or across sites.
func TestOperateIsNotForOtherSites(t *testing.T) {
	erased := 0
	tel := start(t, Options{Routes: []Route{erase(&erased)}})
	ask := func(change func(*http.Request)) int {
		r := httptest.NewRequest("POST", "http://"+tel.Addr()+"/customers/erase", nil)
		change(r)
		w := httptest.NewRecorder()
		tel.Handler().ServeHTTP(w, r)
		return w.Code
	}
	for what, change := range map[string]func(*http.Request){
		"rebound name": func(r *http.Request) { r.Host = "evil.example" },
		"cross site":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"origin":       func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
	} {
		if got, want := ask(change), 403; got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	if got, want := ask(func(*http.Request) {}), 200; got != want || erased != 1 {
		t.Errorf("by hand: %d, erased %d times", got, erased)
	}
}

func TestOffLoopbackSomebodyAsks(t *testing.T) {
	if _, err := Start(context.Background(), Options{HTTPAddr: "0.0.0.0:0"}); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("without anything: %v, want %v", err, ErrNotLoopback)
	}
	empty, err := NewAccess("", "", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(context.Background(), Options{HTTPAddr: "0.0.0.0:0", Access: empty}); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("with an Access that asks nobody: %v, want %v", err, ErrNotLoopback)
	}
	start(t, Options{HTTPAddr: "0.0.0.0:0", Access: access(t, false)})
}

func TestTokensThatAreRefused(t *testing.T) {
	for _, c := range [][2]string{{"short", ""}, {"", "short"}, {readToken, readToken}} {
		if _, err := NewAccess(c[0], c[1], false); !errors.Is(err, ErrToken) || strings.Contains(fmt.Sprint(err), "short") {
			t.Errorf("%q: %v", c, err)
		}
	}
	// An Access is in reach of whoever logs its owner.
	if text := fmt.Sprintf("%+v %#v %v", *access(t, true, "ops"), *access(t, true), access(t, false)); strings.Contains(text, readToken) || strings.Contains(text, operateToken) {
		t.Errorf("a token is printed: %s", text)
	}
}

// authority makes certificates for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

func TestClientCertificates(t *testing.T) {
	ours, foreign := newAuthority(t), newAuthority(t)
	erased := 0
	a, err := NewAccess("", "", true, "ops")
	if err != nil {
		t.Fatal(err)
	}
	tel := start(t, Options{Access: a, Routes: []Route{erase(&erased)},
		TLS: &tls.Config{Certificates: []tls.Certificate{ours.issue(t, "server")}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: ours.pool()}})
	for _, c := range []struct {
		who         string
		certificate *tls.Certificate
		codes       [3]int // healthz, metrics, erase; 0: no connection
	}{
		{"nobody", nil, [3]int{200, 401, 401}},
		{"grafana", ptr(ours.issue(t, "grafana")), [3]int{200, 200, 403}},
		{"ops", ptr(ours.issue(t, "ops")), [3]int{200, 200, 200}},
		{"ops of another authority", ptr(foreign.issue(t, "ops")), [3]int{}},
	} {
		config := &tls.Config{RootCAs: ours.pool()}
		if c.certificate != nil {
			// Given also where the server does not know its issuer.
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.certificate, nil }
		}
		via := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
		for i, request := range []string{"GET /healthz", "GET /metrics", "POST /customers/erase"} {
			method, path, _ := strings.Cut(request, " ")
			r, _ := http.NewRequest(method, "https://"+tel.Addr()+path, nil)
			resp, err := via.RoundTrip(r)
			code := 0
			if err == nil {
				code = resp.StatusCode
				resp.Body.Close()
			}
			if got, want := code, c.codes[i]; got != want {
				t.Errorf("%s, %s: %d, want %d (%v)", c.who, request, got, want, err)
			}
		}
	}
	if got, want := erased, 1; got != want {
		t.Errorf("erased %d times, want %d", got, want)
	}
}

func ptr[T any](v T) *T { return &v }

// FuzzHTTP sends any bytes as a request: nothing panics, nobody without a token
// gets anything but health, and no answer holds a token.
func FuzzHTTP(f *testing.F) { fuzzHTTP(f) }

func fuzzHTTP(f soak.F) {
	for _, s := range []string{"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /readyz HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + readToken + "\r\n\r\n",
		"POST /customers/erase HTTP/1.0\r\nAuthorization: Bearer x\r\nContent-Length: 5\r\n\r\nhello", "GET //debug/../metrics HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
		"HEAD /%2e%2e/metrics?x=%zz HTTP/1.1\r\nHost: \r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "GET /debug/pprof/cmdline HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: same-origin\r\n\r\n"} {
		f.Add([]byte(s))
	}
	erased := 0
	h := handlers{metrics: prometheus.NewRegistry(), tasks: newTasks(time.Now), access: access(f, true, "ops"), routes: []Route{erase(&erased)}}
	mux := h.mux(true, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		erased = 0
		known := h.access.bearer(r)
		if strings.HasPrefix(r.URL.Path, "/debug/pprof/") && known == Operate {
			return // a profile takes as long as it is asked to
		}
		named := r.RequestURI + r.URL.Path + r.Host
		asked := strings.Contains(named, readToken) || strings.Contains(named, operateToken)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code == http.StatusOK && known == NoRole && w.Body.String() != "ok\n" && !strings.HasPrefix(w.Body.String(), `{"ready":`) && r.Method != http.MethodHead {
			t.Fatalf("%q: 200 with %q", raw, w.Body)
		}
		if erased > 0 && known != Operate {
			t.Fatalf("%q erased", raw)
		}
		// A redirect says the path that was asked for, whatever stands in it.
		if s := w.Body.String(); !asked && (strings.Contains(s, readToken) || strings.Contains(s, operateToken)) {
			t.Fatalf("%q: a token stands in %q", raw, s)
		}
	})
}
