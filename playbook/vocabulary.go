package playbook

// vocabulary holds every key that the compiler knows, by the shape of the
// block that it stands in: a path without indices, "rates.*[]" for the entries
// of any currency. A test holds it together with schema.json and with what the
// compiler reads.
var vocabulary = map[string][]string{
	"": {"playbook", "version", "clock", "time_zone", "currency", "rates", "counts_at", "disorder", "publish_delay",
		"future", "horizon", "refund_wait", "unlinked", "max_event_bytes", "dead_letters", "salt", "defaults",
		"growth", "tiers", "rfm", "churn", "recall"},
	"rates.*[]":         {"from", "rate"},
	"dead_letters":      {"pause_after"},
	"defaults":          {"correct_within", "max_age"},
	"growth[]":          {"name", "per", "omit_categories"},
	"growth[].per":      {"amount", "gives"},
	"tiers[]":           {"name", "on", "window", "levels", "downgrade", "correct_within", "max_age"},
	"tiers[].window":    {"rolling"},
	"tiers[].levels[]":  {"name", "reach", "benefits"},
	"tiers[].downgrade": {"at"},
	"rfm[]":             {"name", "window", "cuts", "classes", "correct_within", "max_age"},
	"rfm[].window":      {"rolling"},
	"rfm[].cuts": {"by", "recency_days", "frequency", "monetary", "at", "plus", "refresh", "delay",
		"exact_up_to"},
	"rfm[].cuts.refresh": {"at"},
	"churn[]": {"name", "model", "after", "times", "bands", "levels", "parameters", "horizon", "threshold", "min_silence", "fallback",
		"level", "value", "correct_within", "max_age"},
	"churn[].bands[]":  {"orders", "after", "early", "late", "lost"},
	"churn[].levels":   {"early", "late", "lost"},
	"churn[].fallback": {"early", "late", "lost"},
	"churn[].parameters": {"model", "from", "horizon", "r", "alpha", "a", "b", "unit", "gap", "weight", "bands", "curve",
		"precision", "base_rate", "spend"},
	"churn[].parameters.bands[]":     {"orders", "early", "late", "lost"},
	"churn[].parameters.curve[]":     {"orders", "days", "away"},
	"churn[].parameters.precision[]": {"at", "is"},
	"churn[].parameters.spend":       {"p", "q", "gamma"},
	"recall[]": {"name", "on", "audience", "send_after", "expire_after", "holdout", "salt", "arms",
		"correct_within", "max_age"},
	"recall[].arms[]": {"name", "weight", "time", "content", "channel", "landing"},
}

// planned holds words of the planned language, so that their authors hear
// "not yet" instead of "unknown".
var planned = map[string][]string{
	"": {"facts", "lifecycle", "inflection", "settle", "benefits", "ledgers", "tasks", "tags", "segments", "journeys",
		"campaigns", "caps", "quiet_hours", "consent", "referral", "metrics", "calendar"},
	"growth[]":          {"factors", "decay", "window", "caps", "multiply"},
	"tiers[]":           {"keep", "grace", "notice", "on_refund", "settle", "grants", "upgrade", "validity", "roles", "episode", "cool_down", "once", "re_entry"},
	"tiers[].window":    {"calendar", "membership_anniversary", "tier_anniversary"},
	"tiers[].downgrade": {"grace", "one_step", "keep"},
	"rfm[]":             {"recency", "frequency", "monetary", "scores", "weights", "high_value", "episode"},
	"rfm[].window":      {"calendar"},
	"churn[]":           {"stream", "core_behavior", "gauge", "episode", "cool_down", "once", "re_entry"},
	"recall[]":          {"rounds", "steps", "cause", "caps", "quiet_hours", "global_control", "episode", "cool_down", "once", "re_entry"},
}

var plannedValues = map[string][]string{
	"tiers[].window":       {"calendar", "membership_anniversary", "tier_anniversary"},
	"tiers[].downgrade.at": {"end_of_local_day", "end_of_cycle"},
	"rfm[].cuts.by":        {"revenue_share", "thirds"},
	"rfm[].classes":        {"exact_125", "six", "six_thirds", "custom"},
	"churn[].model":        {"gauge"},
}
