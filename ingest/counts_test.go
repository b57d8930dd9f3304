package ingest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"meshd/crdt"
	"meshd/node"
)

// FuzzCountsOfTheirOwn: a reader that counts by itself takes, refuses and hands in what one does that does not.
func FuzzCountsOfTheirOwn(f *testing.F) {
	f.Add(steadyPacket)
	f.Add([]byte("a:1|c\na:1|c|@0.3\na:2:3|c\na:-1|c\na:-0|c\na:x|c\na:1|c|T5\na:1|g\na:1|c|#\na:1|c|#b\na:1|c|#b:true\na:1|c|#:b\n"))
	f.Add([]byte("a:1e18|c\na:18446744073709551616|c\na:1e-400|c\na:12345678901234567890.5|c\na:.5|c\na:9223372036854775808|c\n\xff:1|c"))
	f.Add([]byte("ab:1|c|#c\na:1|c|#bc\nabc:1|c\nlevel:1|c\nlevel:-1|c\n"))
	for _, input := range malformedInputs(f, "statsd") {
		f.Add([]byte(input))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		own, plain := newDoor(t, 100, "level"), newDoor(t, 100, "level")
		plain.parser.own = nil
		for round := range 3 {
			got, want := own.items(t, packet), plain.items(t, packet)
			if n := plain.parser.tally.rejected[reasonRange]; n > own.parser.tally.rejected[reasonRange] {
				return // beyond 2^64 in one batch: two sums have room for more
			}
			if !slices.Equal(got, want) || own.parser.tally != plain.parser.tally {
				t.Fatalf("round %d: %v, want %v; %+v, want %+v", round, got, want, own.parser.tally, plain.parser.tally)
			}
			if n, m := own.flush.pending(), plain.flush.pending(); n+m > 0 {
				t.Fatalf("round %d: %d and %d samples left", round, n, m)
			}
		}
	})
}

// items takes a packet in and returns what the node gets for it.
func (d *door) items(t *testing.T, packet []byte) (items []string) {
	d.node.answer = func(b *node.Batch) (res node.Result) {
		for i, it := range b.Items {
			items = append(items, fmt.Sprint(it.Series, " ", describe(it.Inc), " ", it.At))
			res.Rejected = append(res.Rejected, node.Rejection{Index: i, Err: node.ErrSeries}) // their sum may be more than a cell holds
		}
		return res
	}
	d.parser.packet(packet, 1)
	d.flush.flush(t.Context())
	slices.Sort(items)
	return items
}

// totals are what the node has of each series.
func (d *door) totals() map[string]string {
	all := make(map[string]string)
	for series, v := range d.node.totals {
		all[series] = describe(*v)
	}
	return all
}

func TestReadersCountByThemselves(t *testing.T) {
	const readers, packets, series = 4, 100, 300
	d := newDoor(t, 1000)
	var lines strings.Builder
	for i := range series {
		fmt.Fprintf(&lines, "hits:%d|c|#i:%d\nt:1|ms\n", i, i)
	}
	var wg sync.WaitGroup
	for range readers {
		p := packetParser{acc: d.flush.acc, own: newCounts(d.flush.acc)}
		d.flush.own = append(d.flush.own, p.own)
		wg.Go(func() {
			for range packets {
				p.packets([][]byte{[]byte(lines.String()), []byte("hits:1|c")}, 0)
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
	want := map[string]string{"distribution:t": fmt.Sprintf("%[1]d sum %[1]d", readers*packets*series), "counter:hits": fmt.Sprint(readers * packets)}
	for i := range series {
		want[fmt.Sprintf(`counter:hits{i="%d"}`, i)] = fmt.Sprint(readers * packets * i)
	}
	if got := d.totals(); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestAReaderOfManySpellings has more than it counts by itself: the rest is counted where all count, and after the next flush
// others have a place.
func TestAReaderOfManySpellings(t *testing.T) {
	const series, rounds = maxCounts + 1000, 3
	d := newDoor(t, series)
	for range rounds {
		for range 2 {
			for i := range series {
				d.parser.packet(fmt.Appendf(nil, "hits:1|c|#i:%d", i), 1)
			}
		}
		if n := len(d.parser.own.entries); n != maxCounts {
			t.Fatalf("%d spellings are counted by the reader itself, want %d", n, maxCounts)
		}
		d.flush.flush(t.Context())
		if n := len(d.parser.own.entries); n != 0 {
			t.Fatalf("%d spellings keep their places", n)
		}
	}
	if got := slices.Collect(maps.Values(d.totals())); len(got) != series || slices.ContainsFunc(got, func(v string) bool { return v != fmt.Sprint(2*rounds) }) {
		t.Errorf("%d series, want %d of %d each", len(got), series, 2*rounds)
	}
}

// TestCountsThatDoNotFitWait: a node that takes nothing leaves no room in the accumulator. What the reader has then waits
// with it, is counted as pending, and comes when there is room.
func TestCountsThatDoNotFitWait(t *testing.T) {
	d := newDoor(t, 100)
	const half = "hits:9223372036854775808|c" // 2^63: two fill a cell
	full := strings.Repeat(half+"\n", 2)
	d.node.answer = func(*node.Batch) node.Result { return node.Result{Err: node.ErrFull} }
	d.send(t, full)                                                    // one by the accumulator, one by the reader
	if r := d.send(t, full+half); len(r) != 1 || r[0] != reasonRange { // the reader is full, too
		t.Fatalf("a third cell is refused for %v, want one line for its range", r)
	}
	for range countsAge {
		d.flush.flush(t.Context())
	}
	if p := d.flush.pending(); p != 4 {
		t.Errorf("%d samples pending, want 4", p)
	}
	var sum []string
	d.node.answer = func(b *node.Batch) node.Result {
		sum = append(sum, b.Items[0].Inc.P.String())
		d.node.totals = make(map[string]*crdt.Value) // the fake's total has the limit of a cell too
		return node.Result{Accepted: 1}
	}
	d.flush.flush(t.Context())
	d.flush.flush(t.Context())
	d.flush.flush(t.Context())
	if want := []string{"18446744073709551616", "18446744073709551616"}; !slices.Equal(sum, want) {
		t.Errorf("submitted %v, want %v", sum, want)
	}
	if p := d.flush.pending(); p != 0 {
		t.Errorf("%d samples pending, want 0", p)
	}
}

// TestReadersForgetBeforeAccumulatorsDo: a reader never knows an accumulator that others no longer find.
func TestReadersForgetBeforeAccumulatorsDo(t *testing.T) {
	if countsAge >= forgetAfter {
		t.Fatalf("a reader looks its spellings up again after %d flushes, which may be forgotten after %d", countsAge, forgetAfter)
	}
	d := newDoor(t, 100)
	d.send(t, "hits:1|c")
	for range countsAge - 2 {
		d.flush.flush(t.Context())
	}
	if n := len(d.parser.own.entries); n != 1 {
		t.Fatalf("the reader knows %d spellings, want 1", n)
	}
	d.send(t, "hits:1|c")
	if n := len(d.parser.own.entries); n != 0 {
		t.Errorf("the reader knows %d spellings after %d flushes, want none", n, countsAge)
	}
	d.send(t, "hits:1|c")
	if got := d.node.counter("counter:hits"); got != "3" {
		t.Errorf("hits is %s, want 3", got)
	}
}
