package sinks

// plan is the records of a commit, by partition and cut into batches.
type plan struct {
	topics     []planTopic // in the order in which they first came
	partitions int
	records    int
}

type planTopic struct {
	name  string
	parts []*planPart
}

type planPart struct {
	key     partitionKey
	given   int // records seen, for errors
	batches [][]Record
}

func (t *planTopic) numbers() []int32 {
	n := make([]int32, len(t.parts))
	for i, part := range t.parts {
		n[i] = part.key.partition
	}
	return n
}

// newPlan cuts what is to be published. Every batch stays within limit bytes.
func newPlan(out []TopicPartition, limit int) (*plan, error) {
	p := &plan{}
	topics := map[string]int{}
	parts := map[partitionKey]*planPart{}
	for i := range out {
		tp := &out[i]
		if len(tp.Records) == 0 {
			continue
		}
		key := partitionKey{tp.Topic, tp.Partition}
		part := parts[key]
		if part == nil {
			part = &planPart{key: key}
			parts[key] = part
			j, ok := topics[tp.Topic]
			if !ok {
				j = len(p.topics)
				topics[tp.Topic] = j
				p.topics = append(p.topics, planTopic{name: tp.Topic})
			}
			p.topics[j].parts = append(p.topics[j].parts, part)
			p.partitions++
		}
		for rest := tp.Records; len(rest) > 0; {
			n := splitAt(rest, limit)
			if n == 0 {
				return nil, &RecordTooLargeError{Topic: tp.Topic, Partition: tp.Partition, Index: part.given,
					Size: batchOverhead + recordSize(0, &rest[0]), Limit: limit}
			}
			part.batches = append(part.batches, rest[:n:n])
			part.given += n
			rest = rest[n:]
		}
		p.records += len(tp.Records)
	}
	if p.partitions == 0 {
		return nil, ErrNothingToCommit
	}
	return p, nil
}
