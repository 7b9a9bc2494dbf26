package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const defaultHTTPAddr = "127.0.0.1:0"

// ErrNotLoopback says that the endpoint would have been open to other machines.
var ErrNotLoopback = errors.New("telemetry: address can be reached from other machines")

type handlers struct {
	metrics *prometheus.Registry
	tasks   *Tasks
	access  *Access
	routes  []Route
}

// Route is one more path of the endpoint, which nobody without Role reaches. It
// is served to the names of this machine alone where nobody is asked who they are.
type Route struct {
	Pattern string // of http.ServeMux, with its method
	Role    Role   // NoRole: everybody
	Handler http.Handler
}

type endpoint struct {
	addr   netip.AddrPort
	server *http.Server
	done   chan struct{}
}

// listen resolves addr once and listens on just that, so that a name can't mean
// loopback when it is checked and something else when it is bound.
func listen(ctx context.Context, o Options, log *slog.Logger, h handlers) (*endpoint, error) {
	addr := cmp.Or(o.HTTPAddr, defaultHTTPAddr)
	at, err := resolve(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("telemetry: HTTP address %q: %w", addr, err)
	}
	loopback := at.Addr().Unmap().IsLoopback()
	if !loopback && !o.AllowRemote && !o.Access.Asks() {
		return nil, fmt.Errorf("%w, and asks nobody who they are: %q; take a loopback address such as 127.0.0.1, set tokens or certificates, or allow it explicitly", ErrNotLoopback, addr)
	}
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return nil, fmt.Errorf("telemetry: HTTP address %q: %w", addr, err)
	}
	e := &endpoint{
		addr: l.Addr().(*net.TCPAddr).AddrPort(),
		server: &http.Server{
			Handler:           h.mux(loopback, log),
			TLSConfig:         o.TLS,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       30 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    32 << 10,
			// No WriteTimeout: a CPU profile takes as long as it is asked to.
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
		done: make(chan struct{}),
	}
	go func() {
		defer close(e.done)
		serve := e.server.Serve
		if o.TLS != nil {
			serve = func(l net.Listener) error { return e.server.ServeTLS(l, "", "") }
		}
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("telemetry: the HTTP endpoint has stopped", "error", err)
		}
	}()
	return e, nil
}

// resolve turns host:port into one address. A name with several addresses gives
// one that is not loopback if there is any, so that the check errs on the safe side.
// An empty host is every interface, as in package net.
func resolve(ctx context.Context, addr string) (netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if host == "" {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(port)), nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	best := ips[0]
	for _, ip := range ips {
		if ip.Unmap().Is4() && !best.Unmap().Is4() {
			best = ip // "localhost" should be what people type: 127.0.0.1
		}
	}
	for _, ip := range ips {
		if !ip.Unmap().IsLoopback() {
			best = ip
			break
		}
	}
	return netip.AddrPortFrom(best.Unmap(), uint16(port)), nil
}

func (h handlers) mux(loopback bool, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h.access.Require(Read, promhttp.HandlerFor(h.metrics, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.ContinueOnError,
	})))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	})
	// Probes of an orchestrator have no token: they get the answer without the reasons.
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		h.tasks.serve(w, h.access.Role(r) >= Read)
	})
	for _, r := range h.routes {
		next := r.Handler
		if loopback && !h.access.Asks() {
			next = localHostOnly(next.ServeHTTP)
		}
		mux.Handle(r.Pattern, h.access.Require(r.Role, next))
	}
	if loopback {
		for pattern, f := range map[string]http.HandlerFunc{
			"GET /debug/pprof/":        pprof.Index,
			"GET /debug/pprof/cmdline": pprof.Cmdline,
			"GET /debug/pprof/profile": pprof.Profile,
			"GET /debug/pprof/symbol":  pprof.Symbol,
			"GET /debug/pprof/trace":   pprof.Trace,
		} {
			mux.Handle(pattern, h.access.Require(Operate, localHostOnly(f)))
		}
	}
	return mux
}

// localHostOnly refuses a request that was sent to another name. A page in a
// browser on this machine can let its own name resolve to 127.0.0.1 (DNS
// rebinding) and then read what is served here; heap dumps hold customers.
func localHostOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if !strings.EqualFold(host, "localhost") && (err != nil || !ip.IsLoopback()) {
			http.Error(w, "this is served to this machine only", http.StatusForbidden)
			return
		}
		next(w, r)
	}
}

// shutdown lets requests finish until ctx ends, then cuts them off.
func (e *endpoint) shutdown(ctx context.Context) error {
	err := e.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, e.server.Close())
	}
	<-e.done
	return err
}
