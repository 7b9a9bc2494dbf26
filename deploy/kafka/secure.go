package kafka

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Names of a secured node.
const (
	// Admin is the superuser, over SCRAM; it must be among Options.Users.
	Admin = "admin"
	// brokerName is the node itself, by its certificate: the second superuser.
	brokerName = "broker"
	// Audience is what a token must be for.
	Audience = "kafka"
	keyID    = "test"
	jwksFile = "jwks.json"
)

// Secured is what a client of a secured node needs. All of it is made for the
// node and goes with its folder.
type Secured struct {
	dir    string
	ca     *x509.Certificate
	caKey  *ecdsa.PrivateKey
	token  *rsa.PrivateKey
	users  map[string]string
	mutual string
	serial int64
}

// CAFile is the authority behind all certificates, PEM.
func (s *Secured) CAFile() string { return filepath.Join(s.dir, "ca.pem") }

// Mutual is the address of the listener that knows clients by their certificates.
func (s *Secured) Mutual() string { return s.mutual }

// Password of a user of Options.Users.
func (s *Secured) Password(user string) string { return s.users[user] }

func newSecured(dir string, users map[string]string) (*Secured, error) {
	if users[Admin] == "" {
		return nil, fmt.Errorf("Options.Users lacks %q", Admin)
	}
	s := &Secured{dir: dir, users: users}
	var err error
	if s.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	template := certificate("Tidemark test CA", 1)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &s.caKey.PublicKey, s.caKey)
	if err != nil {
		return nil, err
	}
	if s.ca, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	s.serial = 1
	if err := writePEM(s.CAFile(), &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return nil, err
	}
	if s.token, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	n := base64.RawURLEncoding.EncodeToString(s.token.N.Bytes())
	e := base64.RawURLEncoding.EncodeToString(big.NewInt(int64(s.token.E)).Bytes())
	keys, err := json.Marshal(map[string]any{"keys": []any{map[string]string{"kty": "RSA", "kid": keyID, "alg": "RS256", "use": "sig", "n": n, "e": e}}})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, jwksFile), keys, 0o644); err != nil {
		return nil, err
	}
	cert, key, err := s.Certificate(brokerName)
	if err != nil {
		return nil, err
	}
	// Kafka reads key and certificate from one file.
	var both []byte
	for _, path := range []string{key, cert} {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		both = append(both, text...)
	}
	return s, os.WriteFile(filepath.Join(dir, "keystore.pem"), both, 0o600)
}

func certificate(name string, serial int64) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
}

func writePEM(path string, b *pem.Block) error {
	return os.WriteFile(path, pem.EncodeToMemory(b), 0o600)
}

// Certificate makes a certificate for a client, User:CN=name to the authorizer,
// and returns the PEM files of it and of its key.
func (s *Secured) Certificate(name string) (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	s.serial++
	template := certificate(name, s.serial)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, template, s.ca, &key.PublicKey, s.caKey)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(s.dir, name+"-cert.pem"), filepath.Join(s.dir, name+"-key.pem")
	if err := writePEM(certFile, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return "", "", err
	}
	return certFile, keyFile, writePEM(keyFile, &pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// Token makes a signed token (RS256) for OAUTHBEARER, User:subject to the
// authorizer, as an identity provider would.
func (s *Secured) Token(subject string, issued time.Time, lifetime time.Duration) (string, error) {
	part := func(v map[string]any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	text := part(map[string]any{"alg": "RS256", "kid": keyID, "typ": "JWT"}) + "." +
		part(map[string]any{"sub": subject, "aud": Audience, "iat": issued.Unix(), "exp": issued.Add(lifetime).Unix()})
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.token, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// TLS is a client's side, without a certificate of its own.
func (s *Secured) TLS() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(s.ca)
	return &tls.Config{RootCAs: pool}
}

// Client options of a user, over SCRAM and TLS.
func (s *Secured) Client(user string) []kgo.Opt {
	return []kgo.Opt{kgo.DialTLSConfig(s.TLS()), kgo.SASL(scram.Auth{User: user, Pass: s.users[user]}.AsSha512Mechanism())}
}

// properties of the node: every listener speaks TLS, the clients' one asks for
// SASL, the other two for certificates, so there is nobody anonymous. Paths are
// relative to the node's folder.
func (s *Secured) properties(p ports) map[string]string {
	const sasl = "listener.name.sasl_ssl."
	s.mutual = loopback(p.mutual)
	client := "SASL_SSL://" + loopback(p.broker) + ",SSL://" + loopback(p.mutual)
	return map[string]string{
		"listeners":                                client + ",CONTROLLER://" + loopback(p.controller),
		"advertised.listeners":                     client,
		"listener.security.protocol.map":           "SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:SSL",
		"inter.broker.listener.name":               "SSL",
		"listener.name.ssl.ssl.client.auth":        "required",
		"listener.name.controller.ssl.client.auth": "required",
		"ssl.keystore.type":                        "PEM",
		"ssl.keystore.location":                    "keystore.pem",
		"ssl.truststore.type":                      "PEM",
		"ssl.truststore.location":                  "ca.pem",
		"authorizer.class.name":                    "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"allow.everyone.if.no.acl.found":           "false",
		"super.users":                              "User:" + Admin + ";User:CN=" + brokerName,

		sasl + "sasl.enabled.mechanisms":                        "SCRAM-SHA-512,OAUTHBEARER",
		sasl + "scram-sha-512.sasl.jaas.config":                 "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		sasl + "oauthbearer.sasl.jaas.config":                   "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
		sasl + "oauthbearer.sasl.server.callback.handler.class": "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
		sasl + "oauthbearer.sasl.oauthbearer.jwks.endpoint.url": s.jwksURL(),
		"sasl.oauthbearer.jwks.endpoint.url":                    s.jwksURL(),
		"sasl.oauthbearer.expected.audience":                    Audience,
	}
}

func (s *Secured) jwksURL() string { return "file://" + filepath.Join(s.dir, jwksFile) }

// javaArgs lets the broker read its keys from a file.
func (s *Secured) javaArgs() []string {
	return []string{"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=" + s.jwksURL()}
}

// formatArgs puts the users into the storage before the first start.
func (s *Secured) formatArgs() (args []string) {
	for user, password := range s.users {
		args = append(args, "--add-scram", fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", user, strings.ReplaceAll(password, `"`, ``)))
	}
	return args
}
