package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"tidemark/blobs"
)

const topicPattern = "^[A-Za-z0-9._-]{1,249}$"

var (
	appForm  = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	nameForm = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
)

func isApp(s string) (string, string) {
	if appForm.MatchString(s) {
		return "", ""
	}
	if lower := strings.ToLower(strings.NewReplacer("_", "-", " ", "-", ".", "-").Replace(s)); appForm.MatchString(lower) {
		return "is not a name for an app", fmt.Sprintf("write %q", lower)
	}
	return "is not a name for an app", "choose a short name that never has to change, such as my-shop"
}

func isName(most int) check {
	return func(s string) (string, string) {
		if len(s) > most {
			return fmt.Sprintf("has %d characters", len(s)), "shorten it"
		}
		if !nameForm.MatchString(s) {
			return "holds a character that is not allowed", "use dashes in its place"
		}
		return "", ""
	}
}

// isTopic follows Kafka's own rule for names of topics.
func isTopic(s string) (string, string) {
	if s == "." || s == ".." {
		return "is not a name of a topic", "name the topic as `kafka-topics --list` shows it"
	}
	if problem, _ := isName(249)(s); problem != "" {
		return problem, "name the topic as `kafka-topics --list` shows it"
	}
	return "", ""
}

func isPrefix(s string) (string, string) { return isName(200)(s) }

func isGroup(s string) (string, string) {
	if len([]rune(s)) > 200 {
		return "is too long", "shorten it"
	}
	for _, r := range s {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return "holds a space or a character that cannot be printed", "use dashes in its place"
		}
	}
	return "", ""
}

func isBroker(s string) (string, string) {
	if _, after, ok := strings.Cut(s, "://"); ok {
		after = after[strings.LastIndexByte(after, '@')+1:]
		return "begins with a protocol", fmt.Sprintf("write %s; TLS and SASL are set under kafka.tls and kafka.sasl", quote(after))
	}
	host, port, err := net.SplitHostPort(s)
	switch {
	case strings.Contains(s, "@"):
		return "holds a user or a password, which would be logged", "move them to kafka.sasl.username and kafka.sasl.password"
	case err != nil && !strings.Contains(s, ":"):
		return "has no port", fmt.Sprintf("write %s, or the port of your listener", quote(s+":9092"))
	case err != nil:
		return "is not host:port", "write host:port, an IPv6 address in brackets: [::1]:9092"
	case !isHost(host):
		return "has no sound host", "write host:port, such as kafka-1.internal:9092"
	case !isPort(port):
		return fmt.Sprintf("has the port %s", quote(port)), "write the port of the broker's listener, such as 9092"
	}
	return "", ""
}

func isHost(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune("/@,\"'", r)
	})
}

func isPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && isDigits(s) && n >= 1 && n <= 65535
}

func isURL(s string) (string, string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" && !strings.Contains(s, "://"):
		return "is not an address", "write it with http:// or https:// and the host, such as http://localhost:8081"
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Sprintf("has the protocol %s", quote(u.Scheme)), "write http:// or https://"
	case u.User != nil:
		return "holds a user or a password, which would be logged", "move them to schema_registry.username and schema_registry.password"
	case !isHost(u.Hostname()) || u.Port() != "" && !isPort(u.Port()) || strings.HasSuffix(u.Host, ":"):
		return "has no sound host and port", "write host and port, such as http://localhost:8081"
	case u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(s, "?") || strings.HasSuffix(s, "#"):
		return "has something behind its path", "leave out what follows ? or #"
	case strings.ContainsAny(s, ", \""):
		return "holds a comma, a space or a quote", "one address for each entry of the list"
	}
	return "", ""
}

func isListen(s string) (string, string) {
	if s == "off" {
		return "", ""
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || host != "" && !isHost(host) || port != "0" && !isPort(port) {
		return "is not an address to listen on", "write 127.0.0.1:9464, or off for no endpoint; port 0 takes any that is free"
	}
	return "", ""
}

func isOperator(s string) (string, string) {
	if len(s) > 256 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "is not a name that stands in a certificate", "write it as `openssl x509 -noout -subject -ext subjectAltName` shows it"
	}
	return "", ""
}

// isLoopback reports whether only this machine reaches what listens there. A
// name other than localhost is not looked up: it may mean another machine tomorrow.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// isBucket wants what package blobs opens; nothing is reached.
func isBucket(s string) (string, string) {
	if s == "off" {
		return "", ""
	}
	if _, err := blobs.Parse(s); err != nil || strings.HasPrefix(s, "mem:") {
		if err == nil {
			return "keeps nothing", ""
		}
		problem, _ := strings.CutPrefix(err.Error(), blobs.ErrURL.Error()+": ")
		return problem, ""
	}
	return "", ""
}
