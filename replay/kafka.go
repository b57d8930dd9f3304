package replay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"

	"meshd/internal/mutant"
)

// KafkaConfig says which topic holds the log.
type KafkaConfig struct {
	Brokers []string // HOST:PORT, at least one
	Topic   string
	Mesh    string // stamped on every record; one of another mesh is refused with ErrForeign

	// TLS and SASL as the brokers want them; nil = neither.
	TLS  *tls.Config
	SASL sasl.Mechanism

	// What a topic gets that does not exist yet: Partitions (0 = 12), Replicas (0 = the brokers' default) and KeepFor,
	// its retention by time (0 = the brokers' default). A topic that exists keeps its settings, but it must take
	// records of MaxValueBytes and must not be compacted: that would keep only the last change of every origin.
	Partitions int
	Replicas   int
	KeepFor    time.Duration

	// Warn is told which settings of a topic that exists risk what is in it; nil = nobody is.
	Warn func(error)

	// Now stamps records. nil = time.Now.
	Now func() time.Time
}

// Header names and values. They are part of the format.
const (
	headerMesh   = "meshd-mesh"
	headerFormat = "meshd-format"
	headerKind   = "meshd-kind"
	kafkaFormat  = "1"
)

// kafkaRecordBytes is what a topic has to take: the largest record with key, headers and Kafka's own framing.
const kafkaRecordBytes = MaxValueBytes + MaxKeyBytes + 4<<10

// A topic is known to all brokers within a second after it was made; ten are given, and then whoever opens it tries again.
const (
	kafkaMadePause = 100 * time.Millisecond
	kafkaMadeTries = 100
)

// Kafka is a log in a topic. Records go to the partition of their key, by an idempotent producer that waits for all
// replicas in sync.
type Kafka struct {
	cfg    KafkaConfig
	client *kgo.Client
	admin  *kadm.Client

	mu     sync.Mutex
	ends   Position // after the newest record known, by partition
	closed bool
}

var _ Log = (*Kafka)(nil)

// OpenKafka connects and creates the topic if there is none. The caller must Close the log.
func OpenKafka(ctx context.Context, cfg KafkaConfig) (*Kafka, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Partitions == 0 {
		cfg.Partitions = 12
	}
	if cfg.Replicas == 0 {
		cfg.Replicas = -1
	}
	k := &Kafka{cfg: cfg}
	var err error
	if k.client, err = kgo.NewClient(append(cfg.options(), kgo.ProducerBatchMaxBytes(kafkaRecordBytes), kgo.DefaultProduceTopic(cfg.Topic))...); err == nil {
		k.admin = kadm.NewClient(k.client)
		if err = k.prepare(ctx); err != nil {
			k.client.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("replay: kafka topic %s: %w", cfg.Topic, err)
	}
	return k, nil
}

func (cfg *KafkaConfig) options() []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(cfg.Brokers...), kgo.ClientID("meshd")}
	if cfg.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(cfg.TLS))
	}
	if cfg.SASL != nil {
		opts = append(opts, kgo.SASL(cfg.SASL))
	}
	return opts
}

// prepare makes the topic or checks the one that is there.
func (k *Kafka) prepare(ctx context.Context) error {
	limit := strconv.Itoa(kafkaRecordBytes)
	settings := map[string]*string{"max.message.bytes": &limit, "cleanup.policy": new("delete")}
	if k.cfg.KeepFor > 0 {
		settings["retention.ms"] = new(strconv.FormatInt(k.cfg.KeepFor.Milliseconds(), 10))
	}
	_, err := k.admin.CreateTopic(ctx, int32(k.cfg.Partitions), int16(k.cfg.Replicas), settings, k.cfg.Topic)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		err = k.checkTopic(ctx)
	}
	if err != nil {
		return err
	}
	_, k.ends, err = k.bounds(ctx)
	for try := 1; try < kafkaMadeTries && !mutant.On("topic not waited for") && (errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.LeaderNotAvailable)); try++ {
		select { // brokers answer for a topic some time after they said that it is made
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(kafkaMadePause):
		}
		_, k.ends, err = k.bounds(ctx)
	}
	return err
}

