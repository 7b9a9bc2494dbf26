package config

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// Validate checks a Config that code has made or changed: every field for
// itself, what is required, and the relations between fields. It opens no
// file. The error is nil or an *Errors.
func (c *Config) Validate() error {
	l := newLoader(c.file, nil)
	l.config, l.fields = c, c.fields()
	for i := range l.fields {
		l.table[l.fields[i].path] = &l.fields[i]
	}
	if c.origins != nil {
		l.origins = c.origins
	}
	scratch := Default().fields()
	for i := range l.fields {
		f := &l.fields[i]
		at := l.origins[f.path]
		switch v := f.value.(type) {
		case *Secret: // read when it was given
		case *[]string:
			if f.required && len(*v) == 0 {
				continue // told as missing
			}
			for _, w := range scratch[i].readList(*v) {
				shown := strings.Join(*v, ",")
				if w.item >= 0 {
					shown = (*v)[w.item]
				}
				l.fault(f, at, shown, w)
			}
		default:
			if s := f.text(); s != "" || !f.required {
				for _, w := range scratch[i].read(s, l.getenv) {
					l.fault(f, at, s, w)
				}
			}
		}
	}
	l.missing(nil)
	l.relations()
	return asError(l.problems)
}

// relate reports what does not fit together, unless one of the fields is wrong
// already. The problem is said of the first field and placed at the first one
// that was given.
func (l *loader) relate(wrong bool, paths []string, problem, allowed, cure string) {
	if !wrong {
		return
	}
	var at place
	for _, path := range paths {
		if l.bad[path] {
			return
		}
		if at == (place{}) {
			at = l.origins[path]
		}
	}
	f := l.table[paths[0]]
	l.bad[f.path] = true
	w := fault{problem, allowed, cure, -1}
	l.fault(f, at, f.text(), w)
}

func fields(paths ...string) []string { return paths }

func (l *loader) relations() {
	c := l.config
	k := &c.Kafka
	show := formatDuration

	l.relate(3*k.HeartbeatInterval >= k.SessionTimeout, fields("kafka.heartbeat_interval", "kafka.session_timeout"),
		fmt.Sprintf("is not below a third of kafka.session_timeout, %s: a lost beat or two would cost the tasks", show(k.SessionTimeout)),
		"less than "+show(k.SessionTimeout/3/time.Millisecond*time.Millisecond),
		fmt.Sprintf("lower it, or raise kafka.session_timeout above %s", show(3*k.HeartbeatInterval)))
	l.relate(k.RebalanceTimeout < k.SessionTimeout, fields("kafka.rebalance_timeout", "kafka.session_timeout"),
		fmt.Sprintf("is shorter than kafka.session_timeout, %s", show(k.SessionTimeout)),
		"at least kafka.session_timeout", "raise it, or lower kafka.session_timeout")
	l.relate(k.RebalanceTimeout < k.TransactionTimeout, fields("kafka.rebalance_timeout", "kafka.transaction_timeout"),
		fmt.Sprintf("is shorter than kafka.transaction_timeout, %s: a hand-over could not wait for the last commit", show(k.TransactionTimeout)),
		"at least kafka.transaction_timeout", "raise it, or lower kafka.transaction_timeout")
	for _, d := range []struct {
		path  string
		delay time.Duration
	}{{"commit.max_delay", c.Commit.MaxDelay}, {"commit.idle_delay", c.Commit.IdleDelay}} {
		l.relate(k.TransactionTimeout < 3*d.delay, fields("kafka.transaction_timeout", d.path),
			fmt.Sprintf("is less than 3 times %s, %s: the broker could end a transaction that is still filled", d.path, show(d.delay)),
			"at least "+show(3*d.delay), fmt.Sprintf("raise it, or lower %s to %s", d.path, show(k.TransactionTimeout/3/time.Millisecond*time.Millisecond)))
	}
	l.relate(c.Commit.IdleDelay < c.Commit.MaxDelay, fields("commit.idle_delay", "commit.max_delay"),
		fmt.Sprintf("is less than commit.max_delay, %s: triggers would wait longer than nothing", show(c.Commit.MaxDelay)),
		"at least commit.max_delay", "raise it, or lower commit.max_delay")
	l.relate(c.Restart.BackoffMax < c.Restart.BackoffMin, fields("restart.backoff_max", "restart.backoff_min"),
		fmt.Sprintf("is less than restart.backoff_min, %s", show(c.Restart.BackoffMin)),
		"at least restart.backoff_min", "raise it, or lower restart.backoff_min")

	l.relate(k.ReplicationFactor == 0, fields("kafka.replication_factor"), "0 copies hold nothing",
		"1 to 100, or -1 for the broker's own default", "write 1 for a single broker, 3 for production")
	l.relate(k.ReplicationFactor > 0 && k.MinInsyncReplicas > k.ReplicationFactor,
		fields("kafka.min_insync_replicas", "kafka.replication_factor"),
		fmt.Sprintf("is more than kafka.replication_factor, %d: no write would ever be taken", k.ReplicationFactor),
		fmt.Sprintf("1 to %d", k.ReplicationFactor), "lower it, or raise kafka.replication_factor")
	l.topics()
	l.security()

	l.endpoint()
}

