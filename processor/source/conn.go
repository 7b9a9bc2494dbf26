package source

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

// conn is a connection to one broker, for one request at a time. kafka-go opens
// it (versions, SASL) and reads the small responses; fetch responses, which it
// would decode record by record, are read here as they are.
type conn struct {
	*protocol.Conn
	clientID    string
	correlation int32
	request     []byte // reused
	maxResponse int
	broken      bool
}

// dial connects to a broker with the settings of a kafka.Transport: Dial,
// DialTimeout, ClientID, TLS and SASL. Its Resolver is not used.
func dial(ctx context.Context, t *kafka.Transport, address string, maxResponse int) (*conn, error) {
	timeout := t.DialTimeout
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dialer := t.Dial
	if dialer == nil {
		dialer = (&net.Dialer{}).DialContext
	}
	nc, err := dialer(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	c := &conn{clientID: t.ClientID, maxResponse: maxResponse}
	if err := c.open(ctx, nc, t, address); err != nil {
		nc.Close()
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return nil, fmt.Errorf("source: connecting to %s: %w", address, err)
	}
	return c, nil
}

// open does all that comes before the first request of ours.
func (c *conn) open(ctx context.Context, nc net.Conn, t *kafka.Transport, address string) error {
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if config := t.TLS; config != nil {
		if config.ServerName == "" {
			config = config.Clone()
			config.ServerName = host
		}
		tc := tls.Client(nc, config)
		if err := tc.HandshakeContext(ctx); err != nil {
			return err
		}
		nc = tc
	}
	c.Conn = protocol.NewConn(nc, t.ClientID)
	m, err := c.Conn.RoundTrip(new(apiversions.Request))
	if err != nil {
		return err
	}
	r := m.(*apiversions.Response)
	if r.ErrorCode != 0 {
		return kafka.Error(r.ErrorCode)
	}
	versions := make(map[protocol.ApiKey]int16, len(r.ApiKeys))
	for _, k := range r.ApiKeys {
		for _, need := range []struct {
			key, version int16
			name         string
		}{{fetchKey, fetchVersion, "Fetch"}, {listOffsetsKey, listOffsetsVersion, "ListOffsets"}} {
			if k.ApiKey == need.key && (need.version < k.MinVersion || need.version > k.MaxVersion) {
				return fmt.Errorf("%w %s version %d, but %d to %d", ErrUnsupportedBroker, need.name, need.version, k.MinVersion, k.MaxVersion)
			}
		}
		key := protocol.ApiKey(k.ApiKey)
		versions[key] = key.SelectVersion(k.MinVersion, k.MaxVersion)
	}
	c.SetVersions(versions)
	if t.SASL == nil {
		return nil
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	return c.authenticate(sasl.WithMetadata(ctx, &sasl.Metadata{Host: host, Port: n}), t.SASL)
}

// authenticate runs the SASL exchange (KIP-43, KIP-152).
func (c *conn) authenticate(ctx context.Context, mechanism sasl.Mechanism) error {
	m, err := c.Conn.RoundTrip(&saslhandshake.Request{Mechanism: mechanism.Name()})
	if err != nil {
		return err
	}
	if code := m.(*saslhandshake.Response).ErrorCode; code != 0 {
		return fmt.Errorf("SASL mechanism %s: %w", mechanism.Name(), kafka.Error(code))
	}
	session, state, err := mechanism.Start(ctx)
	for done := false; err == nil && !done; {
		m, err = c.Conn.RoundTrip(&saslauthenticate.Request{AuthBytes: state})
		if err != nil {
			// A refusal has an error code. Some brokers just hang up instead, but so
			// does one that is being stopped, so this is worth a retry.
			return fmt.Errorf("SASL mechanism %s: %w", mechanism.Name(), err)
		}
		r := m.(*saslauthenticate.Response)
		if r.ErrorCode != 0 {
			return fmt.Errorf("%w: %s", kafka.Error(r.ErrorCode), r.ErrorMessage)
		}
		done, state, err = session.Next(ctx, r.AuthBytes)
	}
	return err
}

// guarded runs one exchange so that ctx can end it. After any error the
// connection is broken: an answer may still be under way.
func (c *conn) guarded(ctx context.Context, exchange func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	c.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	err := exchange()
	if !stop() && err == nil {
		// ctx ended and its deadline may strike any moment from now on.
		c.broken = true
		return nil
	}
	if err != nil {
		c.broken = true
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}

// message sends a request through kafka-go.
func (c *conn) message(ctx context.Context, req protocol.Message) (res protocol.Message, err error) {
	err = c.guarded(ctx, func() error {
		res, err = c.Conn.RoundTrip(req)
		return err
	})
	return res, err
}

// call sends a request encoded by hand and returns the body of its answer,
// in memory of its own.
func (c *conn) call(ctx context.Context, key, version int16, body func([]byte) []byte) (answer []byte, err error) {
	c.correlation++
	c.request = finish(body(appendHeader(c.request[:0], key, version, c.correlation, c.clientID)))
	err = c.guarded(ctx, func() error {
		if _, err := c.Write(c.request); err != nil {
			return err
		}
		var head [8]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return err
		}
		size := int32(binary.BigEndian.Uint32(head[:]))
		if size < 4 {
			return corrupt("response of %d bytes", size)
		}
		if int(size)-4 > c.maxResponse {
			return fmt.Errorf("%w: response of %d bytes, limit %d", ErrTooLarge, size, c.maxResponse)
		}
		if got := int32(binary.BigEndian.Uint32(head[4:])); got != c.correlation {
			return corrupt("answer to request %d instead of %d", got, c.correlation)
		}
		answer = make([]byte, size-4)
		_, err := io.ReadFull(c, answer)
		return err
	})
	return answer, err
}
