package simulations

import (
	"fmt"

	"meshd/crdt"
)

// truth is what was written, known apart from everything that meshd computes. For every process and series it has a
// lower bound, what clients were told is accepted and no disaster destroyed, and an upper bound, all that was asked
// for and not refused.
type truth struct {
	series  []*crdt.Series
	index   map[string]int // by metric name
	origins map[crdt.Incarnation]*written
	order   []*written
	regions []*ledger // by region: upper bounds over all processes
	drops   []dropOf  // by series
}

// written is what one process was asked to count.
type written struct {
	inc       crdt.Incarnation
	m         *machine // that the process ran on
	asked     *ledger
	ok        *ledger
	gauges    map[int][]setting // settings accepted, by series
	hub       []amounts         // accepted with the word of a hub; nil: nothing
	forgotten []amounts         // what the first hub forgot of it; nil: none did
	gone      bool              // a disaster destroyed some of it: lower bounds of uniques and gauges say nothing
}

// ledger is one value per series.
type ledger struct {
	sums    []amounts
	uniques []*crdt.Unique
	gauges  []map[float64]bool
	past    map[windowOf]*amounts // fine windows
	latest  int64                 // time of an event
}

func newLedger(n int) *ledger {
	return &ledger{sums: make([]amounts, n), uniques: make([]*crdt.Unique, n), gauges: make([]map[float64]bool, n)}
}

// add counts an increment. Uniques and gauges are only ever added.
func (l *ledger) add(w *write) {
	l.sums[w.series].add(&w.sums)
	l.counts(w, 1)
	if w.unique != nil {
		if l.uniques[w.series] == nil {
			l.uniques[w.series] = new(crdt.Unique)
		}
		_, _ = l.uniques[w.series].Join(w.unique, 0, nil, 0) // registers have no limit
	}
	if w.gauge != 0 {
		if l.gauges[w.series] == nil {
			l.gauges[w.series] = map[float64]bool{}
		}
		l.gauges[w.series][w.gauge] = true
	}
}

func (l *ledger) remove(w *write) {
	l.sums[w.series].sub(&w.sums)
	l.counts(w, -1)
}

// write is an increment as the oracle sees it.
type write struct {
	series int
	sums   amounts
	unique *crdt.Unique
	gauge  float64 // 0 for none: clients never set that
	at     int64   // when it happened; 0: no windows are kept
	fine   int64   // how wide they are
}

func newTruth(series []*crdt.Series, regions int) *truth {
	t := &truth{series: series, index: map[string]int{}, origins: map[crdt.Incarnation]*written{}, drops: make([]dropOf, len(series))}
	for i, s := range series {
		t.index[s.Name] = i
	}
	for range regions {
		t.regions = append(t.regions, newLedger(len(series)))
	}
	return t
}

// begin enters a new process.
func (t *truth) begin(m *machine, inc crdt.Incarnation) *written {
	if w := t.origins[inc]; w != nil { // never, but for a mutant
		return w
	}
	w := &written{inc: inc, m: m, asked: newLedger(len(t.series)), ok: newLedger(len(t.series))}
	t.origins[inc] = w
	t.order = append(t.order, w)
	return w
}

// entry is one increment at one process: a client may ask for it more than once.
type entry struct {
	by      *written
	epoch   int // of the machine's disk
	pending int // requests that are not answered
	ok      bool
	unknown bool // a request ended without an answer
	refused bool
}

// item is what a client wants counted once, whatever it takes.
type item struct {
	write
	token   tokenOf
	machine *machine
	entries []*entry
	again   int64 // when it was sent again
}

// entryOf returns the entry of an item at a process, entering it as asked for if it is new.
func (t *truth) entryOf(it *item, w *written, region int) *entry {
	if d := &t.drops[it.series]; d.ordered { // a first time or once more: it may be counted now
		d.since[region].add(&it.sums)
	}
	for _, e := range it.entries {
		if e.by == w && !e.refused {
			return e
		}
	}
	e := &entry{by: w, epoch: w.m.disk.epoch}
	it.entries = append(it.entries, e)
	w.asked.add(&it.write)
	t.regions[region].add(&it.write)
	return e
}

// accepted records that a process said it counted the item. It returns what is wrong with that, if anything.
func (t *truth) accepted(it *item, e *entry, region int) error {
	for _, o := range it.entries {
		if o.epoch != e.epoch {
			continue
		}
		if o.ok {
			return fmt.Errorf("I3: %s was counted twice at %s: its token was forgotten", it.token, e.by.m.spec.Name)
		}
	}
	for _, o := range it.entries { // the token was not on disk, so the counts must not be either
		if o != e && o.epoch == e.epoch && o.unknown {
			t.refuse(it, o, region)
		}
	}
	e.ok, e.unknown = true, false
	e.by.ok.add(&it.write)
	return nil
}

// duplicate records that a process said the item was counted before.
func (t *truth) duplicate(it *item, e *entry, region int) error {
	var was *entry
	n := 0
	for _, o := range it.entries {
		if o.ok {
			t.refuse(it, e, region)
			return nil
		}
		if o.unknown || o.pending > 0 { // of e itself: another request, whose answer waits for a hub
			was = o
			n++
		}
	}
	if n == 0 {
		if e.epoch != it.entries[0].epoch {
			return nil
		}
		return fmt.Errorf("I2: %s is called a duplicate at %s and was never counted", it.token, e.by.m.spec.Name)
	}
	t.refuse(it, e, region)
	if n == 1 && was.unknown && was != e {
		was.ok, was.unknown = true, false
		was.by.ok.add(&it.write)
	}
	return nil
}

// refuse takes back that an item was asked for at a process, unless it was counted there or still may be.
func (t *truth) refuse(it *item, e *entry, region int) {
	if e.ok || e.refused || e.pending > 0 {
		return
	}
	e.refused, e.unknown = true, false
	e.by.asked.remove(&it.write)
	t.regions[region].remove(&it.write)
}
