package source

import (
	"encoding/binary"
	"math"
)

// Request keys and the versions in use. These are the last versions before
// topic ids and flexible encodings; Kafka 4.x still serves them.
const (
	fetchKey           = 1
	fetchVersion       = 11
	listOffsetsKey     = 2
	listOffsetsVersion = 5

	readUncommitted = 0
	readCommitted   = 1

	// Special timestamps of ListOffsets.
	latestOffset   = -1
	earliestOffset = -2
)

// TopicPartition names one partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// appendHeader appends request header version 1 behind 4 bytes for the size,
// which finish fills in.
func appendHeader(dst []byte, key, version int16, correlation int32, clientID string) []byte {
	be := binary.BigEndian
	dst = append(dst, 0, 0, 0, 0)
	dst = be.AppendUint16(dst, uint16(key))
	dst = be.AppendUint16(dst, uint16(version))
	dst = be.AppendUint32(dst, uint32(correlation))
	return appendString(dst, clientID)
}

func finish(request []byte) []byte {
	binary.BigEndian.PutUint32(request, uint32(len(request)-4))
	return request
}

func appendString(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// asked is one partition of a fetch request.
type asked struct {
	TopicPartition
	offset int64
}

// appendFetch appends the body of a Fetch request, version 11, read_committed
// and without a fetch session. Only partitionMax cuts the response: some
// brokers leave the aborted transactions out where the request's own limit
// cuts, and aborted records then look committed. Every partition stands in an
// entry of its own, so that the order is the caller's: a broker gives a batch
// over the limit only to the first partition that has data.
func appendFetch(dst []byte, partitions []asked, maxWaitMS, partitionMax int32) []byte {
	be := binary.BigEndian
	dst = be.AppendUint32(dst, ^uint32(0)) // replica id -1: a consumer
	dst = be.AppendUint32(dst, uint32(maxWaitMS))
	dst = be.AppendUint32(dst, 1) // min bytes
	dst = be.AppendUint32(dst, math.MaxInt32)
	dst = append(dst, readCommitted)
	dst = be.AppendUint32(dst, 0)          // session id
	dst = be.AppendUint32(dst, ^uint32(0)) // session epoch -1: none
	dst = be.AppendUint32(dst, uint32(len(partitions)))
	for _, p := range partitions {
		dst = appendString(dst, p.Topic)
		dst = be.AppendUint32(dst, 1)
		dst = be.AppendUint32(dst, uint32(p.Partition))
		dst = be.AppendUint32(dst, ^uint32(0)) // current leader epoch: not checked
		dst = be.AppendUint64(dst, uint64(p.offset))
		dst = be.AppendUint64(dst, ^uint64(0)) // log start offset: followers only
		dst = be.AppendUint32(dst, uint32(partitionMax))
	}
	dst = be.AppendUint32(dst, 0) // forgotten topics
	return appendString(dst, "")  // rack
}

// abortedTxn is a transaction that was aborted, as a fetch response lists it.
type abortedTxn struct{ producerID, firstOffset int64 }

// fetchedPartition is one partition of a fetch response. records is a view.
type fetchedPartition struct {
	TopicPartition
	code          int16
	highWatermark int64
	lastStable    int64
	logStart      int64
	aborted       []abortedTxn
	records       []byte
}

// parseFetch reads the body of a Fetch response, version 11.
func parseFetch(body []byte) (code int16, partitions []fetchedPartition, err error) {
	d := decoder{b: body}
	d.int32() // throttle time
	code = d.int16()
	d.int32() // session id
	for range d.count(2 + 4) {
		topic := d.string()
		for range d.count(4 + 2 + 8 + 8 + 8 + 4 + 4 + 4) {
			p := fetchedPartition{TopicPartition: TopicPartition{Topic: topic, Partition: d.int32()}}
			p.code = d.int16()
			p.highWatermark = d.int64()
			p.lastStable = d.int64()
			p.logStart = d.int64()
			if n := d.count(8 + 8); n > 0 {
				p.aborted = make([]abortedTxn, n)
				for i := range p.aborted {
					p.aborted[i] = abortedTxn{producerID: d.int64(), firstOffset: d.int64()}
				}
			}
			d.int32() // preferred read replica: none without a rack
			p.records = d.bytes()
			if d.bad {
				break
			}
			partitions = append(partitions, p)
		}
		if d.bad {
			break
		}
	}
	if d.bad {
		return 0, nil, corrupt("fetch response of %d bytes ends in the middle", len(body))
	}
	return code, partitions, nil
}

// appendListOffsets appends the body of a ListOffsets request, version 5.
func appendListOffsets(dst []byte, partitions []TopicPartition, timestamp int64, isolation byte) []byte {
	be := binary.BigEndian
	dst = be.AppendUint32(dst, ^uint32(0)) // replica id
	dst = append(dst, isolation)
	dst = be.AppendUint32(dst, uint32(len(partitions)))
	for _, p := range partitions {
		dst = appendString(dst, p.Topic)
		dst = be.AppendUint32(dst, 1)
		dst = be.AppendUint32(dst, uint32(p.Partition))
		dst = be.AppendUint32(dst, ^uint32(0)) // current leader epoch
		dst = be.AppendUint64(dst, uint64(timestamp))
	}
	return dst
}

// listedOffset is one partition of a ListOffsets response.
type listedOffset struct {
	TopicPartition
	code   int16
	offset int64
}

// parseListOffsets reads the body of a ListOffsets response, version 5.
func parseListOffsets(body []byte) ([]listedOffset, error) {
	d := decoder{b: body}
	d.int32() // throttle time
	var out []listedOffset
	for range d.count(2 + 4) {
		topic := d.string()
		for range d.count(4 + 2 + 8 + 8 + 4) {
			o := listedOffset{TopicPartition: TopicPartition{Topic: topic, Partition: d.int32()}}
			o.code = d.int16()
			d.int64() // timestamp
			o.offset = d.int64()
			d.int32() // leader epoch
			out = append(out, o)
		}
	}
	if d.bad {
		return nil, corrupt("ListOffsets response of %d bytes ends in the middle", len(body))
	}
	return out, nil
}

// decoder reads the fixed encodings of the protocol. After a read past the end
// it is bad and gives zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) int16() int16 {
	if v := d.take(2); v != nil {
		return int16(binary.BigEndian.Uint16(v))
	}
	return 0
}

func (d *decoder) int32() int32 {
	if v := d.take(4); v != nil {
		return int32(binary.BigEndian.Uint32(v))
	}
	return 0
}

func (d *decoder) int64() int64 {
	if v := d.take(8); v != nil {
		return int64(binary.BigEndian.Uint64(v))
	}
	return 0
}

func (d *decoder) string() string { return string(d.take(int(d.int16()))) }

// bytes reads nullable bytes; null is empty.
func (d *decoder) bytes() []byte {
	n := d.int32()
	if n <= 0 {
		return nil
	}
	return d.take(int(n))
}

// count reads the length of an array whose elements take at least size bytes,
// so that a wrong length can't ask for more memory than the response has. Null is 0.
func (d *decoder) count(size int) int {
	n := int(d.int32())
	if n <= 0 {
		return 0
	}
	if n > len(d.b)/size {
		d.bad, d.b = true, nil
		return 0
	}
	return n
}
