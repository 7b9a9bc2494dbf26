package telemetry

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Role is what somebody may do at the endpoint. A higher one includes the lower.
type Role uint8

const (
	NoRole  Role = iota // is nobody that is known
	Read                // metrics, the detail of /readyz, whatever changes nothing
	Operate             // pause, erase and the like, and profiles, which hold customers
)

func (r Role) String() string {
	switch r {
	case Read:
		return "read"
	case Operate:
		return "operate"
	}
	return "none"
}

// MinToken is the least length of a bearer token, in bytes.
const MinToken = 16

// ErrToken says that a token is too short, or that both are the same.
var ErrToken = errors.New("telemetry: unusable token")

// Access says who gets in: bearers of a token, and holders of a client
// certificate that TLS has verified. A nil Access, and one without any of them,
// asks nobody: everybody then has every role, which is for loopback alone.
//
// Tokens are kept as hashes, so that an Access may be printed.
type Access struct {
	read, operate *[sha256.Size]byte
	certificates  bool
	operators     []string
}

// NewAccess makes an Access. An empty token does not count; one under MinToken,
// and one for both roles, is ErrToken. certificates lets verified client
// certificates in: as Operate those with a common name, a DNS name or a URI
// among operators, as Read all others.
func NewAccess(readToken, operateToken string, certificates bool, operators ...string) (*Access, error) {
	a := &Access{certificates: certificates, operators: slices.Clone(operators)}
	for _, t := range []struct {
		role  Role
		token string
		to    **[sha256.Size]byte
	}{{Read, readToken, &a.read}, {Operate, operateToken, &a.operate}} {
		if t.token == "" {
			continue
		}
		if len(t.token) < MinToken {
			return nil, fmt.Errorf("%w: the one for %s has %d bytes, at least %d are needed", ErrToken, t.role, len(t.token), MinToken)
		}
		sum := sha256.Sum256([]byte(t.token))
		*t.to = &sum
	}
	if a.read != nil && a.operate != nil && *a.read == *a.operate {
		return nil, fmt.Errorf("%w: it is the same for read and operate", ErrToken)
	}
	return a, nil
}

// Asks reports whether anybody has to say who they are.
func (a *Access) Asks() bool {
	return a != nil && (a.read != nil || a.operate != nil || a.certificates)
}

// Role returns what the sender of r may do.
func (a *Access) Role(r *http.Request) Role {
	if !a.Asks() {
		return Operate
	}
	return max(a.bearer(r), a.certificate(r.TLS))
}

// bearer compares hashes, each with every token and in constant time, so that
// an answer's delay tells neither how much of a token was right nor which it is.
func (a *Access) bearer(r *http.Request) Role {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return NoRole
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	role := NoRole
	for _, t := range []struct {
		role Role
		sum  *[sha256.Size]byte
	}{{Read, a.read}, {Operate, a.operate}} {
		want := t.sum
		if want == nil {
			want = new([sha256.Size]byte) // no token has this hash, and the time is the same
		}
		if subtle.ConstantTimeCompare(sum[:], want[:]) == 1 {
			role = t.role
		}
	}
	return role
}

func (a *Access) certificate(state *tls.ConnectionState) Role {
	if !a.certificates || state == nil || len(state.VerifiedChains) == 0 {
		return NoRole
	}
	leaf := state.VerifiedChains[0][0]
	names := append([]string{leaf.Subject.CommonName}, leaf.DNSNames...)
	for _, u := range leaf.URIs {
		names = append(names, u.String())
	}
	if slices.ContainsFunc(names, func(n string) bool { return n != "" && slices.Contains(a.operators, n) }) {
		return Operate
	}
	return Read
}

// Require lets a request through to next if its sender may do role: 401 for one
// who did not say who they are, 403 for one who may not. Whatever needs Operate is
// refused, too, where a browser sends it for a page of another site, since on
// loopback being able to reach the port is all that is asked.
func (a *Access) Require(role Role, next http.Handler) http.Handler {
	guarded := next
	if role == Operate {
		guarded = http.NewCrossOriginProtection().Handler(next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch have := a.Role(r); {
		case have >= role:
			if a.Asks() {
				w.Header().Set("Cache-Control", "no-store")
			}
			guarded.ServeHTTP(w, r)
		case have == NoRole:
			w.Header().Set("WWW-Authenticate", `Bearer realm="tidemark"`)
			http.Error(w, "say who you are: a bearer token, or a client certificate", http.StatusUnauthorized)
		default:
			http.Error(w, fmt.Sprintf("this needs the role %s, yours is %s", role, have), http.StatusForbidden)
		}
	})
}
