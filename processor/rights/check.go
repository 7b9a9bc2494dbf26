package rights

import (
	"context"
	"errors"
	"fmt"
	"slices"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describegroups"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"tidemark/processor/source"
)

// Access is a cluster and who asks it.
type Access struct {
	Brokers   []string
	Transport *kafka.Transport // nil: plain TCP
	Principal string           // as the authorizer names it; "" if not known
}

// unknown is what brokers answer that were not asked, or know nothing of rights.
const unknown = -1 << 31

// Check asks what the cluster allows of need. The error is a *MissingError, or
// the cluster's. A topic or group that does not exist is no complaint.
func (a Access) Check(ctx context.Context, need []Rule) error {
	c := source.NewClient(source.Config{Brokers: a.Brokers, Transport: a.Transport})
	defer c.Close()
	allowed, err := topics(ctx, c, need)
	if err != nil {
		return fmt.Errorf("rights: %w", err)
	}
	var missing []Rule
	for _, r := range need {
		var ok bool
		switch r.Resource {
		case Topic:
			if r.Operation == Create {
				continue // told by the attempt alone
			}
			ok, err = allowed[r.Name].holds(r.Operation), nil
		case Group:
			ok, err = a.group(ctx, r)
		case TransactionalID:
			ok, err = transactional(ctx, c, r)
		}
		if err != nil {
			return fmt.Errorf("rights: %w", err)
		}
		if !ok {
			missing = append(missing, r)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &MissingError{Rules: missing, Principal: a.Principal, Brokers: a.Brokers}
}

// allowance is a set of operations, by Kafka's codes.
type allowance struct {
	told   bool // the broker has said something
	bits   int32
	denied bool // not even Describe, and so neither Read nor Write
}

func (x allowance) holds(op Operation) bool {
	if x.denied {
		// DescribeConfigs stands on its own; it is asked about again once the
		// topic can be seen.
		return op == DescribeConfigs
	}
	return !x.told || x.bits&(1<<op) != 0
}

func (x *allowance) set(bits int32) {
	// Whoever sees a resource has at least Describe, so nothing at all means that
	// nothing was filled in.
	x.told, x.bits = bits != unknown && bits != 0, bits
}

func topics(ctx context.Context, c *source.Client, need []Rule) (map[string]allowance, error) {
	out := map[string]allowance{}
	var names []string
	for _, r := range need {
		if _, ok := out[r.Name]; r.Resource == Topic && !ok {
			out[r.Name] = allowance{}
			names = append(names, r.Name)
		}
	}
	if len(names) == 0 {
		return out, nil
	}
	m, err := c.Ask(ctx, &metadata.Request{TopicNames: names, IncludeTopicAuthorizedOperations: true})
	if err != nil {
		return nil, err
	}
	for _, t := range m.(*metadata.Response).Topics {
		x := out[t.Name]
		switch kafka.Error(t.ErrorCode) {
		case 0:
			x.set(t.TopicAuthorizedOperations)
		case kafka.TopicAuthorizationFailed:
			x.denied = true
		}
		out[t.Name] = x
	}
	return out, nil
}

// group asks the group's coordinator.
func (a Access) group(ctx context.Context, r Rule) (bool, error) {
	t := a.Transport
	if t == nil {
		t = &kafka.Transport{}
		defer t.CloseIdleConnections()
	}
	m, err := t.RoundTrip(ctx, kafka.TCP(a.Brokers...), &describegroups.Request{Groups: []string{r.Name}, IncludeAuthorizedOperations: true})
	if errors.Is(err, kafka.GroupAuthorizationFailed) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking about the group %s: %w", r.Name, err)
	}
	var x allowance
	for _, g := range m.(*describegroups.Response).Groups {
		if kafka.Error(g.ErrorCode) == kafka.GroupAuthorizationFailed {
			return false, nil
		}
		x.set(g.AuthorizedOperations)
	}
	return x.holds(r.Operation), nil
}

// transactional asks for the id's coordinator, which takes Describe; Write implies it.
func transactional(ctx context.Context, c *source.Client, r Rule) (bool, error) {
	const transactions = 1
	m, err := c.Ask(ctx, &findcoordinator.Request{Key: r.Name, KeyType: transactions})
	if err != nil {
		return false, err
	}
	return kafka.Error(m.(*findcoordinator.Response).ErrorCode) != kafka.TransactionalIDAuthorizationFailed, nil
}

// Denied reports whether err is a cluster's refusal for want of a right.
func Denied(err error) bool {
	var k kafka.Error
	if !errors.As(err, &k) {
		return false
	}
	switch k {
	case kafka.TopicAuthorizationFailed, kafka.GroupAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.TransactionalIDAuthorizationFailed:
		return true
	}
	return false
}

// Explain names the right behind a refusal: what Check finds missing of need,
// or what it can't see and the refusal is about. Every other error, and a
// refusal that nothing explains, is returned as it is.
func (a Access) Explain(ctx context.Context, err error, need []Rule) error {
	if !Denied(err) || errors.Is(err, ErrMissing) {
		return err
	}
	var found *MissingError
	if checked := a.Check(ctx, need); errors.As(checked, &found) {
		found.Cause = err
		return found
	}
	var rules []Rule
	about := denied(err)
	for _, r := range need {
		if r.Resource == Topic && len(about) > 0 && !slices.Contains(about, r.Name) {
			continue
		}
		switch {
		case r.Resource == TransactionalID && errors.Is(err, kafka.TransactionalIDAuthorizationFailed),
			r.Resource == Group && errors.Is(err, kafka.GroupAuthorizationFailed),
			r.Operation == Create && (errors.Is(err, kafka.TopicAuthorizationFailed) || errors.Is(err, kafka.ClusterAuthorizationFailed)):
			rules = append(rules, r)
		}
	}
	if len(rules) == 0 {
		return err
	}
	return &MissingError{Rules: rules, Principal: a.Principal, Brokers: a.Brokers, Cause: err}
}
