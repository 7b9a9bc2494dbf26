package source

// Murmur2 is the hash of the Java client's default partitioner: Austin
// Appleby's MurmurHash2 with 32 bits, reading little endian, with Kafka's seed
// 0x9747b28c.
func Murmur2(key []byte) uint32 {
	const m, r = 0x5bd1e995, 24
	h := uint32(0x9747b28c) ^ uint32(len(key))
	for len(key) >= 4 {
		k := uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24
		k *= m
		k ^= k >> r
		h = h*m ^ k*m
		key = key[4:]
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(key[0])) * m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

// Partition returns the partition, 0 to partitions-1, to which the Java
// client's default partitioner sends a record with this key. A null key has no
// partition of its own (the client spreads such records); here it is hashed as
// an empty one. It panics if partitions is not positive.
func Partition(key []byte, partitions int32) int32 {
	if partitions <= 0 {
		panic("source: no partitions")
	}
	return int32(Murmur2(key)&0x7fffffff) % partitions
}
