package schemas

import "math"

// What a skipped value looks like on the wire.
type skipKind uint8

const (
	skipNothing skipKind = iota // takes no bytes: null, and records and fixeds of nothing
	skipBoolean
	skipNumber // int, long
	skipFixed  // size bytes: float, double, fixed
	skipBytes  // bytes, string
	skipEnum   // size symbols
	skipArray
	skipMap
	skipUnion
	skipRecord
)

// skip steps over a value that the contract has no place for. Named types
// appear once, so that a recursive schema is a cycle of pointers.
type skip struct {
	kind skipKind
	size int     // skipFixed: bytes; skipEnum: symbols
	min  int     // the fewest bytes that a value takes; 0 only for skipNothing
	of   []*skip // entry, branches or fields
}

// maxDepth bounds the nesting of skipped values, and by it the stack that
// hostile bytes can make the decoder use.
const maxDepth = 512

// maxMin keeps the sums of skip.min away from overflow.
const maxMin = math.MaxInt32

func (c *cursor) skip(s *skip, depth int) {
	if depth > maxDepth {
		c.fail(ErrDepth)
		return
	}
	switch s.kind {
	case skipBoolean:
		if c.left() == 0 {
			c.fail(ErrTruncated)
		} else if c.b[c.p] > 1 {
			c.fail(ErrBoolean)
		} else {
			c.p++
		}
	case skipNumber:
		c.long()
	case skipFixed:
		if c.left() < s.size {
			c.fail(ErrTruncated)
			return
		}
		c.p += s.size
	case skipBytes:
		c.raw()
	case skipEnum:
		if i := c.long(); uint64(i) >= uint64(s.size) {
			c.fail(ErrSymbol)
		}
	case skipUnion:
		i := c.long()
		if uint64(i) >= uint64(len(s.of)) {
			c.fail(ErrBranch)
			return
		}
		c.skip(s.of[i], depth+1)
	case skipRecord:
		for _, f := range s.of {
			if c.skip(f, depth+1); c.err != nil {
				return
			}
		}
	case skipArray, skipMap:
		c.skipBlocks(s, depth)
	}
}

// skipBlocks walks the entries even where a block tells its size, so that what
// is accepted does not depend on how the writer cut its blocks.
func (c *cursor) skipBlocks(s *skip, depth int) {
	entry, isMap := s.of[0], s.kind == skipMap
	size := entry.min
	if isMap {
		size++ // the key's length
	}
	for {
		n, end := c.block(size)
		if n == 0 {
			return
		}
		if size == 0 {
			n = 0 // any number of nothings is nothing
		}
		for range n {
			if isMap {
				c.raw()
			}
			if c.skip(entry, depth+1); c.err != nil {
				return
			}
		}
		c.closeBlock(end)
	}
}
