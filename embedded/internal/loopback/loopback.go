// Package loopback keeps the embedded servers, which know no authentication,
// off the network.
package loopback

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// ErrNotLoopback reports an address that other machines could reach.
var ErrNotLoopback = errors.New("embedded servers listen on loopback addresses only")

// Resolve returns host:port with the host as an IP address. It is also what
// clients are told, and they may resolve a name differently. localhost is
// 127.0.0.1; other names are refused, because what they resolve to can change.
func Resolve(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("address %q: %w", addr, err)
	}
	if strings.EqualFold(host, "localhost") {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("%w: %q", ErrNotLoopback, addr)
	}
	return net.JoinHostPort(host, port), nil
}
