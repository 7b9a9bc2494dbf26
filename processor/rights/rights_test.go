package rights

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var names = Names{App: "shop", Orders: "o", Behaviors: "b", Journal: "tidemark-shop-journal", Control: "tidemark-shop-control",
	Transfers: "tidemark-shop-transfers", Out: []string{"tier-changes", "dead-letters"}, DeadLetters: "dead-letters", Group: "tidemark-shop"}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func cluster(t *testing.T, o ...kfake.Opt) string {
	t.Helper()
	c, err := kfake.NewCluster(append(o, kfake.NumBrokers(1), kfake.SeedTopics(1, "o", "b", "tier-changes", "dead-letters",
		"tidemark-shop-journal", "tidemark-shop-control", "tidemark-shop-transfers"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

// A cluster without an authorizer allows everything, topics that are not there included.
func TestAnOpenCluster(t *testing.T) {
	a := Access{Brokers: []string{cluster(t)}}
	n := names
	n.Out = append(n.Out, "not-there")
	if err := a.Check(within(t), Run(n)); err != nil {
		t.Error(err)
	}
}

// Against an authorizer: what is not granted is named, all of it and nothing
// else. The same against Apache Kafka's own authorizer is TestSecuredRights of e2e.
func TestMissingRightsAreNamed(t *testing.T) {
	resource := map[Resource]kmsg.ACLResourceType{Topic: kmsg.ACLResourceTypeTopic, Group: kmsg.ACLResourceTypeGroup, TransactionalID: kmsg.ACLResourceTypeTransactionalId}
	need := Run(names)
	for _, without := range append([]Rule{{}}, need...) {
		var acls []kfake.ACL
		want := 0
		for _, r := range need {
			if r == without {
				want++
				continue
			}
			acls = append(acls, kfake.ACL{Resource: resource[r.Resource], Name: r.Name, Pattern: kmsg.ACLResourcePatternTypeLiteral,
				Operation: kmsg.ACLOperation(r.Operation), Allow: true})
		}
		broker := cluster(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "tm", "secret", acls...))
		transport := &kafka.Transport{SASL: plain.Mechanism{Username: "tm", Password: "secret"}}
		err := Access{Brokers: []string{broker}, Transport: transport, Principal: "User:tm"}.Check(within(t), need)
		transport.CloseIdleConnections()
		var m *MissingError
		if errors.As(err, &m); want == 0 && err != nil || want == 1 && (m == nil || len(m.Rules) != 1 || m.Rules[0] != without) {
			t.Errorf("without %v on %s: %v", without.Operation, without.Name, err)
		}
	}
}

func TestTheTextNamesWhatToDo(t *testing.T) {
	e := &MissingError{Principal: "User:tm", Brokers: []string{"b:9093"}, Rules: []Rule{
		{Operation: Write, Resource: Topic, Name: "tier-changes"},
		{Write, Topic, "tidemark-shop-journal", "tidemark-shop-"}, {Write, Topic, "tidemark-shop-control", "tidemark-shop-"}}}
	want := `the cluster does not allow User:tm the operation Write on Topic tier-changes; grant it: kafka-acls.sh --bootstrap-server b:9093 --add --allow-principal 'User:tm' --operation Write --topic 'tier-changes' --resource-pattern-type literal
the cluster does not allow User:tm the operation Write on Topic tidemark-shop-journal; grant it: kafka-acls.sh --bootstrap-server b:9093 --add --allow-principal 'User:tm' --operation Write --topic 'tidemark-shop-' --resource-pattern-type prefixed
the cluster does not allow User:tm the operation Write on Topic tidemark-shop-control`
	if got := e.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What Check can't see is named by what was refused.
func TestARefusalIsExplained(t *testing.T) {
	a := Access{Brokers: []string{cluster(t)}}
	create := fmt.Errorf("topics: %w", errors.Join(&TopicError{"tidemark-shop-control", kafka.TopicAuthorizationFailed}, &TopicError{"o", kafka.InvalidTopic}))
	for _, x := range []struct {
		err  error
		need []Rule
		want string
	}{
		{fmt.Errorf("init: %w", kafka.TransactionalIDAuthorizationFailed), Run(names), "Write on TransactionalId tidemark-shop-0-0"},
		{kafka.GroupAuthorizationFailed, Run(names), "Read on Group tidemark-shop"},
		{create, Creating(names), "Create on Topic tidemark-shop-control"},
	} {
		err := a.Explain(within(t), x.err, x.need)
		var m *MissingError
		if !errors.As(err, &m) || len(m.Rules) != 1 || !strings.Contains(err.Error(), x.want) || !errors.Is(err, x.err) && !errors.Is(m.Cause, x.err) {
			t.Errorf("%v: %v, want %s", x.err, err, x.want)
		}
	}
	for _, err := range []error{errors.New("other"), kafka.NotLeaderForPartition} {
		if got := a.Explain(within(t), err, Run(names)); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}
