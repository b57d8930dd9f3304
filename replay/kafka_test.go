package replay_test

import (
	"context"
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