// minToken is telemetry.MinToken, which this package does not import; a test of
// cmd/tidemark compares.
const minToken = 16

// endpoint checks who gets in at http.listen. Nothing of a token is told, not
// even how long it is.
func (l *loader) endpoint() {
	h := &l.config.HTTP
	l.relate(h.Listen != "off" && !h.AllowRemote && !h.Asks() && !isLoopback(h.Listen), fields("http.listen", "http.allow_remote", "http.read_token", "http.operate_token", "http.tls.client_ca_file"),
		"can be reached from other machines, and nobody is asked who they are",
		"a loopback address such as 127.0.0.1:9464 while there are neither tokens nor client certificates",
		"set http.read_token or http.tls.client_ca_file, or listen on 127.0.0.1; http.allow_remote: true if only trusted machines reach the port")
	for _, t := range []struct {
		path  string
		value Secret
	}{{"http.read_token", h.ReadToken}, {"http.operate_token", h.OperateToken}} {
		l.relate(t.value.IsSet() && len(t.value.Reveal()) < minToken, fields(t.path), "is too short: it could be found by trying",
			fmt.Sprintf("%d bytes or more", minToken), "take a random one: `openssl rand -hex 32`")
	}
	l.relate(h.OperateToken.IsSet() && h.OperateToken.Reveal() == h.ReadToken.Reveal(), fields("http.operate_token", "http.read_token"),
		"is the same as http.read_token: whoever reads could operate", "another token", "take a random one: `openssl rand -hex 32`")
	l.pair("http.tls.cert_file", "http.tls.key_file", "HTTPS needs both")
	l.relate(h.TLS.ClientCAFile != "" && h.TLS.CertFile == "", fields("http.tls.client_ca_file", "http.tls.cert_file"),
		"has no meaning without HTTPS", "nothing, or http.tls.cert_file and key_file too", "set http.tls.cert_file and key_file, or remove the key")
	l.relate(len(h.TLS.Operators) > 0 && h.TLS.ClientCAFile == "", fields("http.tls.operators", "http.tls.client_ca_file"),
		"has no meaning without http.tls.client_ca_file: no client shows a certificate", "nothing, or http.tls.client_ca_file", "set http.tls.client_ca_file, or remove the key")
}

// topics keeps what is read apart from what is written.
func (l *loader) topics() {
	c := l.config
	t := c.Kafka.Topics
	l.relate(t.Orders == t.Behaviors, fields("kafka.topics.behaviors", "kafka.topics.orders"),
		"is the topic of orders too", "two topics", "give each kind of event a topic of its own")
	for _, in := range []struct{ path, name string }{{"kafka.topics.orders", t.Orders}, {"kafka.topics.behaviors", t.Behaviors}} {
		for _, out := range outTopics {
			l.relate(in.name == c.Kafka.OutPrefix+out, fields(in.path, "kafka.out_prefix"),
				"is a topic that Tidemark publishes to: it would read its own triggers",
				"a topic of events", "name the topic of events, or set kafka.out_prefix")
		}
		for _, internal := range []string{"journal", "control", "transfers"} {
			l.relate(in.name == "tidemark-"+c.App+"-"+internal, fields(in.path, "app"),
				"is an internal topic of this app", "a topic of events", "name the topic of events")
		}
	}
}

// outTopics are the names of the contract, without the prefix.
var outTopics = []string{"tier-changes", "churn-warnings", "recall-triggers", "lifecycle-changes",
	"engagement-triggers", "suppressed-triggers", "lifecycle-metrics", "dead-letters"}

func (l *loader) security() {
	k, r := &l.config.Kafka, &l.config.SchemaRegistry
	for _, f := range tlsFields("kafka.tls.", &k.TLS.TLS) {
		given := f.text() != "" && f.text() != "false"
		l.relate(given && !k.TLS.Enabled, fields(f.path, "kafka.tls.enabled"),
			"has no meaning while kafka.tls.enabled is false", "nothing, or kafka.tls.enabled: true", "set kafka.tls.enabled: true, or remove the key")
	}
	l.pair("kafka.tls.cert_file", "kafka.tls.key_file", "a client's certificate needs both")
	l.pair("schema_registry.tls.cert_file", "schema_registry.tls.key_file", "a client's certificate needs both")

	l.sasl()

	l.relate(len(r.URLs) == 0 && r.Folder == "", fields("schema_registry.urls", "schema_registry.folder"),
		"is missing, and so is schema_registry.folder", "one of the two",
		"add schema_registry: {urls: [http://localhost:8081]}, or set "+variable("schema_registry.urls")+"; without a registry, schema_registry.folder")
	l.relate(len(r.URLs) > 0 && r.Folder != "", fields("schema_registry.folder", "schema_registry.urls"),
		"stands beside schema_registry.urls", "one of the two", "remove one: schemas come from a registry or from a folder")
	l.pair("schema_registry.username", "schema_registry.password", "basic authentication needs both")
	l.relate(r.BearerToken.IsSet() && r.Username != "", fields("schema_registry.bearer_token", "schema_registry.username"),
		"stands beside schema_registry.username", "one of the two", "remove the token, or username and password")
	https := false
	for _, u := range r.URLs {
		https = https || strings.HasPrefix(strings.ToLower(u), "https:")
	}
	for _, path := range []string{"schema_registry.username", "schema_registry.password", "schema_registry.bearer_token"} {
		l.relate(l.table[path].isSet() && r.Folder != "" && len(r.URLs) == 0, fields(path, "schema_registry.folder"),
			"has no meaning with schema_registry.folder", "nothing", "remove it: a folder asks nobody")
	}
	for _, f := range tlsFields("schema_registry.tls.", &r.TLS) {
		given := f.text() != "" && f.text() != "false"
		l.relate(given && !https, fields(f.path, "schema_registry.urls"),
			"has no meaning: none of schema_registry.urls is https", "nothing, or an https address", "write https:// in schema_registry.urls, or remove the key")
	}
}

