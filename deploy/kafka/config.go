package kafka

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
)

// dataDir is the folder of the logs within a node's folder.
const dataDir = "data"

// ports of one node, all on the loopback interface; mutual is a secured node's.
type ports struct{ broker, controller, mutual int }

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// freePorts asks the system for ports. They are free when it answers; somebody
// else may take one before Kafka does, so whoever starts the node must be ready to try again.
func freePorts(broker int) (ports, error) {
	first, err := net.Listen("tcp", loopback(broker))
	if err != nil {
		if broker != 0 {
			return ports{}, fmt.Errorf("%w: %s", ErrPortInUse, loopback(broker))
		}
		return ports{}, err
	}
	defer first.Close()
	second, err := net.Listen("tcp", loopback(0))
	if err != nil {
		return ports{}, err
	}
	defer second.Close()
	third, err := net.Listen("tcp", loopback(0))
	if err != nil {
		return ports{}, err
	}
	defer third.Close()
	port := func(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
	return ports{port(first), port(second), port(third)}, nil
}

// properties is server.properties of a node in KRaft combined mode. more wins
// over what stands here.
func properties(p ports, more map[string]string) string {
	all := map[string]string{
		"process.roles":                  "broker,controller",
		"node.id":                        "1",
		"controller.quorum.voters":       "1@" + loopback(p.controller),
		"controller.listener.names":      "CONTROLLER",
		"listeners":                      "PLAINTEXT://" + loopback(p.broker) + ",CONTROLLER://" + loopback(p.controller),
		"advertised.listeners":           "PLAINTEXT://" + loopback(p.broker),
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		// Relative to the node's folder, in which every process runs: the value is a list, and
		// the path of a checkout may hold a comma.
		"log.dirs": dataDir,

		// A topic that a typing mistake makes hides the mistake.
		"auto.create.topics.enable": "false",

		// One node can't hold more than one replica. Eight partitions instead of fifty
		// keep the first transaction from waiting for fifty logs to be made.
		"offsets.topic.replication.factor":                 "1",
		"offsets.topic.num.partitions":                     "8",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"transaction.state.log.num.partitions":             "8",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
		"share.coordinator.state.topic.num.partitions":     "1",

		// Tests wait for the first assignment; there is nobody to wait for.
		"group.initial.rebalance.delay.ms": "0",
		// Nor for six seconds until a member that was killed is given up.
		"group.min.session.timeout.ms": "1000",
	}
	maps.Copy(all, more)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(all)) {
		// In a properties file a backslash starts an escape.
		fmt.Fprintf(&b, "%s=%s\n", k, strings.ReplaceAll(all[k], `\`, `\\`))
	}
	return b.String()
}

// newClusterID returns 128 random bits as Kafka writes a UUID: base64 for URLs,
// without padding. The first bit is clear, so it never begins with '-', which the
// format tool would read as an option.
func newClusterID() string {
	var id [16]byte
	rand.Read(id[:])
	id[0] &= 0x7f
	return base64.RawURLEncoding.EncodeToString(id[:])
}
