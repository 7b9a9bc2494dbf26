package schemas

// The decoders of the internal records read the current schema only. They copy
// what they keep, never hold more than a small multiple of the body's length,
// and return a *DecodeError for whatever is not exactly one record. Empty bytes
// and arrays come back as nil.

// The fewest bytes that one entry of an array can take: one per field.
const (
	inputOffsetBytes = 2
	journalItemBytes = 7
	deadMarkBytes    = 4
)

// array reads an array whose entries take at least size bytes each.
func array[T any](c *cursor, size int, entry func(*cursor, *T)) (list []T) {
	for {
		n, end := c.block(size)
		if n == 0 {
			return list
		}
		for range n {
			var v T
			if entry(c, &v); c.err != nil {
				return list
			}
			list = append(list, v)
		}
		c.closeBlock(end)
	}
}

// DecodeJournal decodes the body of a journal record.
func DecodeJournal(body []byte) (*Journal, error) {
	c := cursor{b: body}
	j := &Journal{
		Format:          c.int(),
		Generation:      c.int(),
		Engine:          c.int(),
		Task:            c.int(),
		Sequence:        c.long(),
		PreviousHash:    c.long(),
		PlaybookVersion: c.text(),
		Starts: array(&c, inputOffsetBytes, func(c *cursor, v *InputOffset) {
			*v = InputOffset{Input: Input(c.int()), Offset: Offset(c.long())}
		}),
		Items: array(&c, journalItemBytes, func(c *cursor, v *JournalItem) {
			*v = JournalItem{
				Kind: ItemKind(c.int()), Input: Input(c.int()), End: Offset(c.long()), Count: c.long(),
				Wall: c.time(), To: c.time(), Place: c.bytes(),
			}
		}),
		Dead: array(&c, deadMarkBytes, func(c *cursor, v *DeadMark) {
			*v = DeadMark{Input: Input(c.int()), Offset: Offset(c.long()), Step: c.text(), Reason: c.text()}
		}),
		Clock:       c.time(),
		Triggers:    c.long(),
		TriggerHash: c.long(),
		Epoch:       c.int(),
		Writer:      c.text(),
	}
	if err := c.finish("Journal", ""); err != nil {
		return nil, err
	}
	return j, nil
}

// DecodeControl decodes the body of a control record.
func DecodeControl(body []byte) (*Control, error) {
	c := cursor{b: body}
	v := &Control{
		ControlID:   c.text(),
		Kind:        c.text(),
		Name:        c.text(),
		Version:     c.long(),
		EffectiveAt: c.time(),
		Body:        c.bytes(),
		IssuedBy:    c.text(),
		IssuedAt:    c.time(),
	}
	if err := c.finish("Control", ""); err != nil {
		return nil, err
	}
	return v, nil
}

// DecodeTransfer decodes the body of a transfer record.
func DecodeTransfer(body []byte) (*Transfer, error) {
	c := cursor{b: body}
	t := &Transfer{
		FromTask:   c.int(),
		ToTask:     c.int(),
		Sequence:   c.long(),
		Kind:       c.text(),
		Name:       c.text(),
		CustomerID: c.text(),
		At:         c.time(),
		Chunk:      c.int(),
		Chunks:     c.int(),
		Body:       c.bytes(),
	}
	if err := c.finish("Transfer", ""); err != nil {
		return nil, err
	}
	return t, nil
}
