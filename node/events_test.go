package node

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"meshd/crdt"
	"meshd/internal/eventlog"
)

// eventLog is a log of raw events elsewhere, as somebody copies them into it.
type eventLog struct {
	t    testing.TB
	seen map[string]int // how often it has each event
	keys map[string]int // and how often one with each key
}

func newEventLog(t testing.TB) *eventLog {
	return &eventLog{t: t, seen: map[string]int{}, keys: map[string]int{}}
}

// copy takes what waits on a disk, some batches at a time.
func (l *eventLog) copy(p *proc) (next uint64) {
	l.t.Helper()
	for from := ^uint64(0); next != from; {
		from = next
		var err error
		if next, err = ReadEvents(p, from, 3, func(raw []byte) (int, error) { return 1, l.take(raw) }); err != nil {
			l.t.Fatal(err)
		}
	}
	return next
}

func (l *eventLog) take(raw []byte) error {
	b, err := new(eventlog.Decoder).Parse(raw)
	if err != nil {
		return err
	}
	for i := range b.Events {
		ev := &b.Events[i]
		id := fmt.Sprintf("%s %d", b.Origin.Inc, ev.Number)
		if l.seen[id]++; l.seen[id] == 1 {
			l.keys[ev.Series.Name+" "+ev.Token.Key]++
		}
	}
	return nil
}

// TestEventsAreThoseThatCount restarts a node at any moment, lets its disk refuse writes, and clients send again what was not
// answered. In the end the log of events has each that counted once, and none besides.
func TestEventsAreThoseThatCount(t *testing.T) {
	w := newWorld(t, 5)
	w.cfg.EventBytes = 1 << 20
	w.full = map[string]bool{}
	log := newEventLog(t)
	w.start("edge", "east", RoleEdge)
	type request struct {
		id      uint64
		gen     int
		dropped bool
	}
	open := map[string]request{}
	want := map[string]int{}
	submit := func(p *proc, key string, dropped bool) {
		w.ids++
		raw := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}
		it := Item{Series: raw, Raw: raw, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}, Token: Token{Key: key}}
		if dropped {
			it.Series, it.Raw = nil, &crdt.Series{Name: "noise", Kind: crdt.KindCounter}
		}
		refused := Item{Series: raw, Raw: raw, Inc: crdt.Value{Kind: crdt.KindUpDown}}
		w.step(p, Submit{ID: w.ids, Batch: &Batch{Items: []Item{it, refused, it}}})
		open[key] = request{w.ids, p.gen, dropped}
	}
	for i := range 3000 {
		p := w.procs["edge"]
		w.full["edge"] = w.rng.IntN(4) == 0
		switch {
		case w.rng.IntN(50) == 0:
			w.kill("edge")
			p = w.start("edge", "east", RoleEdge)
		case w.rng.IntN(10) == 0: // somebody copies, and perhaps dies before he says so
			if next := log.copy(p); next > 0 && w.rng.IntN(2) == 0 {
				w.step(p, EventsTaken{UpTo: next - 1})
			}
		}
		if i < 2500 {
			key, metric := fmt.Sprint(i), "clicks "
			if i%7 == 0 {
				metric = "noise "
			}
			submit(p, key, i%7 == 0)
			want[metric+key]++
		}
		w.run(1 + w.rng.Int64N(4))
		for _, key := range slices.Sorted(maps.Keys(open)) {
			r := open[key]
			res, answered := p.replies[r.id]
			switch {
			case r.gen == p.gen && !answered:
			case r.gen != p.gen || res.Err != nil:
				submit(p, key, r.dropped)
			default:
				delete(open, key)
			}
		}
	}
	p := w.procs["edge"]
	next := log.copy(p)
	if !maps.Equal(want, log.keys) || len(open) > 0 {
		t.Errorf("the log has %d events, %d were counted, %d are not answered", len(log.keys), len(want), len(open))
		for k, n := range want {
			if log.keys[k] != n {
				t.Errorf("%s is there %d times", k, log.keys[k])
			}
		}
	}
	w.full["edge"] = false
	w.step(p, EventsTaken{UpTo: next - 1})
	w.run(100)
	for k := range p.disk {
		if strings.HasPrefix(k, prefixEvents) {
			t.Errorf("piece %d stays on disk", binary.BigEndian.Uint64([]byte(k[len(prefixEvents):])))
		}
	}
	if st := p.core.EventsStatus(); !st.On || st.Bytes != 0 {
		t.Errorf("%+v, want nothing that waits", st)
	}
}

