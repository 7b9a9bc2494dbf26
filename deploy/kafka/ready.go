package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// answers asks the program at addr, once and for at most a second, whether it is
// the node with this cluster id and takes clients. It returns nil if it is.
func answers(ctx context.Context, addr, clusterID string, options ...kgo.Opt) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	client, err := kgo.NewClient(append(options[:len(options):len(options)], kgo.SeedBrokers(addr), kgo.RequestRetries(0))...)
	if err != nil {
		return err
	}
	defer client.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // none; nil would be all
	response, err := client.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return err
	}
	meta := response.(*kmsg.MetadataResponse)
	if meta.ClusterID == nil || *meta.ClusterID != clusterID {
		return fmt.Errorf("%w: another Kafka answers at %s", ErrPortInUse, addr)
	}
	if len(meta.Brokers) == 0 {
		return fmt.Errorf("the broker at %s is still fenced", addr)
	}
	return nil
}

// waitReady polls until the node answers, its process dies or ctx ends.
func waitReady(ctx context.Context, p *process, addr, clusterID string, options ...kgo.Opt) error {
	tick := time.NewTicker(2 * pollEvery)
	defer tick.Stop()
	for {
		// Looked at first: a dead node whose port somebody else took must not be waited for.
		if p.exited() {
			return errDied
		}
		err := answers(ctx, addr, clusterID, options...)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w (last: %v)", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
