package schemas

import (
	"embed"
	"slices"
)

//go:embed avro/*.avsc
var files embed.FS

// builtin lists every schema of the package. The order is part of the ids that
// registry.Folder gives them: append, never insert.
var builtin = []struct{ record, file string }{
	{"OrderEvent", "order_event"},
	{"BehaviorEvent", "behavior_event"},
	{"TierChange", "tier_change"},
	{"ChurnWarning", "churn_warning"},
	{"RecallTrigger", "recall_trigger"},
	{"LifecycleChange", "lifecycle_change"},
	{"EngagementTrigger", "engagement_trigger"},
	{"SuppressedTrigger", "suppressed_trigger"},
	{"LifecycleMetric", "lifecycle_metric"},
	{"DeadLetter", "dead_letter"},
	{"Journal", "journal"},
	{"Control", "control"},
	{"Transfer", "transfer"},
}

// Records names the Avro records of the package, without their namespace: the
// two inputs, the out topics in the order of the contract, the internal ones.
// The place of a name in the list never changes.
func Records() []string {
	names := make([]string, len(builtin))
	for i, b := range builtin {
		names[i] = b.record
	}
	return names
}

// Text returns the schema (.avsc) of the named record, for example "TierChange",
// or "" if the package has none of that name.
func Text(record string) string {
	i := slices.IndexFunc(builtin, func(b struct{ record, file string }) bool { return b.record == record })
	if i < 0 {
		return ""
	}
	text, err := files.ReadFile("avro/" + builtin[i].file + ".avsc")
	if err != nil {
		return "" // not reached: the files are embedded, and a test reads each
	}
	return string(text)
}

// Record returns the name of the contract's record for this kind of event.
func (k Kind) Record() string {
	if k == Behavior {
		return "BehaviorEvent"
	}
	return "OrderEvent"
}

// Record returns the name of the Avro record that the topic carries, or "" for
// a topic that is not one of OutTopics.
func (t Topic) Record() string {
	if i := slices.Index(OutTopics, t); i >= 0 {
		return builtin[2+i].record
	}
	return ""
}

// NameOf returns the name of r's Avro record, for Text, or "" for a foreign type.
func NameOf(r Record) string {
	switch r.(type) {
	case *TierChange:
		return "TierChange"
	case *ChurnWarning:
		return "ChurnWarning"
	case *RecallTrigger:
		return "RecallTrigger"
	case *LifecycleChange:
		return "LifecycleChange"
	case *EngagementTrigger:
		return "EngagementTrigger"
	case *SuppressedTrigger:
		return "SuppressedTrigger"
	case *LifecycleMetric:
		return "LifecycleMetric"
	case *DeadLetter:
		return "DeadLetter"
	case *Journal:
		return "Journal"
	case *Control:
		return "Control"
	case *Transfer:
		return "Transfer"
	}
	return ""
}

// Subject returns the registry's subject for the values of a topic, prefix
// included in topic: Confluent's TopicNameStrategy.
func Subject(topic string) string { return topic + "-value" }
