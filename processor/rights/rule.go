package rights

import (
	"errors"
	"fmt"
	"strings"
)

// Operation is what an access control list allows, by Kafka's own code.
type Operation int8

const (
	Read            Operation = 3
	Write           Operation = 4
	Create          Operation = 5
	Describe        Operation = 8
	DescribeConfigs Operation = 10
)

var operations = map[Operation]string{Read: "Read", Write: "Write", Create: "Create", Describe: "Describe", DescribeConfigs: "DescribeConfigs"}

func (o Operation) String() string { return operations[o] }

// Resource is a kind of thing that is protected.
type Resource uint8

const (
	Topic Resource = iota
	Group
	TransactionalID
)

func (r Resource) String() string { return [...]string{"Topic", "Group", "TransactionalId"}[r%3] }

func (r Resource) flag() string { return [...]string{"topic", "group", "transactional-id"}[r%3] }

// Rule is one right that is needed.
type Rule struct {
	Operation Operation
	Resource  Resource
	Name      string
	// Prefix is what the documented rule grants in the place of Name: every
	// resource whose name begins so. "": Name alone.
	Prefix string
}

// Granted is the rule as it is documented: name and pattern type.
func (r Rule) Granted() (name, pattern string) {
	if r.Prefix != "" {
		return r.Prefix, "prefixed"
	}
	return r.Name, "literal"
}

// Names are the full names of what an app uses.
type Names struct {
	App                         string
	Orders, Behaviors           string
	Journal, Control, Transfers string
	Out                         []string // with the prefix
	DeadLetters                 string   // with the prefix
	Group                       string   // "": none is used
}

func (n Names) internal() string { return "tidemark-" + n.App + "-" }

func each(op Operation, names ...string) (list []Rule) {
	for _, name := range names {
		list = append(list, Rule{Operation: op, Resource: Topic, Name: name})
	}
	return list
}

// Run is what `tidemark run` needs where all topics exist.
func Run(n Names) []Rule {
	list := append(each(Read, n.Orders, n.Behaviors), each(DescribeConfigs, n.Orders, n.Behaviors)...)
	for _, op := range []Operation{Read, Write, DescribeConfigs} {
		for _, name := range []string{n.Journal, n.Control, n.Transfers} {
			list = append(list, Rule{op, Topic, name, n.internal()})
		}
	}
	list = append(list, each(Write, n.Out...)...)
	list = append(list, Rule{Write, TransactionalID, n.internal() + "0-0", n.internal()})
	if n.Group != "" {
		list = append(list, Rule{Operation: Read, Resource: Group, Name: n.Group})
	}
	return list
}

// Creating is what making the topics takes besides.
func Creating(n Names) []Rule {
	list := each(Create, n.Orders, n.Behaviors)
	for _, name := range []string{n.Journal, n.Control, n.Transfers} {
		list = append(list, Rule{Create, Topic, name, n.internal()})
	}
	return append(list, each(Create, n.Out...)...)
}

// Publish is what `tidemark publish` needs, and every other producer of events.
func Publish(n Names) []Rule { return each(Write, n.Orders, n.Behaviors) }

// Tail is what `tidemark tail` and `tidemark dlq list|show` need of each topic
// that they read.
func Tail(topics ...string) []Rule { return each(Read, topics...) }

// Replay is what `tidemark dlq replay` needs.
func Replay(n Names) []Rule {
	list := append(each(Read, n.DeadLetters, n.Orders, n.Behaviors), each(Write, n.Orders, n.Behaviors)...)
	prefix := n.internal() + "dead-letters-"
	return append(list, Rule{Write, TransactionalID, prefix + "0", prefix})
}

// Look is what `tidemark topics check` needs.
func Look(n Names) []Rule {
	list := append(each(Describe, n.Orders, n.Behaviors), each(DescribeConfigs, n.Orders, n.Behaviors)...)
	for _, op := range []Operation{Describe, DescribeConfigs} {
		for _, name := range []string{n.Journal, n.Control, n.Transfers} {
			list = append(list, Rule{op, Topic, name, n.internal()})
		}
		list = append(list, each(op, n.Out...)...)
	}
	return list
}

// ErrMissing is matched by MissingError.
var ErrMissing = errors.New("rights: not allowed")

// MissingError names the rights that the cluster does not give.
type MissingError struct {
	Rules     []Rule
	Principal string   // as the authorizer names it, such as User:tidemark; "" if not known
	Brokers   []string // for the commands
	Cause     error    // what failed; nil where it was found before anything did
}

func (e *MissingError) Is(target error) bool { return target == ErrMissing }
func (e *MissingError) Unwrap() error        { return e.Cause }

// Error names each missing right, and the command that grants it.
func (e *MissingError) Error() string {
	who, principal := "this client", e.Principal
	if principal != "" {
		who = principal
	} else {
		principal = "User:NAME"
	}
	var b strings.Builder
	told := map[string]bool{}
	for i, r := range e.Rules {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "the cluster does not allow %s the operation %s on %s %s", who, r.Operation, r.Resource, r.Name)
		name, pattern := r.Granted()
		command := fmt.Sprintf("kafka-acls.sh --bootstrap-server %s --add --allow-principal '%s' --operation %s --%s '%s' --resource-pattern-type %s",
			strings.Join(e.Brokers, ","), principal, r.Operation, r.Resource.flag(), name, pattern)
		if !told[command] {
			told[command] = true
			b.WriteString("; grant it: " + command)
		}
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, " (%v)", e.Cause)
	}
	return b.String()
}

// TopicError is what went wrong about one topic; Explain reads the topic.
type TopicError struct {
	Topic string
	Err   error
}

func (e *TopicError) Error() string { return e.Topic + ": " + e.Err.Error() }
func (e *TopicError) Unwrap() error { return e.Err }

// denied lists the topics of all TopicErrors in err that are refusals.
func denied(err error) (topics []string) {
	if t, ok := err.(*TopicError); ok && Denied(t.Err) {
		return []string{t.Topic}
	}
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		return denied(x.Unwrap())
	case interface{ Unwrap() []error }:
		for _, e := range x.Unwrap() {
			topics = append(topics, denied(e)...)
		}
	}
	return topics
}
