package ingest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/node"
)

// What goes in comes out, however lines are packed and batches fail.
func TestNothingIsLostOrCountedTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDoor(t, 1000, "level")
		fail := false
		d.node.answer = func(b *node.Batch) node.Result {
			if fail {
				return node.Result{Err: rapid.SampledFrom([]error{node.ErrBusy, node.ErrFull}).Draw(rt, "error")}
			}
			return node.Result{Accepted: len(b.Items)}
		}
		want := make(map[string]*crdt.Value)
		var packet strings.Builder
		refused := false
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			series, line, s := drawLine(rt)
			if want[series] == nil {
				v := crdt.Bottom(s.kind)
				want[series] = &v
			}
			if err := s.grow(want[series], new(float64)); err != nil {
				rt.Fatal(err)
			}
			packet.WriteString(line + "\n")
			if rapid.Bool().Draw(rt, "packet ends") {
				d.parser.packet([]byte(packet.String()), crdt.HLCFrom(1000, 0))
				packet.Reset()
			}
			if rapid.IntRange(0, 3).Draw(rt, "flush") == 0 {
				fail = rapid.Bool().Draw(rt, "fails")
				refused = refused || fail
				d.flush.flush(t.Context())
			}
		}
		d.parser.packet([]byte(packet.String()), crdt.HLCFrom(1000, 0))
		fail = false
		d.flush.flush(t.Context())
		if left := d.flush.pending(); left != 0 {
			rt.Fatalf("%d samples left behind", left)
		}
		for series, v := range want {
			got := d.node.value(series)
			if string(got.AppendBinary(nil)) != string(v.AppendBinary(nil)) {
				rt.Fatalf("%s is %s, want %s (a batch failed: %v)", series, describe(got), describe(*v), refused)
			}
		}
		if len(d.node.totals) != len(want) {
			rt.Fatalf("%d series counted, want %d", len(d.node.totals), len(want))
		}
	})
}

type drawnSample struct {
	kind crdt.Kind
	sample
}

func drawLine(t *rapid.T) (series, line string, s drawnSample) {
	n := rapid.IntRange(0, 1000).Draw(t, "n")
	tag := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "tag")
	switch rapid.IntRange(0, 4).Draw(t, "type") {
	case 0:
		s.kind, s.amount = crdt.KindCounter, crdt.FixedFromUint(uint64(n))
		series, line = "counter:hits", fmt.Sprintf("hits:%d|c", n)
	case 1:
		s.kind, s.amount, s.minus = crdt.KindUpDown, crdt.FixedFromUint(uint64(n)), n%2 == 1
		series, line = "updown:level", fmt.Sprintf("level:%s%d|c", []string{"", "-"}[n%2], n)
	case 2:
		s.kind, s.value, s.adjust, s.stamp = crdt.KindGauge, float64(n), n%2 == 1, crdt.HLCFrom(1000, 0)
		series, line = "gauge:temp", fmt.Sprintf("temp:%s%d|g", []string{"", "+"}[n%2], n)
	case 3:
		s.kind, s.value, s.weight = crdt.KindDistribution, float64(n), 2
		series, line = "distribution:t", fmt.Sprintf("t:%d|ms|@0.5", n)
	case 4:
		s.kind, s.hash = crdt.KindUnique, hashOf(fmt.Append(nil, n))
		series, line = "unique:users", fmt.Sprintf("users:%d|s", n)
	}
	if tag != "" {
		series, line = series+`{k="`+tag+`"}`, line+"|#k:"+tag
	}
	return series, line, s
}

