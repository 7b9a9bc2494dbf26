package kafka

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
)

// A secured node knows clients by password, by certificate and by token, and
// shows none of them anything without a rule.
func TestSecuredNode(t *testing.T) {
	n, err := Start(within(t), Options{Cache: testCache(t), Users: map[string]string{Admin: "admin-secret", "guest": "guest-secret"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	s := n.Secured()
	ask := func(address string, options ...kgo.Opt) (int16, error) {
		client, err := kgo.NewClient(append(options, kgo.SeedBrokers(address), kgo.RequestRetries(1))...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		req := kmsg.NewPtrDescribeACLsRequest()
		req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		r, err := req.RequestWith(within(t), client)
		if err != nil {
			return 0, err
		}
		return r.ErrorCode, nil
	}
	const refused = 31 // CLUSTER_AUTHORIZATION_FAILED
	if code, err := ask(n.Addr(), s.Client(Admin)...); code != 0 || err != nil {
		t.Errorf("admin: %d, %v", code, err)
	}
	if code, err := ask(n.Addr(), s.Client("guest")...); code != refused || err != nil {
		t.Errorf("guest: %d, %v", code, err)
	}
	for user, want := range map[string]int16{Admin: 0, "guest": refused} {
		token, err := s.Token(user, time.Now(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if code, err := ask(n.Addr(), kgo.DialTLSConfig(s.TLS()), kgo.SASL(oauth.Auth{Token: token}.AsMechanism())); code != want || err != nil {
			t.Errorf("token of %s: %d, %v", user, code, err)
		}
	}
	if _, err := ask(n.Addr(), kgo.DialTLSConfig(s.TLS())); err == nil {
		t.Error("without SASL: answered")
	}
	if _, err := ask(s.Mutual(), kgo.DialTLSConfig(s.TLS())); err == nil {
		t.Error("without a certificate: answered")
	}
}
