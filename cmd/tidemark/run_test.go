package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/processor/rights"
	"tidemark/processor/runtime"
)

// A process that starts while the cluster comes up, or over a network that
// breaks, waits; what an operator has to put right ends it.
func TestWhatAStartWaitsFor(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{kafka.BrokerNotAvailable, true}, // a broker that is just coming up
		{kafka.ReplicaNotAvailable, true},
		{kafka.GroupCoordinatorNotAvailable, true},
		{kafka.LeaderNotAvailable, true},
		{io.EOF, true},
		{io.ErrUnexpectedEOF, true},
		{net.ErrClosed, true},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		{kafka.SASLAuthenticationFailed, false},
		{kafka.TopicAuthorizationFailed, false},
		{kafka.InvalidReplicationFactor, false},
		{runtime.ErrTopics, false},
		{fmt.Errorf("%w: %w", rights.ErrMissing, kafka.LeaderNotAvailable), false},
		{errors.New("another"), false},
	} {
		if got := passing(fmt.Errorf("starting: %w", c.err)); got != c.want {
			t.Errorf("%v: waited for: %v, want %v", c.err, got, c.want)
		}
	}
}
