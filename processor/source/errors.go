package source

import (
	"errors"
	"fmt"

	kafka "github.com/segmentio/kafka-go"
)

var (
	// ErrCorrupt is matched by bytes that are not what the protocol says: a wrong
	// CRC, an impossible length, a batch that doesn't decompress.
	ErrCorrupt = errors.New("source: corrupt")
	// ErrOldMessageFormat is matched by message sets of magic 0 or 1. Brokers
	// since 4.0 have none; before that, raise log.message.format.version and
	// let the old segments age out.
	ErrOldMessageFormat = errors.New("source: message format before Kafka 0.11")
	// ErrTooLarge is matched by a response or a decompressed batch over the limit.
	ErrTooLarge = errors.New("source: over the size limit")
	// ErrOffsetOutOfRange is matched by OffsetOutOfRangeError.
	ErrOffsetOutOfRange = errors.New("source: offset out of range")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("source: closed")
	// ErrNoPosition is matched by Poll while a partition has not been sought.
	ErrNoPosition = errors.New("source: partition without a position")
	// ErrUnsupportedBroker is matched by a broker that lacks the request versions in use.
	ErrUnsupportedBroker = errors.New("source: broker does not support")
)

// OffsetOutOfRangeError is a position that the log does not hold: before its
// start (deleted by retention) or past its end (the topic was made anew, or lost
// data). It stays until Seek. What to do is the owner's decision, never a reset.
type OffsetOutOfRangeError struct {
	Topic     string
	Partition int32
	Offset    int64 // asked for
	LogStart  int64 // first offset that the log holds; -1 if the broker could not be asked
	End       int64 // high watermark; -1 if the broker could not be asked
}

func (e *OffsetOutOfRangeError) Error() string {
	return fmt.Sprintf("source: offset %d of %s/%d out of range, the log holds %d to %d", e.Offset, e.Topic, e.Partition, e.LogStart, e.End)
}
func (e *OffsetOutOfRangeError) Is(target error) bool { return target == ErrOffsetOutOfRange }
func (e *OffsetOutOfRangeError) Unwrap() error        { return kafka.OffsetOutOfRange }

// PartitionError is a broker's refusal for one partition. It unwraps to the
// kafka.Error of its code.
type PartitionError struct {
	Op        string // Fetch, ListOffsets or Metadata
	Topic     string
	Partition int32
	Code      int16
}

func (e *PartitionError) Error() string {
	return fmt.Sprintf("source: %s of %s/%d: %v", e.Op, e.Topic, e.Partition, kafka.Error(e.Code))
}
func (e *PartitionError) Unwrap() error { return kafka.Error(e.Code) }

// BatchError is a batch that can't be read. It unwraps to ErrCorrupt,
// ErrOldMessageFormat or ErrTooLarge.
type BatchError struct {
	Topic     string
	Partition int32
	Offset    int64 // base offset of the batch as it stands in its bytes
	Err       error
}

func (e *BatchError) Error() string {
	if e.Topic == "" {
		return fmt.Sprintf("batch at offset %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("source: %s/%d, batch at offset %d: %v", e.Topic, e.Partition, e.Offset, e.Err)
}
func (e *BatchError) Unwrap() error { return e.Err }

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// moved reports whether a code says that another broker leads the partition
// now, or will soon: ask for metadata again.
func moved(code int16) bool {
	switch kafka.Error(code) {
	case kafka.UnknownTopicOrPartition, kafka.LeaderNotAvailable, kafka.NotLeaderForPartition,
		kafka.BrokerNotAvailable, kafka.ReplicaNotAvailable, kafka.KafkaStorageError,
		kafka.FencedLeaderEpoch, kafka.UnknownLeaderEpoch:
		return true
	}
	return false
}

// passing reports whether a code is worth the same request again after a wait.
func passing(code int16) bool {
	switch kafka.Error(code) {
	case kafka.RequestTimedOut, kafka.NetworkException, kafka.OffsetNotAvailable, kafka.ThrottlingQuotaExceeded, kafka.Unknown:
		return true
	}
	return moved(code)
}
