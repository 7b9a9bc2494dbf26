package schemas

// AppendAvro implements Record.
func (j *Journal) AppendAvro(dst []byte) []byte {
	dst = appendInt(dst, j.Format)
	dst = appendInt(dst, j.Generation)
	dst = appendInt(dst, j.Engine)
	dst = appendInt(dst, j.Task)
	dst = appendLong(dst, j.Sequence)
	dst = appendLong(dst, j.PreviousHash)
	dst = appendString(dst, j.PlaybookVersion)
	dst = appendBlock(dst, len(j.Starts))
	for i := range j.Starts {
		item := &j.Starts[i]
		dst = appendInt(dst, int32(item.Input))
		dst = appendLong(dst, int64(item.Offset))
	}
	dst = endBlock(dst, len(j.Starts))
	dst = appendBlock(dst, len(j.Items))
	for i := range j.Items {
		item := &j.Items[i]
		dst = appendInt(dst, int32(item.Kind))
		dst = appendInt(dst, int32(item.Input))
		dst = appendLong(dst, int64(item.End))
		dst = appendLong(dst, item.Count)
		dst = appendTime(dst, item.Wall)
		dst = appendTime(dst, item.To)
		dst = appendBytes(dst, item.Place)
	}
	dst = endBlock(dst, len(j.Items))
	dst = appendBlock(dst, len(j.Dead))
	for i := range j.Dead {
		item := &j.Dead[i]
		dst = appendInt(dst, int32(item.Input))
		dst = appendLong(dst, int64(item.Offset))
		dst = appendString(dst, item.Step)
		dst = appendString(dst, item.Reason)
	}
	dst = endBlock(dst, len(j.Dead))
	dst = appendTime(dst, j.Clock)
	dst = appendLong(dst, j.Triggers)
	dst = appendLong(dst, j.TriggerHash)
	dst = appendInt(dst, j.Epoch)
	dst = appendString(dst, j.Writer)
	return dst
}

// AppendAvro implements Record.
func (c *Control) AppendAvro(dst []byte) []byte {
	dst = appendString(dst, c.ControlID)
	dst = appendString(dst, c.Kind)
	dst = appendString(dst, c.Name)
	dst = appendLong(dst, c.Version)
	dst = appendTime(dst, c.EffectiveAt)
	dst = appendBytes(dst, c.Body)
	dst = appendString(dst, c.IssuedBy)
	dst = appendTime(dst, c.IssuedAt)
	return dst
}

// AppendAvro implements Record.
func (t *Transfer) AppendAvro(dst []byte) []byte {
	dst = appendInt(dst, t.FromTask)
	dst = appendInt(dst, t.ToTask)
	dst = appendLong(dst, t.Sequence)
	dst = appendString(dst, t.Kind)
	dst = appendString(dst, t.Name)
	dst = appendString(dst, t.CustomerID)
	dst = appendTime(dst, t.At)
	dst = appendInt(dst, t.Chunk)
	dst = appendInt(dst, t.Chunks)
	dst = appendBytes(dst, t.Body)
	return dst
}
