package kafkaconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"tidemark/config"
)

// ErrMechanism says that config.SASL.Mechanism is none of its constants.
var ErrMechanism = errors.New("kafkaconn: unknown SASL mechanism")

// keepAlive is between probes of an idle connection: well below the minutes
// after which firewalls forget one.
const keepAlive = 30 * time.Second

// Transport returns a Transport for c.Kafka, to be shared by all clients of the
// process. Certificates are read now: a new one needs a new Transport. Errors
// are a wrapped *config.FileError, ErrMechanism, or what a password breaks.
func Transport(c *config.Config) (*kafka.Transport, error) {
	k := &c.Kafka
	tlsConfig, mechanism, err := protection(k)
	if err != nil {
		return nil, err
	}
	return &kafka.Transport{
		ClientID:    k.ClientID,
		DialTimeout: k.DialTimeout,
		// Transport's own dialer gives up after 3 s, whatever DialTimeout says.
		Dial: (&net.Dialer{Timeout: k.DialTimeout, KeepAlive: keepAlive}).DialContext,
		TLS:  tlsConfig,
		SASL: mechanism,
	}, nil
}

// Dialer returns the same as Transport for the part of kafka-go that takes no
// Transport: ConsumerGroup.
func Dialer(c *config.Config) (*kafka.Dialer, error) {
	k := &c.Kafka
	tlsConfig, mechanism, err := protection(k)
	if err != nil {
		return nil, err
	}
	return &kafka.Dialer{
		ClientID:      k.ClientID,
		Timeout:       k.DialTimeout,
		DualStack:     true,
		KeepAlive:     keepAlive,
		TLS:           tlsConfig,
		SASLMechanism: mechanism,
	}, nil
}

// Principal is how the authorizer names this client where nothing else is
// configured there, such as User:tidemark; "" if that is not known here.
func Principal(c *config.Config) string {
	k := &c.Kafka
	switch {
	case k.SASL.Mechanism == config.SASLNone && !k.TLS.Enabled:
		return "User:ANONYMOUS"
	case k.SASL.Mechanism == config.SASLNone && k.TLS.CertFile != "":
		pair, err := tls.LoadX509KeyPair(k.TLS.CertFile, k.TLS.KeyFile)
		if err != nil || pair.Leaf == nil {
			return ""
		}
		return "User:" + pair.Leaf.Subject.String()
	case k.SASL.Username != "":
		return "User:" + k.SASL.Username
	}
	return ""
}

func protection(k *config.Kafka) (*tls.Config, sasl.Mechanism, error) {
	m, err := mechanism(k.SASL)
	if err != nil || !k.TLS.Enabled {
		return nil, m, err
	}
	t, err := k.TLS.ClientConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("kafkaconn: kafka.tls: %w", err)
	}
	return t, m, nil
}

// mechanism returns nil for none. All connections share one: plain and SCRAM
// keep nothing, the others keep their token under a lock.
func mechanism(s config.SASL) (sasl.Mechanism, error) {
	switch s.Mechanism {
	case config.SASLNone:
		return nil, nil
	case config.SASLPlain:
		return plain.Mechanism{Username: s.Username, Password: s.Password.Reveal()}, nil
	case config.SASLScramSHA256:
		return scramOf(scram.SHA256, s)
	case config.SASLScramSHA512:
		return scramOf(scram.SHA512, s)
	case config.SASLOAuth:
		b, err := clientCredentials(s.OAuth)
		if err != nil {
			return nil, err
		}
		return b, nil
	case config.SASLMSKIAM:
		return mskIAM(s.AWSRegion), nil
	}
	return nil, fmt.Errorf("%w %q", ErrMechanism, s.Mechanism)
}

func scramOf(a scram.Algorithm, s config.SASL) (sasl.Mechanism, error) {
	m, err := scram.Mechanism(a, s.Username, s.Password.Reveal())
	if err != nil {
		// The library's message quotes the text that SASLprep refuses.
		return nil, fmt.Errorf("kafkaconn: kafka.sasl: %s cannot take the user name or the password: they hold a character that RFC 4013 forbids", a.Name())
	}
	return m, nil
}
