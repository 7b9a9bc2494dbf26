// Package partitioner is Kafka's murmur2 as a hash.Hash32, for clients for Go
// that take a hash function and have not this one: Sarama, whose own default is
// FNV-1a. With
//
//	config.Producer.Partitioner = sarama.NewCustomPartitioner(sarama.WithAbsFirst(),
//		sarama.WithCustomHashFunction(func() hash.Hash32 { return partitioner.New() }))
//
// it sends each key to the partition that the Java client sends it to. Copy it;
// it needs nothing but the standard library.
package partitioner

import "encoding/binary"

// Hash is 32-bit MurmurHash2 (Austin Appleby) with the seed of
// org.apache.kafka.common.utils.Utils. The zero value is ready.
type Hash struct{ data []byte }

// New returns an empty Hash.
func New() *Hash { return &Hash{} }

func (h *Hash) Write(p []byte) (int, error) { h.data = append(h.data, p...); return len(p), nil }
func (h *Hash) Reset()                      { h.data = h.data[:0] }
func (h *Hash) Size() int                   { return 4 }
func (h *Hash) BlockSize() int              { return 4 }
func (h *Hash) Sum(b []byte) []byte         { return binary.BigEndian.AppendUint32(b, h.Sum32()) }

// Sum32 hashes what was written. It is not a running hash: MurmurHash2 begins
// with the length.
func (h *Hash) Sum32() uint32 {
	const m, seed = 0x5bd1e995, 0x9747b28c
	d := h.data
	sum := seed ^ uint32(len(d))
	for ; len(d) >= 4; d = d[4:] {
		k := binary.LittleEndian.Uint32(d) * m
		sum = sum*m ^ (k^k>>24)*m
	}
	switch len(d) {
	case 3:
		sum ^= uint32(d[2]) << 16
		fallthrough
	case 2:
		sum ^= uint32(d[1]) << 8
		fallthrough
	case 1:
		sum = (sum ^ uint32(d[0])) * m
	}
	sum = (sum ^ sum>>13) * m
	return sum ^ sum>>15
}
