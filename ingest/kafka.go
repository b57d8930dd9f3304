package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/node"
)

// KafkaConfig configures events that come from Kafka.
type KafkaConfig struct {
	Rules *KafkaRules
	// Instance names this node among all that read in its group, across restarts: it gets its partitions back.
	Instance string
	Submit   Submitter
	Metrics  *Metrics
	Logger   *slog.Logger
}

const (
	// kafkaRecords are read at once at most: with an event each, a batch of a usual size.
	kafkaRecords = 5_000
	// maxRecordEvents of one record count: each event but the first needs a source of tokens of its own at the node.
	maxRecordEvents = 100
	// kafkaPatience is how long a batch is offered to a node that takes none. Then it is given back: meanwhile the group
	// cannot move partitions.
	kafkaPatience = 30 * time.Second
	kafkaRetry    = 500 * time.Millisecond
)

// Kafka reads events from topics: a record's value is what a body of POST /v1/events is, an object, an array or lines of
// them.
//
// Offsets are committed once the events are on this node's disk, and an event without a token of its own has one: its topic
// (by the broker's id of it), partition and offset. Offsets of a partition only rise, so a token is a source and a seq,
// and the node needs one entry for each partition, however many records there are. What is read again after a crash
// of this node is a duplicate. What another node reads again is not: when a node has ended in order,
// there is nothing to read again; when a node is gone for longer than its session, its last batch may count twice, as events sent by
// clients through two nodes do.
//
// A record that holds no good event is refused and not read again.
type Kafka struct {
	cfg      KafkaConfig
	meter    *meter
	examples *examples // of what is refused
}

// NewKafka checks that a client can be made. Nothing is read before Run.
func NewKafka(cfg KafkaConfig) (*Kafka, error) {
	if _, err := cfg.Rules.options(cfg.Instance); err != nil {
		return nil, fmt.Errorf("ingest: kafka: %w", err)
	}
	return &Kafka{cfg: cfg, meter: cfg.Metrics.meter("kafka"), examples: &examples{protocol: "kafka", log: cfg.Logger}}, nil
}

// Run reads until ctx ends. What cannot be had is tried again.
func (k *Kafka) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := k.session(ctx); err != nil && ctx.Err() == nil {
			k.cfg.Metrics.kafkaFailures.Inc()
			k.cfg.Logger.Warn("cannot read events from Kafka: tried again", "err", err)
			pause(ctx, kafkaRetry)
		}
	}
	return nil
}

// session reads with one client, from the offsets that were committed, until the node takes nothing or ctx ends.
func (k *Kafka) session(ctx context.Context) error {
	opts, err := k.cfg.Rules.options(k.cfg.Instance)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	for {
		fetches := client.PollRecords(ctx, kafkaRecords)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			k.cfg.Metrics.kafkaFailures.Inc()
			k.cfg.Logger.Warn("cannot fetch from Kafka: tried again", "topic", topic, "partition", partition, "err", err)
		})
		if err := k.take(ctx, fetches); err != nil {
			return err
		}
		// The answer is waited for, also when ctx has ended: what counted need not be read again.
		commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), kafkaPatience)
		err := client.CommitUncommittedOffsets(commit)
		cancel()
		if err != nil { // read again, by this node as duplicates
			k.cfg.Metrics.kafkaFailures.Inc()
			k.cfg.Logger.Warn("cannot commit offsets to Kafka: tried again with the next ones", "err", err)
		}
		client.AllowRebalance()
	}
}

// take counts the events of what was fetched. On an error some of it did not count.
func (k *Kafka) take(ctx context.Context, fetches kgo.Fetches) error {
	q := request{now: time.Now(), series: make(map[string]*crdt.Series), examples: k.examples}
	var err error
	fetches.EachTopic(func(t kgo.FetchTopic) {
		id := t.Topic
		if t.TopicID != [16]byte{} { // a topic made anew under its name begins again at offset 0
			id = fmt.Sprintf("%x", t.TopicID)
		}
		t.EachPartition(func(p kgo.FetchPartition) {
			source := "kafka:" + id + "/" + strconv.Itoa(int(p.Partition))
			for _, r := range p.Records {
				k.record(&q, source, r)
				if len(q.items) > maxItems-maxRecordEvents && err == nil {
					err = k.submit(ctx, &q)
				}
			}
			if n := len(p.Records); n > 0 {
				behind := p.HighWatermark - p.Records[n-1].Offset - 1
				k.cfg.Metrics.kafkaBehind.WithLabelValues(t.Topic, strconv.Itoa(int(p.Partition))).Set(float64(max(behind, 0)))
			}
		})
	})
	if err == nil {
		err = k.submit(ctx, &q)
	}
	return err
}

// record adds the events of one record to q.
func (k *Kafka) record(q *request, source string, r *kgo.Record) {
	k.meter.packets.Inc()
	k.meter.bytes.Add(float64(len(r.Value)))
	before, clamped := len(q.items), q.clamped
	q.seen = 0
	err := q.read(r.Value, "")
	if err == nil && q.seen > maxRecordEvents {
		err = &httpError{http.StatusRequestEntityTooLarge, reasonTooLong, "too many events in one record"}
	}
	k.meter.lines.Add(float64(q.seen))
	if whole, ok := errors.AsType[*httpError](err); ok {
		q.items, q.index, q.clamped = q.items[:before], q.index[:before], clamped
		k.meter.rejected[whole.reason].Inc()
		k.examples.note(whole.reason, r.Value)
		return
	}
	for i := range q.items[before:] {
		it := &q.items[before+i]
		if it.Token.Zero() && !mutant.On("records without tokens") {
			it.Token = node.Token{Source: source, Seq: uint64(r.Offset) + 1, Kept: true}
			if n := q.index[before+i]; n > 0 {
				it.Token.Source += "#" + strconv.Itoa(n)
			}
		}
	}
}

// errNotTaken says that the node took a batch neither at once nor later.
var errNotTaken = errors.New("the node took no events for too long: they are read again")

// submit hands the events to the node, again and again for as long as kafkaPatience, and empties q.
func (k *Kafka) submit(ctx context.Context, q *request) error {
	k.meter.samples.Add(float64(len(q.items)))
	for waited := time.Duration(0); len(q.items) > 0; waited += kafkaRetry {
		if waited >= kafkaPatience || ctx.Err() != nil {
			return errNotTaken
		}
		// The answer is waited for, also when ctx has ended: the node ends after its doors.
		res := k.cfg.Submit.Submit(context.WithoutCancel(ctx), &node.Batch{Items: q.items})
		if res.Err == nil {
			for _, r := range res.Rejected {
				k.meter.rejected[reasonOf(r.Err)].Inc()
				k.examples.noteSeries(reasonOf(r.Err), q.items[r.Index].Series)
			}
			k.meter.commits.Inc()
			k.meter.stored.Add(float64(res.Accepted))
			break
		}
		k.meter.deferred.Inc()
		pause(ctx, kafkaRetry)
	}
	k.meter.clamped.Add(float64(q.clamped))
	for r, n := range q.rejected {
		if n > 0 {
			k.meter.rejected[r].Add(float64(n))
		}
	}
	k.examples.show(time.Now())
	*q = request{now: time.Now(), series: q.series, examples: k.examples}
	return nil
}
