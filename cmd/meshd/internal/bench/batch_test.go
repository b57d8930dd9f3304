package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"meshd/cmd/meshd/internal/cluster"
)

// TestBatchesAreWhatTheyClaim reads batches back as a node would.
func TestBatchesAreWhatTheyClaim(t *testing.T) {
	nodes := []cluster.Node{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	batches, sum := newBatcher("m", nodes, true, 1).batches(30_050, 100)
	got, events := int64(0), 0
	tokens := make(map[string]bool)
	sourceAt := make(map[string]string)
	for _, b := range batches {
		for line := range bytes.Lines(b.body) {
			var e struct {
				Event  string
				Value  int64
				Source string
				Seq    uint64
				Key    string `json:"idempotency_key"`
			}
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			got += e.Value
			events++
			token := fmt.Sprintf("%s/%d/%s", e.Source, e.Seq, e.Key)
			if tokens[token] || (e.Source == "") == (e.Key == "") {
				t.Fatalf("token %s is used twice or incomplete", token)
			}
			tokens[token] = true
			if e.Source == "" {
				continue
			}
			if at, ok := sourceAt[e.Source]; ok && at != b.node.Name || e.Seq < 1 || e.Seq > sourceEvents {
				t.Fatalf("source %s is at %s and %s, with number %d", e.Source, at, b.node.Name, e.Seq)
			}
			sourceAt[e.Source] = b.node.Name
		}
	}
	if got != sum || events != 30_050 {
		t.Errorf("%d events worth %d, want 30050 worth %d", events, got, sum)
	}
	if len(sourceAt) < 2*len(nodes) {
		t.Errorf("%d sources, want several at each node: none was ever full", len(sourceAt))
	}
}

func TestSpreadIsByNearestRank(t *testing.T) {
	var times []time.Duration
	for i := range 200 {
		times = append(times, time.Duration(200-i)*time.Millisecond)
	}
	if got, want := newSpread(times), (spread{200, 100, 180, 198, 200}); got != want {
		t.Errorf("spread of 1 to 200 ms is %+v, want %+v", got, want)
	}
	if got, want := newSpread([]time.Duration{time.Second}), (spread{1, 1000, 1000, 1000, 1000}); got != want {
		t.Errorf("spread of one time is %+v, want %+v", got, want)
	}
}

func TestChoiceBits(t *testing.T) {
	for _, tc := range []struct {
		n, k int
		want float64
	}{{4, 2, math.Log2(6)}, {10, 0, 0}, {10, 10, 0}, {5, 1, math.Log2(5)}} {
		if got := choiceBits(tc.n, tc.k); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%d of %d: %v bits, want %v", tc.k, tc.n, got, tc.want)
		}
	}
}

func TestBars(t *testing.T) {
	over := newReport(Quantity{Value: 9}, 8, Quantity{}, nil)
	if *over.Met {
		t.Error("9 meets a bar of at most 8")
	}
	at := newReport(Quantity{Value: 8}, 8, Quantity{}, nil)
	if !*at.Met {
		t.Error("8 misses a bar of at most 8")
	}
	if at.miss(true); *at.Met {
		t.Error("met, although a part of it was missed")
	}
	if none := newReport(Quantity{Value: 8}, -1, Quantity{}, nil); none.Bar != nil || none.Met != nil {
		t.Error("a report without a bar has one")
	}
}
