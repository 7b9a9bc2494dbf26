package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// FileError says which file of a TLS block cannot be used.
type FileError struct {
	Key  string // ca_file, cert_file or key_file
	Path string
	Err  error
}

func (e *FileError) Error() string { return fmt.Sprintf("%s %s: %v", e.Key, quote(e.Path), e.Err) }
func (e *FileError) Unwrap() error { return e.Err }

const maxPEM = 4 << 20 // bytes; the bundles of operating systems have a quarter of a MiB

// ClientConfig reads the files and returns what crypto/tls takes, TLS 1.2 at
// least. The error is a *FileError. Files are read now and not again: a new
// certificate needs a restart.
func (t TLS) ClientConfig() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	if t.CAFile != "" {
		text, err := readSmall(t.CAFile, maxPEM)
		if err != nil {
			return nil, &FileError{"ca_file", t.CAFile, err}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, &FileError{"ca_file", t.CAFile, errors.New("no certificate in PEM form is in it")}
		}
	}
	if t.CertFile == "" && t.KeyFile == "" {
		return c, nil
	}
	cert, err := readSmall(t.CertFile, maxPEM)
	if err != nil {
		return nil, &FileError{"cert_file", t.CertFile, err}
	}
	key, err := readSmall(t.KeyFile, maxPEM)
	if err != nil {
		return nil, &FileError{"key_file", t.KeyFile, err}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, &FileError{"key_file", t.KeyFile, fmt.Errorf("it does not go with cert_file: %w", err)}
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}
