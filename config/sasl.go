package config

import (
	"fmt"
	"strings"
)

// The values of SASL.Mechanism.
const (
	SASLNone        = "none"
	SASLPlain       = "plain"
	SASLScramSHA256 = "scram-sha-256"
	SASLScramSHA512 = "scram-sha-512"
	SASLOAuth       = "oauthbearer"
	SASLMSKIAM      = "aws-msk-iam"
)

// SASL is how the process says who it is.
type SASL struct {
	// Mechanism is one of the SASL constants. Production: scram-sha-512, or mTLS.
	Mechanism string
	Username  string
	Password  Secret
	OAuth     OAuth
	// AWSRegion of the cluster, for aws-msk-iam alone.
	AWSRegion string
}

// OAuth is where tokens for oauthbearer come from: client credentials (RFC 6749,
// 4.4) from a token endpoint, as KIP-768 has it.
type OAuth struct {
	TokenURL     string
	ClientID     string
	ClientSecret Secret
	// Scope and Audience are sent along if they are not empty.
	Scope    string
	Audience string
	// CAFile holds the authorities that the endpoint's certificate is checked
	// against; "" for the system's.
	CAFile string
	// Extensions go to the broker with the token, key=value (KIP-342).
	Extensions []string
}

func saslFields(s *SASL) []field {
	o := &s.OAuth
	return []field{
		choice("kafka.sasl.mechanism", &s.Mechanism, "Production: scram-sha-512, or none with a client certificate.",
			SASLNone, SASLPlain, SASLScramSHA256, SASLScramSHA512, SASLOAuth, SASLMSKIAM),
		{path: "kafka.sasl.username", value: &s.Username, form: "a user name"},
		{path: "kafka.sasl.password", value: &s.Password, kind: secretKind,
			about: "The value, file:PATH or env:NAME; literal:VALUE where the value itself begins like one of them. Production: file: or env:."},
		{path: "kafka.sasl.oauth.token_url", value: &o.TokenURL, check: isURL, form: "an http:// or https:// address", pattern: "^(https?://[^\\s,@]+)?$",
			about: "Token endpoint of the identity provider, asked for client credentials. Production: https."},
		{path: "kafka.sasl.oauth.client_id", value: &o.ClientID, form: "a client id"},
		{path: "kafka.sasl.oauth.client_secret", value: &o.ClientSecret, kind: secretKind},
		{path: "kafka.sasl.oauth.scope", value: &o.Scope, form: "scopes with spaces between them"},
		{path: "kafka.sasl.oauth.audience", value: &o.Audience, form: "an audience", about: "For providers that want to know whom the token is for."},
		{path: "kafka.sasl.oauth.ca_file", value: &o.CAFile, form: pathForm, about: "Authorities to trust for an https token_url, PEM. Empty: the system's."},
		{path: "kafka.sasl.oauth.extensions", value: &o.Extensions, kind: listKind, check: isExtension, form: "a list of key=value, keys of letters", pattern: "^[A-Za-z]+=[^,]*$",
			about: "Go to the broker with the token, key=value; some clouds ask for them."},
		{path: "kafka.sasl.aws_region", value: &s.AWSRegion, check: isRegion, form: "a region such as eu-central-1", pattern: "^([a-z0-9-]+)?$",
			about: "Of the MSK cluster, for aws-msk-iam; credentials come from where AWS's own tools look for them."},
	}
}

func isExtension(s string) (string, string) {
	key, _, ok := strings.Cut(s, "=")
	switch {
	case !ok || key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "":
		return "is not key=value with a key of letters", "write it such as logicalCluster=lkc-1"
	case key == "auth":
		return "has the key auth, which is the token's own", "leave it out"
	}
	return "", ""
}

func isRegion(s string) (string, string) {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return "is not a region's name", "write it as AWS does, such as eu-central-1"
	}
	return "", ""
}

// sasl checks that a mechanism has what it needs and that nothing is said which
// it does not look at.
func (l *loader) sasl() {
	s := &l.config.Kafka.SASL
	password := s.Mechanism == SASLPlain || s.Mechanism == SASLScramSHA256 || s.Mechanism == SASLScramSHA512
	for _, x := range []struct {
		path         string
		used, needed bool
		whose        string
	}{
		{"kafka.sasl.username", password, true, SASLScramSHA512},
		{"kafka.sasl.password", password, true, SASLScramSHA512},
		{"kafka.sasl.oauth.token_url", s.Mechanism == SASLOAuth, true, SASLOAuth},
		{"kafka.sasl.oauth.client_id", s.Mechanism == SASLOAuth, true, SASLOAuth},
		{"kafka.sasl.oauth.client_secret", s.Mechanism == SASLOAuth, true, SASLOAuth},
		{"kafka.sasl.oauth.scope", s.Mechanism == SASLOAuth, false, SASLOAuth},
		{"kafka.sasl.oauth.audience", s.Mechanism == SASLOAuth, false, SASLOAuth},
		{"kafka.sasl.oauth.ca_file", s.Mechanism == SASLOAuth, false, SASLOAuth},
		{"kafka.sasl.oauth.extensions", s.Mechanism == SASLOAuth, false, SASLOAuth},
		{"kafka.sasl.aws_region", s.Mechanism == SASLMSKIAM, true, SASLMSKIAM},
	} {
		f := l.table[x.path]
		l.relate(!x.used && f.isSet(), fields(x.path, "kafka.sasl.mechanism"),
			fmt.Sprintf("has no meaning while kafka.sasl.mechanism is %s", s.Mechanism), "nothing, or another mechanism",
			fmt.Sprintf("set kafka.sasl.mechanism, mostly to %s, or remove the key", x.whose))
		l.relate(x.used && x.needed && !f.isSet(), fields(x.path, "kafka.sasl.mechanism"),
			fmt.Sprintf("is missing; kafka.sasl.mechanism %s needs it", s.Mechanism), f.allowed(),
			fmt.Sprintf("set it or %s, or set kafka.sasl.mechanism: none", variable(x.path)))
	}
	l.relate(s.OAuth.CAFile != "" && !strings.HasPrefix(strings.ToLower(s.OAuth.TokenURL), "https:"),
		fields("kafka.sasl.oauth.ca_file", "kafka.sasl.oauth.token_url"), "has no meaning: kafka.sasl.oauth.token_url is not https",
		"nothing, or an https address", "write https:// in kafka.sasl.oauth.token_url, or remove the key")
	l.relate(s.Mechanism == SASLMSKIAM && !l.config.Kafka.TLS.Enabled, fields("kafka.sasl.mechanism", "kafka.tls.enabled"),
		"goes over TLS alone", "another mechanism, or kafka.tls.enabled: true", "set kafka.tls.enabled: true")
}
