package wire

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

func TestHeartbeatSize(t *testing.T) {
	const now = 1_900_000_000_000 // the year 2030
	tests := []struct {
		name string
		m    Heartbeat
		want int
	}{
		{"at the start", Heartbeat{WallMs: now}, 9},
		{"after a year", Heartbeat{Head: [crdt.NumStreams]uint64{1<<32 - 1, 1<<24 - 1}, WallMs: now}, 14},
		{"at the end of numbers", Heartbeat{Head: [crdt.NumStreams]uint64{math.MaxUint64, math.MaxUint64}, WallMs: MaxHeartbeatMs}, 23},
		{"with a lag", Heartbeat{WallMs: now, LagMs: 300}, 11},
		{"with the longest lag", Heartbeat{WallMs: now, LagMs: math.MaxUint32}, 13},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, err := AppendMessage(nil, &test.m)
			if err != nil || len(b) != test.want {
				t.Errorf("%d bytes, %v, want %d", len(b), err, test.want)
			}
			checkMessage(t, &test.m)
		})
	}
}

func TestHeartbeatRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &Heartbeat{WallMs: rapid.Int64Range(0, MaxHeartbeatMs).Draw(t, "wall"), LagMs: rapid.Uint32().Draw(t, "lag")}
		for s := range m.Head {
			m.Head[s] = rapid.Uint64().Draw(t, "head")
		}
		checkMessage(t, m)
	})
}

func TestHeartbeatClockOutOfRange(t *testing.T) {
	for wall, want := range map[int64]int64{-5: 0, math.MaxInt64: MaxHeartbeatMs} {
		b, err := AppendMessage(nil, &Heartbeat{WallMs: wall})
		if err != nil {
			t.Fatal(err)
		}
		m, err := ParseMessage(b)
		if err != nil || m.(*Heartbeat).WallMs != want {
			t.Errorf("time %d arrives as %v, %v, want %d", wall, m, err, want)
		}
	}
}

func TestHeartbeatRefused(t *testing.T) {
	b, err := AppendMessage(nil, &Heartbeat{Head: [crdt.NumStreams]uint64{1000, 1}, WallMs: 5})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(b); i++ {
		_, err := ParseMessage(b[:i])
		wantError(t, err, ErrMalformed)
	}
	_, err = ParseMessage(append(b, 0))
	wantError(t, err, ErrMalformed)
	_, err = ParseMessage(append(b, 1, 1, 1, 1, 1))
	wantError(t, err, ErrMalformed)
	b[heartbeatWordBytes+2] = 0 // 1000 becomes 232, in two bytes
	_, err = ParseMessage(b)
	wantError(t, err, ErrMalformed)
}