// Append implements Log.
func (k *Kafka) Append(ctx context.Context, records []Record) (Position, error) {
	pos, err := k.append(ctx, records)
	if err != nil {
		return nil, fmt.Errorf("replay: append to kafka topic %s: %w", k.cfg.Topic, err)
	}
	return pos, nil
}

func (k *Kafka) append(ctx context.Context, records []Record) (Position, error) {
	if err := errors.Join(ctx.Err(), checkRecords(records), k.open()); err != nil {
		return nil, err
	}
	now := k.cfg.Now()
	out := make([]*kgo.Record, len(records))
	for i, r := range records {
		out[i] = &kgo.Record{Timestamp: now, Key: r.Key, Value: r.Value, Headers: k.headers(r.Kind)}
	}
	done := k.client.ProduceSync(ctx, out...)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range done {
		if p.Err == nil {
			for len(k.ends) <= int(p.Record.Partition) {
				k.ends = append(k.ends, 0)
			}
			k.ends[p.Record.Partition] = max(k.ends[p.Record.Partition], p.Record.Offset+1)
		}
	}
	return k.ends.Clone(), done.FirstErr()
}

func (k *Kafka) headers(kind Kind) []kgo.RecordHeader {
	return []kgo.RecordHeader{
		{Key: headerMesh, Value: []byte(k.cfg.Mesh)}, {Key: headerFormat, Value: []byte(kafkaFormat)}, {Key: headerKind, Value: []byte{byte(kind)}},
	}
}

func (k *Kafka) open() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return ErrClosed
	}
	return nil
}

// Bounds implements Log.
func (k *Kafka) Bounds(ctx context.Context) (first, end Position, err error) {
	if err = k.open(); err == nil {
		first, end, err = k.bounds(ctx)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("replay: bounds of kafka topic %s: %w", k.cfg.Topic, err)
	}
	return first, end, nil
}

func (k *Kafka) bounds(ctx context.Context) (first, end Position, err error) {
	starts, err := k.admin.ListStartOffsets(ctx, k.cfg.Topic)
	if err != nil {
		return nil, nil, err
	}
	ends, err := k.admin.ListEndOffsets(ctx, k.cfg.Topic)
	if err != nil {
		return nil, nil, err
	}
	if first, err = k.position(starts); err != nil {
		return nil, nil, err
	}
	end, err = k.position(ends)
	return first, end, err
}

func (k *Kafka) position(listed kadm.ListedOffsets) (Position, error) {
	if err := listed.Error(); err != nil {
		return nil, err
	}
	pos := make(Position, len(listed[k.cfg.Topic]))
	for partition, o := range listed[k.cfg.Topic] {
		if int(partition) >= len(pos) {
			return nil, fmt.Errorf("a partition below %d is missing", partition)
		}
		pos[partition] = max(o.Offset, 0)
	}
	return pos, nil
}

// At implements Log.
func (k *Kafka) At(ctx context.Context, t time.Time) (Position, error) {
	err := k.open()
	var listed kadm.ListedOffsets
	if err == nil {
		listed, err = k.admin.ListOffsetsAfterMilli(ctx, t.UnixMilli(), k.cfg.Topic)
	}
	var pos Position
	if err == nil {
		pos, err = k.position(listed)
	}
	if err != nil {
		return nil, fmt.Errorf("replay: find time in kafka topic %s: %w", k.cfg.Topic, err)
	}
	return pos, nil
}

// Trim implements Log: the topic's own retention deletes what is old enough.
func (k *Kafka) Trim(context.Context, Position) error { return k.open() }

// Close implements Log.
func (k *Kafka) Close() error {
	k.mu.Lock()
	closed := k.closed
	k.closed = true
	k.mu.Unlock()
	if !closed {
		k.client.Close()
	}
	return nil
}