func TestAnIncrementThatCannotBeMergedIsHeld(t *testing.T) {
	d := newDoor(t, 100)
	d.parser.own = nil
	const half = "9223372036854775808" // 2^63: two fill a cell
	fail := func(*node.Batch) node.Result { return node.Result{Err: node.ErrFull} }
	d.node.answer = fail
	d.send(t, "hits:"+half+"|c")                  // goes back
	d.parser.packet([]byte("hits:"+half+"|c"), 0) // fits beside it
	d.flush.flush(t.Context())                    // goes back: the accumulator is full
	if r := d.send(t, "hits:1|c"); len(r) != 1 || r[0] != reasonRange {
		t.Fatalf("a sample beyond 2^64 is refused for %v, want range", r)
	}
	// While a full increment is on its way, the accumulator fills again.
	d.node.answer = func(b *node.Batch) node.Result {
		d.parser.packet([]byte("hits:"+half+"|c\nhits:5|c"), 0)
		return fail(b)
	}
	d.flush.flush(t.Context())
	var got []string
	d.node.answer = func(b *node.Batch) node.Result {
		got = append(got, b.Items[0].Inc.P.String())
		return node.Result{Err: node.ErrClosed} // the fake's total has the limit of a cell too
	}
	if p := d.flush.pending(); p != 4 {
		t.Errorf("%d samples pending, want 4", p)
	}
	d.flush.flush(t.Context())
	d.node.answer = func(b *node.Batch) node.Result {
		got = append(got, b.Items[0].Inc.P.String())
		d.node.totals = make(map[string]*crdt.Value)
		return node.Result{}
	}
	d.flush.flush(t.Context())
	d.flush.flush(t.Context())
	want := []string{"18446744073709551616", "18446744073709551616", "9223372036854775813"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("submitted %v, want %v", got, want)
	}
	if p := d.flush.pending(); p != 0 {
		t.Errorf("%d samples pending, want 0", p)
	}
}

func TestSpellingsBeyondTheLimitAreLostAndCounted(t *testing.T) {
	d := newDoor(t, 1) // one for each shard
	var lines strings.Builder
	for i := range 10 * numShards {
		fmt.Fprintf(&lines, "m%d:1:2|ms\n", i)
	}
	refused := d.send(t, lines.String())
	if got, want := len(d.node.items)+len(refused), 10*numShards; got != want {
		t.Errorf("%d lines counted or refused, want %d", got, want)
	}
	if len(d.node.items) > numShards || len(refused) == 0 || refused[0] != reasonLimit {
		t.Errorf("%d series counted, %d lines refused for %v", len(d.node.items), len(refused), refused[:1])
	}
	if got, want := d.node.lost, uint64(2*len(refused)); got != want {
		t.Errorf("%d samples reported lost, want %d", got, want)
	}
	if got := metric(t, d.reg, "lost_total", "reason", "overflow"); got != float64(2*len(refused)) {
		t.Errorf("lost_total is %v, want %d", got, 2*len(refused))
	}
}

func TestIdleSpellingsMakeRoom(t *testing.T) {
	d := newDoor(t, 1000)
	d.send(t, "old:1|c")
	d.flush.acc.take(0, 0)
	d.send(t, "new:1|c")
	if left := d.flush.acc.forget(3); left != 2 { // old was used three batches ago
		t.Fatalf("%d accumulators left, want 2", left)
	}
	d.flush.acc.take(0, 0)
	if left := d.flush.acc.forget(3); left != 1 {
		t.Fatalf("%d accumulators left, want only new", left)
	}
	d.send(t, "old:1|c\nnew:1|c")
	if o, n := d.node.counter("counter:old"), d.node.counter("counter:new"); o != "2" || n != "2" {
		t.Errorf("old is %s and new %s, want 2 and 2", o, n)
	}
}

func TestAnIncrementReturnsAfterItsSpellingWasForgotten(t *testing.T) {
	d := newDoor(t, 1000)
	d.parser.packet([]byte("hits:1|c"), 0)
	d.node.answer = func(*node.Batch) node.Result {
		for range 3 {
			d.flush.acc.take(0, 0)
		}
		if left := d.flush.acc.forget(1); left != 0 {
			t.Errorf("%d accumulators left, want 0", left)
		}
		return node.Result{Err: node.ErrBusy}
	}
	d.flush.flush(t.Context())
	d.node.answer = nil
	d.send(t, "hits:2|c")
	if got := d.node.counter("counter:hits"); got != "3" {
		t.Errorf("hits is %s, want 3", got)
	}
}

func TestWhatTheNodeRejectsIsCountedBySamples(t *testing.T) {
	d := newDoor(t, 100)
	d.node.answer = func(b *node.Batch) node.Result {
		return node.Result{Accepted: len(b.Items) - 1, Rejected: []node.Rejection{{Index: 0, Err: node.ErrSeries}}}
	}
	d.send(t, "hits:1|c\nhits:1|c\nhits:1|c")
	if got := metric(t, d.reg, "rejected_total", "reason", "series_limit"); got != 3 {
		t.Errorf("rejected_total is %v, want 3 samples", got)
	}
	if got := metric(t, d.reg, "stored_total"); got != 0 {
		t.Errorf("stored_total is %v, want 0", got)
	}
}

