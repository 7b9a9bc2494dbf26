package playbook

// vocabulary holds every key that the compiler knows, by the shape of the
// block that it stands in: a path without indices, "rates.*[]" for the entries
// of any currency. A test holds it together with schema.json and with what the
// compiler reads.
var vocabulary = map[string][]string{
	"": {"playbook", "version", "clock", "time_zone", "currency", "rates", "counts_at", "disorder", "publish_delay",
		"future", "horizon", "refund_wait", "unlinked", "max_event_bytes", "dead_letters", "salt", "defaults",
		"facts", "lifecycle", "inflection", "tags", "segments", "growth", "tiers", "rfm", "churn", "recall"},
	"facts":                 {"core_behavior", "gauges", "values"},
	"facts.core_behavior[]": {"name", "behavior", "order", "when", "value", "decimals", "category", "same", "text"},
	"facts.gauges[]":        {"name", "behavior", "attribute", "decimals", "when"},
	"facts.values[]": {"name", "count", "sum", "average", "min", "max", "last", "days_since", "days_since_first", "streak", "share", "ratio",
		"after", "attribute", "first_touch", "window", "of_window", "make_up", "make_ups", "at_most", "of", "without", "same", "within", "for", "behavior"},
	"facts.values[].window":         {"rolling"},
	"facts.values[].of_window":      {"rolling"},
	"lifecycle[]":                   {"track", "stages", "dwell", "correct_within", "max_age", "cool_down", "once"},
	"lifecycle[].stages[]":          {"name", "when", "back"},
	"inflection[]":                  {"name", "on", "stable_at", "declining_after", "lost_after", "correct_within", "max_age", "cool_down", "once"},
	"tags[]":                        {"name", "when", "until", "expires", "by_hand_expires", "exclusive", "value", "correct_within", "max_age", "cool_down", "once"},
	"tags[].exclusive[]":            {"name", "when"},
	"tags[].value":                  {"attribute", "behavior", "among"},
	"segments[]":                    {"name", "when", "until", "dwell", "correct_within", "max_age", "cool_down", "once"},
	"rates.*[]":                     {"from", "rate"},
	"dead_letters":                  {"pause_after"},
	"defaults":                      {"correct_within", "max_age"},
	"growth[]":                      {"name", "per", "omit_categories", "factors", "settle"},
	"growth[].factors[]":            {"on", "per", "gives", "at_most_per_day", "multiply"},
	"growth[].factors[].per":        {"amount", "gives"},
	"growth[].factors[].multiply[]": {"on", "by"},
	"growth[].settle":               {"on", "after"},
	"growth[].per":                  {"amount", "gives"},
	"tiers[]":                       {"name", "on", "window", "levels", "downgrade", "on_refund", "notice", "correct_within", "max_age", "cool_down", "once"},
	"tiers[].window":                {"rolling"},
	"tiers[].levels[]":              {"name", "reach", "keep", "benefits"},
	"tiers[].downgrade":             {"at", "cycle", "grace", "one_step"},
	"rfm[]":                         {"name", "window", "cuts", "classes", "core_behavior", "correct_within", "max_age", "cool_down", "once"},
	"rfm[].window":                  {"rolling"},
	"rfm[].cuts": {"by", "recency_days", "frequency", "monetary", "at", "plus", "refresh", "delay",
		"exact_up_to"},
	"rfm[].cuts.refresh":    {"at"},
	"rfm[].classes":         {"scores", "weights", "list", "other"},
	"rfm[].classes.weights": {"r", "f", "m"},
	"rfm[].classes.list[]":  {"name", "r", "f", "m", "weighted"},
	"churn[]": {"name", "model", "after", "times", "bands", "levels", "parameters", "horizon", "threshold", "min_silence", "fallback",
		"level", "value", "core_behavior", "correct_within", "max_age", "cool_down", "once"},
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
		"correct_within", "max_age", "cool_down", "once"},
	"recall[].arms[]": {"name", "weight", "time", "content", "channel", "landing"},
}

// planned holds words of the planned language, so that their authors hear
// "not yet" instead of "unknown".
var planned = map[string][]string{
	"": {"settle", "benefits", "ledgers", "tasks", "journeys",
		"campaigns", "caps", "quiet_hours", "consent", "referral", "metrics", "calendar"},
	"growth[]":       {"decay", "window", "caps", "multiply"},
	"tiers[]":        {"settle", "upgrade", "validity", "roles", "episode", "re_entry"},
	"tiers[].window": {"calendar"},
	"rfm[]":          {"recency", "frequency", "monetary", "high_value", "episode"},
	"rfm[].window":   {"calendar"},
	"churn[]":        {"stream", "gauge", "episode", "re_entry"},
	"recall[]":       {"rounds", "steps", "cause", "caps", "quiet_hours", "global_control", "episode", "re_entry"},
}

var plannedValues = map[string][]string{
	"rfm[].cuts.by": {"revenue_share"},
	"churn[].model": {"gauge"},
}
