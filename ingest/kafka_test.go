package ingest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"meshd/crdt"
	"meshd/internal/nodetest"
	"meshd/node"
)

// kafkaTest is a broker in memory with one topic of three partitions.
type kafkaTest struct {
	cluster *kfake.Cluster
	rules   *KafkaRules
}

func newKafkaTest(t *testing.T) *kafkaTest {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	r := &KafkaRules{Brokers: c.ListenAddrs(), Topics: []string{"events"}}
	if err := r.complete(); err != nil {
		t.Fatal(err)
	}
	return &kafkaTest{cluster: c, rules: r}
}

// produce writes records, one after the other over the partitions.
func (k *kafkaTest) produce(t *testing.T, values ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.cluster.ListenAddrs()...), kgo.DefaultProduceTopic("events"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i, v := range values {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Partition: int32(i % 3), Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// read runs a Kafka in front of a node until done says so after one of its batches.
func (k *kafkaTest) read(t *testing.T, instance string, to Submitter, done func(res node.Result) bool) *prometheus.Registry {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	m, reg := newTestMetrics(t)
	x, err := NewKafka(KafkaConfig{Rules: k.rules, Instance: instance, Submit: submitFunc(func(ctx context.Context, b *node.Batch) node.Result {
		res := to.Submit(ctx, b)
		if done(res) {
			stop()
		}
		return res
	}), Metrics: m, Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return reg
}

type submitFunc func(context.Context, *node.Batch) node.Result

func (f submitFunc) Submit(ctx context.Context, b *node.Batch) node.Result { return f(ctx, b) }

// after is a done that waits for so many events.
func after(n int, what func(node.Result) int) func(node.Result) bool {
	seen := 0
	return func(res node.Result) bool {
		seen += what(res)
		return seen >= n
	}
}

func allOf(res node.Result) int { return res.Accepted + res.Duplicates + len(res.Rejected) }

// TestKafkaEvents: records are events, in all the forms that a body has; bad ones are refused alone.
func TestKafkaEvents(t *testing.T) {
	k := newKafkaTest(t)
	k.produce(t,
		`{"event":"a"}`, `[{"event":"a","value":2},{"event":"b"}]`, "{\"event\":\"a\"}\n{\"event\":\"b\"}\n", // several in a record
		`{"event":"a"`, `[{"event":"a"},`, `nothing`, "", `{"event":"a","value":-1}`,
		`{"event":"a","idempotency_key":"x"}`, `{"event":"a","source":"s","seq":7}`,
		strings.Repeat("{\"event\":\"b\"}\n", maxRecordEvents+1),
	)
	n := newFakeNode()
	reg := k.read(t, "one", n, after(7, allOf))
	if a, b := n.counter("counter:a"), n.counter("counter:b"); a != "6" || b != "2" {
		t.Errorf("a is %s and b %s, want 6 and 2", a, b)
	}
	sources := map[node.Token]bool{}
	for _, it := range n.items {
		if it.Token.Zero() || sources[it.Token] {
			t.Errorf("%v has the token %v: none, or twice", it.Series, it.Token)
		}
		sources[it.Token] = true
	}
	if !sources[node.Token{Key: "x"}] || !sources[node.Token{Source: "s", Seq: 7}] {
		t.Error("tokens of the events' own are replaced")
	}
	for reason, want := range map[string]float64{"syntax": 3, "negative": 1, "too_long": 1} {
		if got := metric(t, reg, "rejected_total", "protocol", "kafka", "reason", reason); got != want {
			t.Errorf("%v refused for %s, want %v", got, reason, want)
		}
	}
}

// TestKafkaCountsOnceOverACrash: a node dies after its events are on disk and before their offsets are committed. When it
// is back it reads them again, and they count once.
func TestKafkaCountsOnceOverACrash(t *testing.T) {
	k := newKafkaTest(t)
	const events = 300
	var values []string
	for range events {
		values = append(values, `{"event":"a"}`)
	}
	k.produce(t, values...)
	var failing atomic.Bool
	failing.Store(true)
	k.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.cluster.KeepControl()
		if failing.Load() {
			return nil, errors.New("the connection is gone"), true
		}
		return nil, nil, false
	})
	n, stop := nodetest.Start(t, node.Config{
		Mesh: "default", Core: node.CoreConfig{Region: "eu", Node: "eu-1", Role: node.RoleHub, Inc: crdt.Incarnation{1}, Nonce: [16]byte{2}},
		Logger: discard(),
	})
	defer stop()
	k.rules.Session = 6e9
	k.read(t, "one", n, after(events, allOf))
	failing.Store(false)
	accepted, duplicates := 0, 0
	k.read(t, "one", n, func(res node.Result) bool {
		accepted, duplicates = accepted+res.Accepted, duplicates+res.Duplicates
		return accepted+duplicates >= events
	})
	if accepted != 0 || duplicates != events {
		t.Errorf("read again, %d count and %d are duplicates, want none and %d", accepted, duplicates, events)
	}
}

// TestKafkaWaitsForNode: what a busy node does not take is not committed, and counts when it takes it.
func TestKafkaWaitsForNode(t *testing.T) {
	k := newKafkaTest(t)
	k.produce(t, `{"event":"a"}`, `{"event":"a"}`)
	n := newFakeNode()
	refusals := 0
	n.answer = func(b *node.Batch) node.Result {
		if refusals++; refusals < 2 {
			return node.Result{Err: node.ErrBusy}
		}
		return node.Result{Accepted: len(b.Items)}
	}
	reg := k.read(t, "one", n, after(2, allOf))
	if got := n.counter("counter:a"); got != "2" {
		t.Errorf("a is %s, want 2", got)
	}
	if got := metric(t, reg, "deferred_total", "protocol", "kafka"); got != 1 {
		t.Errorf("%v deferred, want 1", got)
	}
}

func TestKafkaRulesRefuse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"topics: [a]", "want brokers and topics"},
		{"brokers: [a:1]\ntopics: ['']", "1 to 200 bytes"},
		{"brokers: [a:1]\ntopics: [a]\nstart: middle", "earliest or latest"},
		{"brokers: [a:1]\ntopics: [a]\nsession: 1s", "6s at least"},
		{"brokers: [a:1]\ntopics: [a]\ntls: {cert: x}", "cert and key"},
		{"brokers: [a:1]\ntopics: [a]\nsasl: {mechanism: magic}", "want plain"},
		{"brokers: [a:1]\ntopics: [a]\npartitions: [1]", "partitions not found"},
	} {
		file := filepath.Join(t.TempDir(), "kafka.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKafkaRules(file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		}
	}
	for _, more := range []string{"tls: {ca: none.pem}", "sasl: {mechanism: plain, password_file: none}"} {
		file := filepath.Join(t.TempDir(), "kafka.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, "brokers: [a:1]\ntopics: [a]\n%s", more), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := LoadKafkaRules(file)
		if err == nil {
			_, err = NewKafka(KafkaConfig{Rules: r})
		}
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v, want that the file is not there", more, err)
		}
	}
}
