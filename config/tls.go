package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// FileError says which file of a TLS block cannot be used.
type FileError struct {
	Key  string // ca_file, client_ca_file, cert_file or key_file
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
	var err error
	if c.RootCAs, err = authorities("ca_file", t.CAFile); err != nil {
		return nil, err
	}
	if c.Certificates, err = ownCertificate(t.CertFile, t.KeyFile); err != nil {
		return nil, err
	}
	return c, nil
}

// ServerConfig reads the files of the endpoint and returns what crypto/tls takes,
// TLS 1.2 at least; nil without a certificate. Client certificates are asked for
// if ClientCAFile is set, and may be left out: a token may stand in for one. The
// error is a *FileError. Files are read now and not again.
func (t HTTPTLS) ServerConfig() (*tls.Config, error) {
	certificates, err := ownCertificate(t.CertFile, t.KeyFile)
	if err != nil || len(certificates) == 0 {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: certificates}
	if t.ClientCAFile != "" {
		c.ClientAuth = tls.VerifyClientCertIfGiven
		if c.ClientCAs, err = authorities("client_ca_file", t.ClientCAFile); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// authorities returns nil for no file.
func authorities(key, path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := readSmall(path, maxPEM)
	if err != nil {
		return nil, &FileError{key, path, err}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, &FileError{key, path, errors.New("no certificate in PEM form is in it")}
	}
	return pool, nil
}

// ownCertificate returns nil for no files.
func ownCertificate(certFile, keyFile string) ([]tls.Certificate, error) {
	if certFile == "" && keyFile == "" {
		return nil, nil
	}
	cert, err := readSmall(certFile, maxPEM)
	if err != nil {
		return nil, &FileError{"cert_file", certFile, err}
	}
	key, err := readSmall(keyFile, maxPEM)
	if err != nil {
		return nil, &FileError{"key_file", keyFile, err}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, &FileError{"key_file", keyFile, fmt.Errorf("it does not go with cert_file: %w", err)}
	}
	return []tls.Certificate{pair}, nil
}
