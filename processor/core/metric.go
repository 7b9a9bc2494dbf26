package core

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"tidemark/schemas"
	"tidemark/state"
)

// metric publishes a number about the business. Its id is a hash over app, metric,
// dimensions, period and revision.
func (c *Core) metric(m *schemas.LifecycleMetric) {
	b := append([]byte(c.cfg.App), 0)
	b = append(append(b, m.Metric...), 0)
	for i := range m.Dimensions {
		b = append(append(b, m.Dimensions[i].Key...), '=')
		b = append(append(b, m.Dimensions[i].Value...), 0)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(m.PeriodStart))
	b = binary.BigEndian.AppendUint64(b, uint64(m.PeriodEnd))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Revision))
	sum := sha256.Sum256(b)
	m.MetricID = hex.EncodeToString(sum[:16])
	body := c.keep(m.AppendAvro(nil))
	o := Out{Topic: schemas.LifecycleMetrics, Key: m.MetricID, Body: body, Kind: m.Metric, ID: m.MetricID, EffectiveAt: m.PeriodEnd}
	if !c.cfg.BytesOnly {
		o.Record = m
	}
	c.out = append(c.out, o)
	c.outBytes += len(body)
}

// gather sets one task's part of a message from all aside and returns the parts in
// task order once the last has come, else nil.
func (c *Core) gather(prefix string, t *schemas.Transfer) ([][]byte, error) {
	key := func(task, chunk int32) []byte {
		return state.MetaKey(nil, fmt.Sprintf("%s/%s/%d/%d/%d", prefix, t.Name, t.At, task, chunk))
	}
	// What was set aside is found by its first byte: 1, so that an empty body is not none.
	c.spill(key(t.FromTask, t.Chunk), append([]byte{1, byte(t.Chunks)}, t.Body...))
	var bodies, used [][]byte
	for task := range c.cfg.Tasks {
		var body []byte
		for chunk, chunks := int32(0), int32(1); chunk < chunks; chunk++ {
			v, err := c.spilledGet(key(task, chunk))
			if err != nil {
				return nil, err
			}
			if len(v) < 2 {
				return nil, nil // not all have come
			}
			chunks = int32(v[1])
			body = append(body, v[2:]...)
			used = append(used, key(task, chunk))
		}
		bodies = append(bodies, body)
	}
	for _, k := range used {
		c.ops = append(c.ops, state.Op{Kind: state.Delete, Key: k})
		c.spilled[string(k)] = spilledValue{value: []byte{}}
	}
	return bodies, nil
}
