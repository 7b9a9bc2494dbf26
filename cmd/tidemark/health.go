package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"tidemark/config"
)

type healthCmd struct {
	Config  string        `required:"" help:"The configuration of the process that is asked."`
	Ready   bool          `help:"Ask whether it is ready, not only whether it lives."`
	Timeout time.Duration `help:"How long to wait for the answer." default:"3s"`
}

// Run asks the process on this machine at http.listen; it is what a container's
// health check calls, where there is no shell and no curl.
func (h *healthCmd) Run(ctx context.Context) error {
	c, err := config.Load(h.Config, os.Environ())
	if err != nil {
		return usageError{err}
	}
	if c.HTTP.Listen == "off" {
		return usageError{errors.New("http.listen is off: nobody answers")}
	}
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	path := "/healthz"
	if h.Ready {
		path = "/readyz"
	}
	code, body, err := askHealth(ctx, c, path)
	if err != nil {
		return err
	}
	fmt.Println(strings.TrimSpace(body))
	if code != http.StatusOK {
		return fmt.Errorf("%s answers %d", path, code)
	}
	return nil
}

func askHealth(ctx context.Context, c *config.Config, path string) (code int, body string, err error) {
	host, port, err := net.SplitHostPort(c.HTTP.Listen)
	if err != nil {
		return 0, "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme, via := "http", &http.Transport{DisableKeepAlives: true}
	own, err := c.HTTP.TLS.ServerConfig()
	if err != nil {
		return 0, "", fmt.Errorf("http.tls: %w", err)
	}
	if own != nil {
		// Its name need not be this machine's loopback, so it has to be the very certificate.
		scheme = "https"
		via.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
			if !bytes.Equal(s.PeerCertificates[0].Raw, own.Certificates[0].Certificate[0]) {
				return errors.New("another certificate than http.tls.cert_file answers")
			}
			return nil
		}}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return 0, "", err
	}
	for _, token := range []config.Secret{c.HTTP.OperateToken, c.HTTP.ReadToken} {
		if token.IsSet() {
			req.Header.Set("Authorization", "Bearer "+token.Reveal())
		}
	}
	resp, err := (&http.Client{Transport: via}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(raw), err
}
