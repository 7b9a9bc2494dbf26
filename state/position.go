package state

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tidemark/schemas"
)

// PositionVersion is the version byte of the position that this package writes.
const PositionVersion = 1

// ErrPosition is wrapped by every error about bytes that are no position.
var ErrPosition = errors.New("state: bad position")

// Position is where a task stands: which journal record its state belongs to,
// and what follows from it. It is written in the same batch as the state.
type Position struct {
	Generation  int32 // of the partition count; 1 from the start
	Task        int32
	Engine      int32
	Sequence    int64                          // of the last journal record applied; 0: none
	Hash        uint64                         // xxhash64 of that record's Avro bytes; 0: none
	JournalNext schemas.Offset                 // where to read the journal: at the record of Sequence or before it
	Inputs      [schemas.Inputs]schemas.Offset // the next record to take of each input
	Clock       schemas.EventTime
	Fired       schemas.EventTime // every timer due up to this instant has fired
	Playbook    string            // version in force; "": none yet
}

// AppendPosition appends the encoded position to dst.
func AppendPosition(dst []byte, p *Position) []byte {
	dst = append(dst, PositionVersion)
	for _, v := range [...]int64{int64(p.Generation), int64(p.Task), int64(p.Engine), p.Sequence} {
		dst = binary.AppendVarint(dst, v)
	}
	dst = binary.LittleEndian.AppendUint64(dst, p.Hash)
	dst = binary.AppendVarint(dst, int64(p.JournalNext))
	for _, o := range p.Inputs {
		dst = binary.AppendVarint(dst, int64(o))
	}
	dst = binary.AppendVarint(dst, int64(p.Clock))
	dst = binary.AppendVarint(dst, int64(p.Fired))
	dst = binary.AppendUvarint(dst, uint64(len(p.Playbook)))
	return append(dst, p.Playbook...)
}

// DecodePosition is the inverse of AppendPosition.
func DecodePosition(b []byte) (Position, error) {
	var p Position
	if len(b) == 0 || b[0] != PositionVersion {
		return p, fmt.Errorf("%w: unknown version", ErrPosition)
	}
	d := decoder{b: b[1:]}
	p.Generation, p.Task, p.Engine = int32(d.varint()), int32(d.varint()), int32(d.varint())
	p.Sequence = d.varint()
	p.Hash = d.fixed64()
	p.JournalNext = schemas.Offset(d.varint())
	for i := range p.Inputs {
		p.Inputs[i] = schemas.Offset(d.varint())
	}
	p.Clock = schemas.EventTime(d.varint())
	p.Fired = schemas.EventTime(d.varint())
	n := d.count(1)
	if !d.bad {
		p.Playbook = string(d.b[:n])
		d.b = d.b[n:]
	}
	if err := d.end(); err != nil {
		return p, fmt.Errorf("%w: %w", ErrPosition, err)
	}
	return p, nil
}