func TestLossesAreReportedUntilABatchIsTaken(t *testing.T) {
	d := newDoor(t, 100)
	d.flush.lost.Add(7)
	d.node.answer = func(*node.Batch) node.Result { return node.Result{Err: node.ErrBusy} }
	d.flush.flush(t.Context())
	d.node.answer = nil
	d.flush.flush(t.Context())
	d.flush.flush(t.Context())
	if d.node.lost != 7 || d.node.calls != 2 {
		t.Errorf("%d lost in %d batches, want 7 in 2: one refused, one taken", d.node.lost, d.node.calls)
	}
}

func TestReadersAndFlusherShareAccumulators(t *testing.T) {
	d := newDoor(t, 1000)
	const readers, packets = 4, 200
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			p := packetParser{acc: d.flush.acc}
			for range packets {
				p.packet([]byte("hits:1|c\nhits:1|c|#a:1\nt:1|ms"), 0)
			}
		})
	}
	var n int
	d.node.answer = func(b *node.Batch) node.Result {
		if n++; n%3 == 0 {
			return node.Result{Err: node.ErrBusy}
		}
		return node.Result{Accepted: len(b.Items)}
	}
	for range 50 {
		d.flush.flush(t.Context())
	}
	wg.Wait()
	d.node.answer = nil
	d.flush.flush(t.Context())
	for series, want := range map[string]string{
		"counter:hits": "800", `counter:hits{a="1"}`: "800", "distribution:t": "800 sum 800",
	} {
		if got := describe(d.node.value(series)); got != want {
			t.Errorf("%s is %s, want %s", series, got, want)
		}
	}
}

var steadyPacket = []byte("hits:1|c\nhits:1|c|@0.1|#route:/a/b,method:get\ntemp:21.5|g|#room:3\ntemp:+0.5|g|#room:4\n" +
	"latency:12.25|ms|@0.5|#route:/a\nlatency:1:2:3.5|d|#route:/b\nusers:alice|s\nbytes:123456.75|c|c:abc|T1656581400")

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	d := newDoor(t, 1000, "level.*")
	d.parser.packet(steadyPacket, 1)
	if n := testing.AllocsPerRun(100, func() { d.parser.packet(steadyPacket, 1) }); n != 0 {
		t.Errorf("%v allocations a packet of 8 lines, want 0", n)
	}
	if d.parser.tally.lines != 8*102 || d.parser.tally.rejected != [numReasons]uint64{} {
		t.Errorf("%d lines, refused %v: want all of %d counted", d.parser.tally.lines, d.parser.tally.rejected, 8*102)
	}
}

func BenchmarkPacket(b *testing.B) {
	for _, series := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("series=%d", series), func(b *testing.B) {
			d := newDoor(b, 1_000_000)
			packets := make([][]byte, series)
			for i := range packets {
				packets[i] = fmt.Appendf(nil, "api.requests:1|c|#route:/v1/items,instance:%d\napi.latency:12.5|ms|@0.5|#route:/v1/items,instance:%d", i, i)
				d.parser.packet(packets[i], 1)
			}
			b.ReportAllocs()
			lines := 0
			for i := 0; b.Loop(); i++ {
				d.parser.packet(packets[i%series], 1)
				lines += 2
			}
			b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

func BenchmarkPacketParallel(b *testing.B) {
	d := newDoor(b, 1_000_000)
	packets := make([][]byte, 1000)
	for i := range packets {
		packets[i] = fmt.Appendf(nil, "api.requests:1|c|#route:/v1/items,instance:%d\napi.latency:12.5|ms|@0.5|#route:/v1/items,instance:%d", i, i)
		d.parser.packet(packets[i], 1)
	}
	b.RunParallel(func(pb *testing.PB) {
		p := packetParser{acc: d.flush.acc}
		for i := 0; pb.Next(); i++ {
			p.packet(packets[i%len(packets)], 1)
		}
	})
	b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
