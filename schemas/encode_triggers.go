package schemas

// appendAvro writes the fields that every trigger begins with.
func (h *Head) appendAvro(dst []byte) []byte {
	dst = appendString(dst, h.TriggerID)
	dst = appendString(dst, h.CustomerID)
	dst = appendString(dst, h.Rule)
	dst = appendString(dst, h.PlaybookVersion)
	dst = appendLong(dst, h.Episode)
	dst = appendString(dst, h.Status)
	dst = appendNullableString(dst, h.Corrects)
	dst = appendTime(dst, h.EffectiveAt)
	dst = appendNullableString(dst, h.CausedBy)
	dst = appendBlock(dst, len(h.Evidence))
	for i := range h.Evidence {
		item := &h.Evidence[i]
		dst = appendString(dst, item.Fact)
		dst = appendString(dst, item.Value)
		dst = appendString(dst, item.Comparison)
		dst = appendString(dst, item.Limit)
	}
	dst = endBlock(dst, len(h.Evidence))
	dst = appendString(dst, h.Owner)
	return dst
}

// AppendAvro implements Record.
func (t *TierChange) AppendAvro(dst []byte) []byte {
	dst = t.Head.appendAvro(dst)
	dst = appendString(dst, t.Kind)
	dst = appendString(dst, t.Program)
	dst = appendString(dst, t.FromTier)
	dst = appendString(dst, t.ToTier)
	dst = appendInt(dst, t.FromLevel)
	dst = appendInt(dst, t.ToLevel)
	dst = appendLong(dst, t.GrowthValue)
	dst = appendString(dst, t.NextTier)
	dst = appendLong(dst, t.MissingToNext)
	dst = appendLong(dst, t.MissingToKeep)
	dst = appendNullableLong(dst, t.ValidUntil)
	dst = appendBlock(dst, len(t.Benefits))
	for _, s := range t.Benefits {
		dst = appendString(dst, s)
	}
	dst = endBlock(dst, len(t.Benefits))
	return dst
}

// AppendAvro implements Record.
func (t *ChurnWarning) AppendAvro(dst []byte) []byte {
	dst = t.Head.appendAvro(dst)
	dst = appendString(dst, t.Kind)
	dst = appendString(dst, t.Level)
	dst = appendString(dst, t.Model)
	dst = appendString(dst, t.Stream)
	dst = appendTime(dst, t.LastCoreAt)
	dst = appendLong(dst, t.SilenceMillis)
	dst = appendNullableLong(dst, t.ExpectedGapMS)
	dst = appendNullableDouble(dst, t.Risk)
	dst = appendNullableLong(dst, t.HorizonMS)
	dst = appendLong(dst, t.Orders)
	dst = appendLong(dst, t.ValueAtStake)
	dst = appendString(dst, t.Currency)
	dst = appendNullableDouble(dst, t.ExpectedPrecision)
	dst = appendNullableDouble(dst, t.BaseRate)
	dst = appendNullableLong(dst, t.EndedAt)
	return dst
}

// AppendAvro implements Record.
func (t *RecallTrigger) AppendAvro(dst []byte) []byte {
	dst = t.Head.appendAvro(dst)
	dst = appendString(dst, t.Campaign)
	dst = appendString(dst, t.CustomerType)
	dst = appendString(dst, t.Cause)
	dst = appendInt(dst, t.Round)
	dst = appendString(dst, t.Step)
	dst = appendString(dst, t.Group)
	dst = appendString(dst, t.Arm)
	dst = appendString(dst, t.Time)
	dst = appendString(dst, t.Content)
	dst = appendString(dst, t.Channel)
	dst = appendString(dst, t.Landing)
	dst = appendTime(dst, t.SendAt)
	dst = appendNullableLong(dst, t.ExpiresAt)
	dst = appendNullableString(dst, t.Warning)
	dst = appendLong(dst, t.ValueAtStake)
	dst = appendString(dst, t.Currency)
	return dst
}

