package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The Confluent wire format: a zero byte, the schema's id as four bytes in
// big-endian order, the Avro body.
const (
	wireMagic  = 0
	WireHeader = 5 // bytes before the body
)

var (
	// ErrWireShort: the value is shorter than the header. A tombstone is one.
	ErrWireShort = errors.New("the value is too short for the wire header")
	// ErrWireMagic: the first byte is not 0, so the value is not in the Confluent wire format.
	ErrWireMagic = errors.New("the value does not begin with the wire format's zero byte")
)

// WireError says how the frame of a value was wrong. Err is ErrWireShort or ErrWireMagic.
type WireError struct {
	Length int  // of the value
	First  byte // of the value, 0 if it is empty
	Err    error
}

func (e *WireError) Error() string {
	if errors.Is(e.Err, ErrWireMagic) {
		return fmt.Sprintf("%v but with 0x%02x", e.Err, e.First)
	}
	return fmt.Sprintf("%v: %d of at least %d bytes", e.Err, e.Length, WireHeader)
}

func (e *WireError) Unwrap() error { return e.Err }

// AppendWire appends the header for the schema id and then the body.
func AppendWire(dst []byte, id int32, body []byte) []byte {
	return append(AppendWireHeader(dst, id), body...)
}

// AppendWireHeader appends the header alone, for a body that is then appended in place.
func AppendWireHeader(dst []byte, id int32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, wireMagic), uint32(id))
}

// ParseWire splits a record's value into schema id and body. The body is part
// of value and may be empty. The error is a *WireError.
func ParseWire(value []byte) (id int32, body []byte, err error) {
	if len(value) > 0 && value[0] != wireMagic {
		return 0, nil, &WireError{Length: len(value), First: value[0], Err: ErrWireMagic}
	}
	if len(value) < WireHeader {
		return 0, nil, &WireError{Length: len(value), Err: ErrWireShort}
	}
	return int32(binary.BigEndian.Uint32(value[1:])), value[WireHeader:], nil
}