// TestEventsThatFindNoRoomLeaveAHole: counting goes on, the hole is counted and shows in the numbers.
func TestEventsThatFindNoRoomLeaveAHole(t *testing.T) {
	w := newWorld(t, 6)
	w.cfg.EventBytes = 2000
	p := w.start("edge", "east", RoleEdge)
	click := func(n int) {
		for range n {
			w.ids++
			s := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}
			w.step(p, Submit{ID: w.ids, Batch: &Batch{Items: []Item{{Series: s, Raw: s, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}}}}})
			w.run(5)
		}
	}
	click(500)
	kept, lost := p.core.Counts.EventsKept, p.core.Counts.EventsLost
	if st := p.core.EventsStatus(); kept == 0 || lost == 0 || kept+lost != 500 || st.Bytes < 2000 || st.Bytes > 2300 {
		t.Fatalf("%d events kept and %d lost in %d bytes", kept, lost, st.Bytes)
	}
	var numbers []uint64
	read := func() (next uint64) {
		next, err := ReadEvents(p, 0, 1<<20, func(raw []byte) (int, error) {
			b, err := new(eventlog.Decoder).Parse(raw)
			if err == nil {
				for i := range b.Events {
					numbers = append(numbers, b.Events[i].Number)
				}
			}
			return 1, err
		})
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	w.step(p, EventsTaken{UpTo: read() - 1})
	w.run(20)
	click(1)
	numbers = numbers[:kept]
	read()
	if last := numbers[len(numbers)-1]; uint64(len(numbers)) != kept+1 || last != 501 || numbers[kept-1] != kept {
		t.Errorf("events up to %d and then %d, want up to %d and 501", numbers[kept-1], last, kept)
	}
	if got := w.total("edge", "clicks"); got != "501" {
		t.Errorf("%s clicks counted, want 501", got)
	}
}

// TestLargeRequestsAreCutIntoPieces: a store likes small values, and a batch is there whole or not at all.
func TestLargeRequestsAreCutIntoPieces(t *testing.T) {
	w := newWorld(t, 7)
	w.cfg.EventBytes = 64 << 20
	p := w.start("edge", "east", RoleEdge)
	b := &Batch{}
	for i := range 3000 {
		raw := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "page", Value: fmt.Sprintf("%d-%x", i, w.rng.Uint64())}}}
		token := Token{Key: fmt.Sprintf("%x%x%x%x", w.rng.Uint64(), w.rng.Uint64(), w.rng.Uint64(), w.rng.Uint64())}
		s := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}
		b.Items = append(b.Items, Item{Series: s, Raw: raw, Token: token, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}})
	}
	w.ids++
	w.step(p, Submit{ID: w.ids, Batch: b})
	w.run(50)
	pieces := 0
	for k, v := range p.disk {
		if strings.HasPrefix(k, prefixEvents) {
			if pieces++; len(v) > eventPiece+1 {
				t.Errorf("a value of %d bytes", len(v))
			}
		}
	}
	log := newEventLog(t)
	if next := log.copy(p); pieces < 2 || next != uint64(pieces)+1 || len(log.seen) != 3000 {
		t.Errorf("%d events in %d pieces, the next is %d", len(log.seen), pieces, next)
	}
}

// TestEventsSayWhatTheyWereCountedAs: as received, as rules made of them, as the series for what finds no room, or not at all.
func TestEventsSayWhatTheyWereCountedAs(t *testing.T) {
	w := newWorld(t, 8)
	w.cfg.EventBytes, w.cfg.Limits.Series = 1<<20, 2
	p := w.start("hub", "east", RoleHub)
	w.run(100)
	of := func(name, ad string) *crdt.Series {
		return &crdt.Series{Name: name, Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "ad", Value: ad}}}
	}
	one := crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}
	w.ids++
	w.step(p, Submit{ID: w.ids, Batch: &Batch{Items: []Item{
		{Series: of("clicks", "1"), Raw: of("clicks", "1"), Inc: one},
		{Series: of("clicks", "2"), Raw: of("clicks", "x"), Inc: one},
		{Series: of("clicks", "3"), Raw: of("clicks", "3"), Inc: one},
		{Raw: of("clicks", "4"), Inc: one},
	}}})
	w.run(100)
	var got []string
	if _, err := ReadEvents(p, 0, 10, func(raw []byte) (int, error) {
		b, err := new(eventlog.Decoder).Parse(raw)
		if err != nil {
			return 0, err
		}
		for i := range b.Events {
			got = append(got, fmt.Sprintf("%s as %v", b.Events[i].Series, b.Events[i].CountedAs()))
		}
		return 1, nil
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`counter:clicks{ad="1"} as counter:clicks{ad="1"}`, `counter:clicks{ad="x"} as counter:clicks{ad="2"}`,
		`counter:clicks{ad="3"} as counter:meshd.overflow`, `counter:clicks{ad="4"} as <nil>`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
