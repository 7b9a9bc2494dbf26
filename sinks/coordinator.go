package sinks

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/endtxn"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
)

// The transport looks the coordinator up before each request that names a
// transactional id, one round trip more for each. Here AddPartitionsToTxn and
// EndTxn name their broker themselves. Who coordinates an id is asked once, and
// again after Init and after an answer that says it may have moved (14, 15,
// 16); InitProducerID is still looked up each time. What an answer means is
// Judge's alone: an EndTxn that reached a broker that coordinates no more is
// thrown away like any that failed, and never sent to another.

const nobody = -1 // the coordinator is not known

// coordinator is the broker that coordinates the commit's id. A code is one to be waited out.
func (c *commit) coordinator(ctx context.Context) (int32, int16, error) {
	at := &c.coordinators[c.turn]
	if *at != nobody {
		return *at, codeNone, nil
	}
	m, err := c.roundTrip(ctx, &findcoordinator.Request{Key: c.id, KeyType: 1})
	if err != nil {
		return nobody, 0, fmt.Errorf("sinks: coordinator of %q: %w", c.id, err)
	}
	r := m.(*findcoordinator.Response)
	if r.ErrorCode != codeNone {
		if Judge(OpAddPartitions, r.ErrorCode) == Retry {
			return nobody, r.ErrorCode, nil
		}
		return nobody, 0, fmt.Errorf("sinks: coordinator of %q: %w", c.id, kafkaError(r.ErrorCode))
	}
	*at = r.NodeID
	return *at, codeNone, nil
}

// moved forgets the coordinator after an answer that says it is another, or not at work.
func (c *commit) moved(code int16) {
	switch code {
	case codeCoordinatorLoading, codeCoordinatorNotAvailable, codeNotCoordinator:
		c.coordinators[c.turn] = nobody
	}
}

// addPartitionsTo is AddPartitionsToTxn for one broker; the fields are those of
// kafka-go's own, which has no place for the broker.
type addPartitionsTo struct {
	_ struct{} `kafka:"min=v3,max=v3,tag"`

	TransactionalID string                            `kafka:"min=v0,max=v2|min=v3,max=v3,compact"`
	ProducerID      int64                             `kafka:"min=v0,max=v3"`
	ProducerEpoch   int16                             `kafka:"min=v0,max=v3"`
	Topics          []addpartitionstotxn.RequestTopic `kafka:"min=v0,max=v3"`

	broker int32
}

func (r *addPartitionsTo) ApiKey() protocol.ApiKey           { return protocol.AddPartitionsToTxn }
func (r *addPartitionsTo) TypeKey() protocol.OverrideTypeKey { return routed }
func (r *addPartitionsTo) Broker(protocol.Cluster) (protocol.Broker, error) {
	return protocol.Broker{ID: r.broker}, nil
}

// endTo is EndTxn for one broker.
type endTo struct {
	_ struct{} `kafka:"min=v3,max=v3,tag"`

	TransactionalID string `kafka:"min=v0,max=v2|min=v3,max=v3,compact"`
	ProducerID      int64  `kafka:"min=v0,max=v3"`
	ProducerEpoch   int16  `kafka:"min=v0,max=v3"`
	Committed       bool   `kafka:"min=v0,max=v3"`

	broker int32
}

func (r *endTo) ApiKey() protocol.ApiKey           { return protocol.EndTxn }
func (r *endTo) TypeKey() protocol.OverrideTypeKey { return routed }
func (r *endTo) Broker(protocol.Cluster) (protocol.Broker, error) {
	return protocol.Broker{ID: r.broker}, nil
}

var (
	_ protocol.BrokerMessage = (*addPartitionsTo)(nil)
	_ protocol.BrokerMessage = (*endTo)(nil)
)

// routed tells kafka-go's encoder our types from its own, per API.
const routed protocol.OverrideTypeKey = 1

func init() {
	protocol.RegisterOverride(&addPartitionsTo{}, &addpartitionstotxn.Response{}, routed)
	protocol.RegisterOverride(&endTo{}, &endtxn.Response{}, routed)
}