// AppendAvro implements Record.
func (t *LifecycleChange) AppendAvro(dst []byte) []byte {
	dst = t.Head.appendAvro(dst)
	dst = appendString(dst, t.Kind)
	dst = appendString(dst, t.Track)
	dst = appendString(dst, t.From)
	dst = appendString(dst, t.To)
	dst = appendString(dst, t.MovedBy)
	dst = appendNullableLong(dst, t.RScore)
	dst = appendNullableLong(dst, t.FScore)
	dst = appendNullableLong(dst, t.MScore)
	dst = appendNullableLong(dst, t.RecencyDays)
	dst = appendNullableLong(dst, t.Frequency)
	dst = appendNullableLong(dst, t.MonetaryMinor)
	dst = appendString(dst, t.Currency)
	dst = appendLong(dst, t.CutsVersion)
	dst = appendNullableLong(dst, t.TimeInFromMS)
	dst = appendString(dst, t.Value)
	return dst
}

// AppendAvro implements Record.
func (t *EngagementTrigger) AppendAvro(dst []byte) []byte {
	dst = t.Head.appendAvro(dst)
	dst = appendString(dst, t.Kind)
	dst = appendString(dst, t.Name)
	dst = appendString(dst, t.Step)
	dst = appendString(dst, t.Item)
	dst = appendLong(dst, t.Quantity)
	dst = appendString(dst, t.Ledger)
	dst = appendLong(dst, t.Points)
	dst = appendNullableLong(dst, t.Balance)
	dst = appendString(dst, t.Campaign)
	dst = appendString(dst, t.Group)
	dst = appendString(dst, t.Arm)
	dst = appendString(dst, t.Channel)
	dst = appendString(dst, t.Operator)
	dst = appendNullableLong(dst, t.DueAt)
	dst = appendNullableLong(dst, t.SendAt)
	dst = appendNullableLong(dst, t.ExpiresAt)
	dst = appendMap(dst, t.Attributes)
	return dst
}

// AppendAvro implements Record.
func (t *SuppressedTrigger) AppendAvro(dst []byte) []byte {
	dst = t.Head.appendAvro(dst)
	dst = appendString(dst, t.ForTopic)
	dst = appendString(dst, t.Kind)
	dst = appendString(dst, t.Reason)
	dst = appendString(dst, t.Winner)
	dst = appendString(dst, t.Detail)
	dst = appendString(dst, t.Campaign)
	dst = appendString(dst, t.Group)
	dst = appendString(dst, t.Arm)
	dst = appendNullableLong(dst, t.SendAt)
	dst = appendString(dst, t.Withheld)
	return dst
}

// AppendAvro implements Record.
func (m *LifecycleMetric) AppendAvro(dst []byte) []byte {
	dst = appendString(dst, m.MetricID)
	dst = appendString(dst, m.Metric)
	dst = appendString(dst, m.PlaybookVersion)
	dst = appendLong(dst, m.Revision)
	dst = appendString(dst, m.Cycle)
	dst = appendTime(dst, m.PeriodStart)
	dst = appendTime(dst, m.PeriodEnd)
	dst = appendMap(dst, m.Dimensions)
	dst = appendNullableString(dst, m.Value)
	dst = appendNullableLong(dst, m.Numerator)
	dst = appendNullableLong(dst, m.Denominator)
	dst = appendString(dst, m.Currency)
	dst = appendNullableString(dst, m.Target)
	dst = appendString(dst, m.Owner)
	return dst
}

// AppendAvro implements Record.
func (d *DeadLetter) AppendAvro(dst []byte) []byte {
	dst = appendString(dst, d.DeadLetterID)
	dst = appendString(dst, d.Topic)
	dst = appendInt(dst, d.Partition)
	dst = appendLong(dst, d.Offset)
	dst = appendTime(dst, d.Timestamp)
	dst = appendNullableBytes(dst, d.Key)
	dst = appendNullableBytes(dst, d.Value)
	dst = appendBool(dst, d.Truncated)
	dst = appendBlock(dst, len(d.Headers))
	for i := range d.Headers {
		item := &d.Headers[i]
		dst = appendString(dst, item.Key)
		dst = appendNullableBytes(dst, item.Value)
	}
	dst = endBlock(dst, len(d.Headers))
	dst = appendString(dst, d.Step)
	dst = appendString(dst, d.Reason)
	dst = appendString(dst, d.Error)
	dst = appendString(dst, d.EventID)
	dst = appendString(dst, d.CustomerID)
	return dst
}
