package kafkaconn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"tidemark/config"
)

const (
	user     = "tidemark"
	password = "pässword, with: marks"
)

// identity is a certificate that signs itself, as PEM files and as a pair.
func identity(t *testing.T, name string) (certFile, keyFile string, pair tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, text := range map[string][]byte{certFile: certPEM, keyFile: keyPEM} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile, pair
}

// ask sends one request through a Transport and one through a Dialer, which
// must fare alike.
func ask(t *testing.T, address string, k config.Kafka) error {
	t.Helper()
	c := &config.Config{Kafka: k}
	transport, err := Transport(c)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	dialer, err := Dialer(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = (&kafka.Client{Addr: kafka.TCP(address), Transport: transport}).Metadata(ctx, &kafka.MetadataRequest{})
	conn, dialErr := dialer.DialContext(ctx, "tcp", address)
	if dialErr == nil {
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(k.DialTimeout))
		_, dialErr = conn.Brokers()
	}
	if (err == nil) != (dialErr == nil) {
		t.Errorf("Transport: %v; Dialer: %v", err, dialErr)
	}
	return err
}

func cluster(t *testing.T, o ...kfake.Opt) string {
	t.Helper()
	c, err := kfake.NewCluster(append(o, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

// TestSecuredCluster: TLS with client certificates and each mechanism, against
// a broker that refuses whatever is missing.
func TestSecuredCluster(t *testing.T) {
	ca, _, server := identity(t, "localhost")
	clientCert, clientKey, client := identity(t, "client")
	trusted := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(client.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	trusted.AddCert(leaf)
	address := cluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", user, password),
		kfake.Superuser("SCRAM-SHA-256", user+"256", password), kfake.Superuser("SCRAM-SHA-512", user+"512", password),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: trusted, ClientAuth: tls.RequireAndVerifyClientCert}))

	k := config.Default().Kafka
	k.ClientID = "tidemark-test"
	k.TLS = config.KafkaTLS{Enabled: true, TLS: config.TLS{CAFile: ca, CertFile: clientCert, KeyFile: clientKey, ServerName: "localhost"}}
	mechanisms := map[string]string{config.SASLPlain: user, config.SASLScramSHA256: user + "256", config.SASLScramSHA512: user + "512"}
	for mechanism, user := range mechanisms {
		k.SASL = config.SASL{Mechanism: mechanism, Username: user, Password: config.NewSecret(password)}
		if err := ask(t, address, k); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
		wrong := k
		wrong.SASL.Password = config.NewSecret("another")
		err := ask(t, address, wrong)
		if err == nil || strings.Contains(err.Error(), "another") {
			t.Errorf("%s with a wrong password: %v", mechanism, err)
		}
	}
	for name, change := range map[string]func(*config.Kafka){
		"no SASL":        func(k *config.Kafka) { k.SASL = config.SASL{Mechanism: config.SASLNone} },
		"no TLS":         func(k *config.Kafka) { k.TLS.Enabled = false },
		"no certificate": func(k *config.Kafka) { k.TLS.CertFile, k.TLS.KeyFile = "", "" },
		"other CA":       func(k *config.Kafka) { k.TLS.CAFile = clientCert },
		"other name":     func(k *config.Kafka) { k.TLS.ServerName = "example.org" },
	} {
		wrong := k
		change(&wrong)
		wrong.DialTimeout = time.Second // a broker that waits for TLS answers nothing
		if err := ask(t, address, wrong); err == nil {
			t.Errorf("%s: the broker answers", name)
		}
	}
	k.TLS.CAFile, k.TLS.ServerName, k.TLS.InsecureSkipVerify = "", "", true
	if err := ask(t, address, k); err != nil {
		t.Errorf("insecure_skip_verify: %v", err)
	}
}

func TestPlainCluster(t *testing.T) {
	if err := ask(t, cluster(t), config.Default().Kafka); err != nil {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	c := config.Default()
	c.Kafka.SASL.Mechanism = ""
	if _, err := Transport(c); !errors.Is(err, ErrMechanism) {
		t.Errorf("no mechanism: %v", err)
	}
	c = config.Default()
	c.Kafka.TLS = config.KafkaTLS{Enabled: true, TLS: config.TLS{CAFile: filepath.Join(t.TempDir(), "none.pem")}}
	var f *config.FileError
	if _, err := Transport(c); !errors.As(err, &f) || f.Key != "ca_file" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	c = config.Default()
	c.Kafka.SASL = config.SASL{Mechanism: config.SASLScramSHA256, Username: "u", Password: config.NewSecret("top\u0007secret")}
	if _, err := Dialer(c); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a password that SASLprep refuses: %v", err)
	}
}