// Read implements Log.
func (k *Kafka) Read(ctx context.Context, from Position, f func(*Entry) error) (Position, error) {
	first, end, err := k.Bounds(ctx)
	if err != nil {
		return from, err
	}
	next := make(Position, len(end))
	parts := map[int32]kgo.Offset{}
	for i := range next {
		if at := from.offset(i); at > 0 && at < first[i] && !mutant.On("topic trimmed in silence") {
			return from, k.gone(from, i, first[i])
		}
		if next[i] = max(from.offset(i), first[i]); next[i] < end[i] {
			parts[int32(i)] = kgo.NewOffset().At(next[i])
		}
	}
	if len(parts) == 0 {
		return next, nil
	}
	client, err := kgo.NewClient(append(k.cfg.options(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{k.cfg.Topic: parts}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // what was deleted meanwhile is an error, and not passed over
		kgo.FetchMaxPartitionBytes(kafkaRecordBytes), kgo.FetchMaxBytes(4*kafkaRecordBytes))...)
	if err != nil {
		return next, fmt.Errorf("replay: read kafka topic %s: %w", k.cfg.Topic, err)
	}
	defer client.Close()
	begun := make([]bool, len(next))
	for next.Before(end) {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return next, err
		}
		for _, e := range fetches.Errors() {
			if errors.Is(e.Err, kerr.OffsetOutOfRange) {
				if first, _, err = k.bounds(ctx); err == nil && next.offset(int(e.Partition)) < first.offset(int(e.Partition)) {
					return next, k.gone(next, int(e.Partition), first[e.Partition])
				}
			}
			return next, fmt.Errorf("replay: read kafka topic %s, partition %d: %w", k.cfg.Topic, e.Partition, e.Err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if p := int(r.Partition); p < len(begun) && !begun[p] {
				if begun[p] = true; r.Offset > next[p] && !mutant.On("topic trimmed in silence") { // since the bounds were asked for
					return next, k.gone(next, p, r.Offset)
				}
			}
			if err := k.deliver(r, next, end, f); err != nil {
				return next, err
			}
		}
	}
	return next, nil
}

// gone tells a reader that the topic keeps records of a partition no longer that it has not read.
func (k *Kafka) gone(from Position, partition int, first int64) error {
	behind := make(Position, max(len(from), partition+1))
	copy(behind, from)
	behind[partition] = first
	return &DamageError{
		Where: fmt.Sprintf("partition %d, offset %d", partition, from.offset(partition)), From: from.Clone(), Next: behind, Lost: first - from.offset(partition),
		Err: ErrTrimmed,
	}
}

// deliver hands one record on and moves next behind it. Records from end on came after the reading began.
func (k *Kafka) deliver(r *kgo.Record, next, end Position, f func(*Entry) error) error {
	p := int(r.Partition)
	if r.Offset >= end.offset(p) || r.Offset < next.offset(p) {
		return nil
	}
	e, err := k.entry(r)
	if err != nil {
		behind := next.Clone()
		behind[p] = r.Offset + 1
		return &DamageError{Where: fmt.Sprintf("partition %d, offset %d", p, r.Offset), From: next.Clone(), Next: behind, Lost: 1, Err: err}
	}
	if err := f(&e); err != nil {
		return err
	}
	next[p] = r.Offset + 1
	return nil
}

func (k *Kafka) entry(r *kgo.Record) (Entry, error) {
	header := func(name string) string {
		if i := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == name }); i >= 0 {
			return string(r.Headers[i].Value)
		}
		return ""
	}
	kind := header(headerKind)
	switch format := header(headerFormat); {
	case len(kind) != 1 || format == "":
		return Entry{}, errors.New("it was not written by meshd")
	case format != kafkaFormat:
		return Entry{}, fmt.Errorf("%w: format %s", ErrNewer, format)
	case k.cfg.Mesh != "" && header(headerMesh) != k.cfg.Mesh:
		return Entry{}, fmt.Errorf("%w: %q, not %q: name that mesh, or choose another topic", ErrForeign, header(headerMesh), k.cfg.Mesh)
	}
	return Entry{
		Record:    Record{Kind: Kind(kind[0]), Key: r.Key, Value: r.Value},
		Partition: int(r.Partition), Offset: r.Offset, Time: r.Timestamp.UnixMilli(),
	}, nil
}
