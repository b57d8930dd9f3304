package gossip

import (
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

func TestQueueBounds(t *testing.T) {
	var all atomic.Int64
	q := newQueue(1000, &all, 10_000)
	if !q.push(make([]byte, 5000)) {
		t.Fatal("an empty queue refused one long message")
	}
	if q.push(make([]byte, 1)) {
		t.Fatal("took more than the limit")
	}
	if !q.push(nil) {
		t.Fatal("refused the empty message")
	}
	other := newQueue(1000, &all, 10_000)
	if other.push(make([]byte, smallMessage+2000)) {
		t.Fatal("took more than all queues may hold")
	}
	if !other.push(make([]byte, smallMessage)) {
		t.Fatal("an empty queue refused a small message")
	}
	if n := q.close(); n != 2 {
		t.Errorf("%d messages lost, want 2", n)
	}
	if q.push([]byte{1}) {
		t.Error("a closed queue took a message")
	}
}

// Whatever happens to the queues, the shared count is what they hold, and closing them all makes it zero.
func TestQueueAccounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all atomic.Int64
		queues := []*queue{newQueue(2000, &all, 5000), newQueue(2000, &all, 5000)}
		taken := make([][][]byte, len(queues))
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				queues[rapid.IntRange(0, 1).Draw(t, "queue")].push(make([]byte, rapid.IntRange(0, 3000).Draw(t, "size")))
			},
			"take": func(t *rapid.T) {
				i := rapid.IntRange(0, 1).Draw(t, "queue")
				taken[i] = append(taken[i], queues[i].take()...)
			},
			"written": func(t *rapid.T) {
				i := rapid.IntRange(0, 1).Draw(t, "queue")
				if len(taken[i]) > 0 {
					queues[i].written(taken[i][0])
					taken[i] = taken[i][1:]
				}
			},
			"": func(t *rapid.T) {
				if sum := queues[0].bytes + queues[1].bytes; all.Load() != int64(sum) || sum < 0 {
					t.Fatalf("counted %d, held %d", all.Load(), sum)
				}
			},
		})
		queues[0].close()
		queues[1].close()
		if all.Load() != 0 {
			t.Fatalf("%d bytes left after closing", all.Load())
		}
	})
}

// What room promises push keeps: a sender that asks first is never refused.
func TestRoomIsWhatPushTakes(t *testing.T) {
	var all atomic.Int64
	q := newQueue(1000, &all, 2000)
	if r := q.room(); r != (Room{Peer: 1000, All: 2000, Empty: true}) {
		t.Fatalf("room of an empty queue: %+v", r)
	}
	if !q.push(make([]byte, 1500)) {
		t.Fatal("an empty queue refuses a message larger than itself that all queues have room for")
	}
	if r := q.room(); r.Peer > 0 || r.Empty || r.All != 2000-1500-messageOverhead {
		t.Fatalf("room behind it: %+v", r)
	}
	q.take()
	q.written(make([]byte, 1500))
	if r := q.room(); !r.Empty || r.Peer != 1000 {
		t.Fatalf("room after it was written: %+v", r)
	}
	q.push(make([]byte, 500))
	r := q.room()
	if !q.push(make([]byte, r.Peer-messageOverhead)) {
		t.Errorf("refuses what fills it: %+v", r)
	}
	q.close()
	if r := q.room(); r != (Room{}) {
		t.Errorf("room of a closed queue: %+v", r)
	}
}