// pair reports the one of two that is missing.
func (l *loader) pair(a, b, why string) {
	for _, p := range [][2]string{{a, b}, {b, a}} {
		given, other := l.table[p[0]], l.table[p[1]]
		l.relate(given.isSet() && !other.isSet(), fields(p[1], p[0]),
			fmt.Sprintf("is missing beside %s; %s", p[0], why), other.allowed(), fmt.Sprintf("set it or %s, or remove %s", variable(p[1]), p[0]))
	}
}

// CheckClock checks what hangs on the playbook's clock, "live" or "input":
// history.until is for input alone. The error is nil or an *Errors.
func (c *Config) CheckClock(clock string) error {
	if c.History.Until.IsZero() || clock == "input" {
		return nil
	}
	l := newLoader(c.file, nil)
	at := c.origins["history.until"]
	p := Problem{Field: "history.until", Value: quote(formatInstant(c.History.Until)),
		Problem: fmt.Sprintf("has no meaning with this playbook: its clock is %s", clock),
		Allowed: "nothing, unless the playbook says clock: input", Cure: "remove it, or set clock: input in a playbook that runs over history"}
	l.locate(&p, at)
	return asError([]Problem{p})
}

// Warnings says in plain words what is allowed and still unwise outside a
// laptop; `run` logs them and `config check` prints them.
func (c *Config) Warnings() []string {
	out := slices.Clone(c.strays)
	warn := func(when bool, text string) {
		if when {
			out = append(out, text)
		}
	}
	k, r := &c.Kafka, &c.SchemaRegistry
	remote := false
	for _, b := range k.Brokers {
		remote = remote || !isLoopback(b)
	}
	warn(remote && k.SASL.Mechanism == SASLPlain && !k.TLS.Enabled,
		"kafka.sasl.mechanism is plain without TLS: the password crosses the network in the clear; set kafka.tls.enabled: true")
	warn(remote && k.SASL.Mechanism == SASLOAuth && !k.TLS.Enabled,
		"kafka.sasl.mechanism is oauthbearer without TLS: the token crosses the network in the clear; set kafka.tls.enabled: true")
	warn(plainHTTP(k.SASL.OAuth.TokenURL), "kafka.sasl.oauth.token_url is not https: the client's secret crosses the network in the clear")
	warn(k.TLS.InsecureSkipVerify, "kafka.tls.insecure_skip_verify accepts any broker; set kafka.tls.ca_file instead")
	warn(r.TLS.InsecureSkipVerify, "schema_registry.tls.insecure_skip_verify accepts any registry; set schema_registry.tls.ca_file instead")
	for _, u := range r.URLs {
		warn((r.Password.IsSet() || r.BearerToken.IsSet()) && plainHTTP(u), "schema_registry.urls has "+u+": password or token cross the network in the clear; use https")
	}
	warn(remote && k.CreateTopics && k.ReplicationFactor == 1,
		"kafka.replication_factor is 1: a broker that is lost takes the journal with it; set 3, or -1 for the broker's default")
	warn(k.ReplicationFactor > 2 && k.MinInsyncReplicas == 1,
		"kafka.min_insync_replicas is 1: what only one broker has is taken as written; set 2")
	h := &c.HTTP
	open := h.Listen != "off" && !isLoopback(h.Listen)
	warn(open && !h.Asks(),
		"http.listen is open to other machines and has no authentication; set http.read_token, or keep it behind a firewall or a proxy")
	warn(open && h.TLS.CertFile == "" && (h.ReadToken.IsSet() || h.OperateToken.IsSet()),
		"http.listen is open to other machines without TLS: tokens cross the network in the clear; set http.tls.cert_file and key_file, or let a proxy on this machine speak HTTPS")
	return out
}

// plainHTTP says whether an address is one of http on another machine.
func plainHTTP(u string) bool {
	host := strings.TrimPrefix(strings.ToLower(u), "http://")
	if host == strings.ToLower(u) {
		return false
	}
	host, _, _ = strings.Cut(host, "/")
	if _, _, err := net.SplitHostPort(host); err != nil {
		host += ":80"
	}
	return !isLoopback(host)
}
