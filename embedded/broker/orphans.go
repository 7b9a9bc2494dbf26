package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// orphansLimit bounds what endOrphans may take of a start.
const orphansLimit = 30 * time.Second

// endOrphans writes the abort markers of transactions that a kill cut short.
//
// kfake treats what such a transaction wrote as aborted when it loads a folder
// that was not closed, but writes nothing about it. After the next kill it reads
// the log again, knows transactions by their producer alone, and takes the batch
// for a part of whatever that producer committed since: a read_committed consumer
// then sees it. And already before that, a consumer that was told of the aborted
// producer waits for the marker, as the protocol has it, and drops what the
// producer commits next. With a marker behind it, both are as they should be.
//
// What a transaction left is the end of its partition's log, or another one of the
// same kill follows it; so the aborted transactions that a fetch of the last
// record names are the ones to end. One more marker behind a marker harms nothing.
func (b *Broker) endOrphans(client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), orphansLimit)
	defer cancel()
	meta, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client)
	if err != nil {
		return err
	}
	ids := map[string][16]byte{}
	ends := kmsg.NewPtrListOffsetsRequest()
	ends.ReplicaID = -1
	for _, t := range meta.Topics {
		if t.Topic == nil || t.ErrorCode != 0 {
			continue
		}
		ids[*t.Topic] = t.TopicID
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = *t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = p.Partition, -1, -1
			rt.Partitions = append(rt.Partitions, rp)
		}
		ends.Topics = append(ends.Topics, rt)
	}
	if len(ends.Topics) == 0 {
		return nil
	}
	at, err := ends.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, t := range at.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 || p.Offset <= 0 {
				continue
			}
			if err := endIn(ctx, client, t.Topic, ids[t.Topic], p.Partition, p.Offset-1); err != nil {
				return fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

// endIn ends the transactions that a fetch from an offset names as aborted.
func endIn(ctx context.Context, client *kgo.Client, topic string, id [16]byte, partition int32, from int64) error {
	fetch := kmsg.NewPtrFetchRequest()
	fetch.ReplicaID, fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes, fetch.IsolationLevel, fetch.SessionEpoch = -1, 0, 1, 50<<20, 1, -1
	ft := kmsg.NewFetchRequestTopic()
	ft.Topic, ft.TopicID = topic, id // later versions know ids alone
	fp := kmsg.NewFetchRequestTopicPartition()
	fp.Partition, fp.FetchOffset, fp.PartitionMaxBytes, fp.CurrentLeaderEpoch = partition, from, 1<<20, -1
	ft.Partitions = append(ft.Partitions, fp)
	fetch.Topics = append(fetch.Topics, ft)
	res, err := fetch.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
			for _, a := range p.AbortedTransactions {
				if err := abort(ctx, client, topic, partition, a.ProducerID, epochOf(p.RecordBatches, a.ProducerID)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// epochOf is the epoch of the producer's first batch, 0 if there is none of it.
func epochOf(batches []byte, producer int64) int16 {
	for len(batches) >= 61 { // a batch's header
		size := 12 + int(binary.BigEndian.Uint32(batches[8:]))
		if int64(binary.BigEndian.Uint64(batches[43:])) == producer {
			return int16(binary.BigEndian.Uint16(batches[51:]))
		}
		if size < 61 || size > len(batches) {
			break
		}
		batches = batches[size:]
	}
	return 0
}

func abort(ctx context.Context, client *kgo.Client, topic string, partition int32, producer int64, epoch int16) error {
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.Committed = producer, epoch, false
	mt := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
	mt.Topic, mt.Partitions = topic, []int32{partition}
	m.Topics = append(m.Topics, mt)
	req.Markers = append(req.Markers, m)
	res, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, m := range res.Markers {
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
