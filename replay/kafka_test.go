package replay_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"meshd/replay"
	"meshd/replay/replaytest"
)

func fake(t *testing.T) []string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

func openKafka(t *testing.T, cfg replay.KafkaConfig) *replay.Kafka {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	k, err := replay.OpenKafka(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func TestKafkaConforms(t *testing.T) {
	brokers := fake(t)
	c := &clock{time.UnixMilli(1_700_000_000_000)}
	replaytest.Run(t, replaytest.Engine{
		Open: func(t *testing.T) replay.Log {
			topic := strings.Map(func(r rune) rune {
				if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
					return r
				}
				return '-'
			}, t.Name())
			return openKafka(t, replay.KafkaConfig{Brokers: brokers, Topic: topic, Mesh: "m", Partitions: 3, Now: c.time})
		},
		Advance: c.advance,
	})
}

func TestKafkaRefusesWhatIsNotItsOwn(t *testing.T) {
	brokers := fake(t)
	mine := openKafka(t, replay.KafkaConfig{Brokers: brokers, Topic: "t", Mesh: "m", Partitions: 1})
	theirs := openKafka(t, replay.KafkaConfig{Brokers: brokers, Topic: "t", Mesh: "other"})
	add(t, mine, 0, 1)
	add(t, theirs, 1, 2)
	add(t, mine, 2, 3)
	got, err := read(t, mine, nil)
	if !errors.Is(err, replay.ErrForeign) || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	var all []int
	var pos replay.Position
	for range 3 {
		damage, ok := errors.AsType[*replay.DamageError](err)
		if !ok {
			break
		}
		pos = damage.Next
		var more []int
		more, err = read(t, mine, pos)
		all = append(all, more...)
	}
	if err != nil || len(all) != 2 || all[0] != 2 {
		t.Errorf("behind the strangers: %v, %v", all, err)
	}
}

func TestKafkaRefusesTopicsThatLoseRecords(t *testing.T) {
	brokers := fake(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for topic, row := range map[string]struct{ key, value, large string }{
		"compacted": {"cleanup.policy", "compact", "10000000"},
		"small":     {"max.message.bytes", "1000000", "1000000"},
	} {
		settings := map[string]*string{"max.message.bytes": &row.large, row.key: &row.value}
		if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, settings, topic); err != nil {
			t.Fatal(err)
		}
		if _, err := replay.OpenKafka(t.Context(), replay.KafkaConfig{Brokers: brokers, Topic: topic, Mesh: "m"}); err == nil || !strings.Contains(err.Error(), row.key) {
			t.Errorf("%s: %v", topic, err)
		}
	}
}

// TestRiskyTopicsAreWarnedOf: each by its setting, and a sound one by nothing.
func TestRiskyTopicsAreWarnedOf(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, row := range []struct {
		name, key, value string
		replicas         int16
		keep             time.Duration
		want             string
	}{
		{"sound", "min.insync.replicas", "2", 3, 0, ""},
		{"single", "min.insync.replicas", "1", 1, 0, ""},
		{"short", "retention.ms", "3600000", 1, 0, "retention.ms is 3600000 (1h0m0s)"},
		{"shorter", "retention.ms", "604800000", 1, 400 * 24 * time.Hour, "set it to 34560000000"},
		{"forever", "retention.ms", "-1", 1, 400 * 24 * time.Hour, ""},
		{"small", "retention.bytes", "1000000", 1, 0, "retention.bytes is 1000000"},
		{"alone", "min.insync.replicas", "1", 3, 0, "min.insync.replicas is 1 of 3"},
		{"none", "min.insync.replicas", "2", 1, 0, "nothing can be appended"},
	} {
		settings := map[string]*string{"max.message.bytes": new("10000000"), "min.insync.replicas": new("1"), row.key: &row.value}
		if row.replicas > 1 && row.key != "min.insync.replicas" {
			settings["min.insync.replicas"] = new("2")
		}
		if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, row.replicas, settings, row.name); err != nil {
			t.Fatal(err)
		}
		var told []string
		openKafka(t, replay.KafkaConfig{Brokers: c.ListenAddrs(), Topic: row.name, Mesh: "m", KeepFor: row.keep, Warn: func(err error) { told = append(told, err.Error()) }})
		if got := strings.Join(told, "; "); row.want == "" && got != "" || !strings.Contains(got, row.want) || len(told) > 1 {
			t.Errorf("%s: %q, want one with %q", row.name, told, row.want)
		}
	}
}

// TestWhoReadsWhatATopicKeepsNoLongerIsTold: before it begins to, and while it reads.
func TestWhoReadsWhatATopicKeepsNoLongerIsTold(t *testing.T) {
	brokers := fake(t)
	k := openKafka(t, replay.KafkaConfig{Brokers: brokers, Topic: "t", Mesh: "m", Partitions: 1})
	const records = 20
	value := make([]byte, 4<<20) // that does not compress: some are fetched at a time
	rand.Read(value)
	for range records {
		if _, err := k.Append(t.Context(), []replay.Record{{Kind: replay.KindFrame, Value: value}}); err != nil {
			t.Fatal(err)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	keep := func(from int64) {
		if _, err := kadm.NewClient(client).DeleteRecords(t.Context(), kadm.Offsets{"t": {0: {Topic: "t", At: from}}}); err != nil {
			t.Fatal(err)
		}
	}
	read := int64(0)
	pos, err := k.Read(t.Context(), nil, func(*replay.Entry) error {
		if read++; read == 1 {
			keep(records - 1)
		}
		return nil
	})
	damage, ok := errors.AsType[*replay.DamageError](err)
	if !ok || !errors.Is(err, replay.ErrTrimmed) || pos[0] != read || damage.Next[0] != records-1 || damage.Lost != records-1-read {
		t.Fatalf("%d read, to %v: %v", read, pos, err)
	}
	var told []int64
	read = 0
	if _, err := replay.ReadOn(t.Context(), k, pos, func(*replay.Entry) error { read++; return nil }, func(d *replay.DamageError) error {
		told = append(told, d.Lost)
		return nil
	}); err != nil || read != 1 || len(told) != 1 || told[0] != damage.Lost {
		t.Errorf("%d read, %v told: %v", read, told, err)
	}
	if _, err := k.Read(t.Context(), nil, func(*replay.Entry) error { return nil }); err != nil {
		t.Error("from the oldest on:", err)
	}
}

// TestATopicThatBrokersDoNotKnowYetIsWaitedFor: a topic is made before all brokers answer for it.
func TestATopicThatBrokersDoNotKnowYetIsWaitedFor(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	unknown := 0
	c.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if unknown == 3 {
			return nil, nil, false
		}
		unknown++
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, topic := range req.(*kmsg.ListOffsetsRequest).Topics {
			out := kmsg.ListOffsetsResponseTopic{Topic: topic.Topic}
			for _, p := range topic.Partitions {
				out.Partitions = append(out.Partitions, kmsg.ListOffsetsResponseTopicPartition{
					Partition: p.Partition, ErrorCode: kerr.UnknownTopicOrPartition.Code,
				})
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp, nil, true
	})
	k := openKafka(t, replay.KafkaConfig{Brokers: c.ListenAddrs(), Topic: "t", Mesh: "m", Partitions: 3})
	add(t, k, 0, 1)
	if got, err := read(t, k, nil); err != nil || len(got) != 2 || unknown != 3 {
		t.Errorf("%v, %v, after %d answers that the topic is unknown", got, err, unknown)
	}
}
