package node

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// Corrections of what was counted by a wrong rule. What is too little or too much stands beside the series as series of its own, sides
// (crdt.Side), which a hub of the region counts on as on all others, once. They change nothing until there is a record of their correction. It
// spreads as other orders of operators do, and each node answers with it from when it knows that it holds all of what is
// corrected and all of the sides: all of the correction or none of it (ADR 47).

// ErrCorrection is wrapped by every refusal of a correction.
var ErrCorrection = errors.New("nothing corrected")

const (
	// correctionMarginMs is by how much what is complete must be younger than the record: as much as times of peers may be dated late.
	correctionMarginMs = 5000
	// correctionOverMs is for how long windows are waited for which a process wrote that is over: its hubs hand them on meanwhile.
	correctionOverMs = 60_000
	// correctionLookMs is how often a record is looked at that does not count yet.
	correctionLookMs = 200
)

// MakeCorrection asks for the record of a correction, whose sides are on the disks of the hubs that it names. Its number is given
// here. The answer is a Reply with the same ID, once the record is on disk here.
type MakeCorrection struct {
	ID         uint64
	Correction wire.Correction
}

func (MakeCorrection) event() {}

// corrections is which of them there are, and which count here.
type corrections struct {
	*register[wire.Correction]
	number uint64           // the highest known
	since  map[string]int64 // of those that do not count here: from when all has to be complete
	on     map[string]int64 // of those that count: since when
	ready  []string         // they count once that is on disk: a hub's cells are there after a restart, too
	next   int64            // look again
	counts *crdt.Corrections
}

// correctionOnKey is where a hub notes that a correction counts.
func correctionOnKey(id string) []byte { return []byte(prefixCorrectionOn + id) }

func (c *Core) newCorrections() corrections {
	return corrections{since: map[string]int64{}, on: map[string]int64{}, register: newRegister(orders[wire.Correction]{
		most:    wire.MaxCorrections,
		prefix:  prefixCorrection,
		about:   func(r *wire.Correction) string { return r.ID },
		number:  func(r *wire.Correction) uint64 { return r.Number },
		disk:    func(id string) []byte { return []byte(prefixCorrection + id) },
		message: func(rs []wire.Correction) wire.Message { return &wire.Corrections{Records: rs} },
		records: func(m wire.Message) []wire.Correction {
			if m, ok := m.(*wire.Corrections); ok {
				return m.Records
			}
			return nil
		},
		toEdges: true,
		count:   c.countCorrection,
	})}
}

func (c *Core) makeCorrection(in MakeCorrection) {
	k, r := &c.corrections, in.Correction
	r.Number, r.AgeMs = max(uint64(max(c.wall, 1)), k.number+1), 0
	err := r.Check()
	switch {
	case c.hub == nil:
		err = errors.New("this node is an edge: ask a hub")
	case err != nil:
	case k.highest(r.ID) != 0:
		err = fmt.Errorf("there is a correction %s already", r.ID)
	case !k.room(r.ID):
		err = fmt.Errorf("there are %d corrections already: no more fit", wire.MaxCorrections)
	}
	for _, id := range r.Replaces {
		if err == nil && k.highest(id) == 0 {
			err = fmt.Errorf("there is no correction %s that this one could replace", id)
		}
	}
	if err != nil {
		c.out.Replies = append(c.out.Replies, Reply{ID: in.ID, Result: Result{Err: fmt.Errorf("%w: %w", ErrCorrection, err)}})
		return
	}
	k.number = r.Number
	k.order(r, in.ID)
}

// gotCorrections takes records from a hub. One that counts there was complete a while ago: nothing has to be younger than that.
func (c *Core) gotCorrections(s *session, m *wire.Corrections) {
	if s.peer.Role != RoleHub {
		c.Counts.Refused++
		return
	}
	k := &c.corrections
	for i := range m.Records {
		r := m.Records[i]
		since := c.now - int64(min(r.AgeMs, uint64(c.now)))
		if was, known := k.since[r.ID]; !known && k.highest(r.ID) == 0 || known && since < was {
			k.since[r.ID] = since
		}
		r.AgeMs = 0
		k.got(&wire.Corrections{Records: []wire.Correction{r}})
	}
	for id := range k.since { // of what was not taken, which is all that nobody knows, in any order
		if k.highest(id) == 0 && !slices.ContainsFunc(k.waiting, func(w waitingOrder[wire.Correction]) bool { return w.record.ID == id }) {
			delete(k.since, id)
		}
	}
}

// tellCorrections tells a peer all of them, one a message: a record may name a thousand nodes.
func (c *Core) tellCorrections(s *session) {
	k := &c.corrections
	for _, id := range slices.Sorted(maps.Keys(k.all)) {
		r := k.all[id]
		if at, ok := k.on[id]; ok {
			r.AgeMs = uint64(max(c.now-at, 0))
		}
		k.tell(c, s, []wire.Correction{r})
	}
}

// countCorrection takes a record that is on disk.
func (c *Core) countCorrection(r wire.Correction) {
	k := &c.corrections
	k.number, k.next = max(k.number, r.Number), 0
	if _, on := k.on[r.ID]; on {
		return
	}
	if _, ok := k.since[r.ID]; !ok {
		k.since[r.ID] = c.now
	}
}

// settleCorrections looks whether records count from now on: now and then, and at an edge, where they do at once, whenever it is asked.
func (c *Core) settleCorrections(asked bool) {
	k := &c.corrections
	if len(k.since) == 0 || c.now < k.next && (c.hub != nil || !asked) {
		return
	}
	k.next, k.ready = c.now+correctionLookMs, k.ready[:0]
	known := map[string]Coverage{} // by region: many records may wait for one node
	for _, id := range slices.Sorted(maps.Keys(k.since)) {
		if r, ok := k.all[id]; ok && c.mayCount(&r, k.since[id], known) {
			k.ready = append(k.ready, id)
		}
	}
	if c.hub == nil {
		c.countFrom(k.ready)
		k.ready = k.ready[:0]
	}
}

// mayCount reports whether all is here that a record needs.
func (c *Core) mayCount(r *wire.Correction, since int64, known map[string]Coverage) bool {
	if mutant.On("correction before it is held") {
		return true
	}
	for i := range r.Regions {
		part := &r.Regions[i]
		region := part.Totals.Origin.Region
		cov, ok := known[region]
		if !ok {
			cov = c.coverage(region)
			known[region] = cov
		}
		if !c.holdsCorrected(part, &cov, since) || !c.holdsCorrectedWindows(&part.Totals, since) {
			return false
		}
	}
	return true
}

// holdsCorrected reports whether all that the nodes of a region counted before the record is here: what is corrected, and the sides.
func (c *Core) holdsCorrected(part *wire.CorrectedRegion, cov *Coverage, since int64) bool {
	if cov.CompleteUntil.IsZero() || cov.NodesHeard == 0 || c.now-cov.Age.Milliseconds() < since+correctionMarginMs {
		return false
	}
	missing := max(cov.NodesExpected-cov.NodesHeard, 0)
	switch {
	case missing == 0:
		return true
	case missing > len(cov.Missing) || len(part.Nodes) == 0: // nobody knows who
		return false
	}
	return !slices.ContainsFunc(cov.Missing, func(name string) bool {
		return slices.Contains(part.Nodes, name) || name == part.Totals.Origin.Node
	})
}

// holdsCorrectedWindows reports whether the windows are here, too: at a hub that keeps any.
func (c *Core) holdsCorrectedWindows(upTo *wire.WindowMark, since int64) bool {
	if c.hub == nil || c.win == nil || upTo.Cursor == 0 || mutant.On("correction before its windows") {
		return true
	}
	if o := c.win.origins[upTo.Origin]; o != nil && o.cursor >= upTo.Cursor {
		return true
	}
	runs := upTo.Origin.Inc == c.cfg.Inc || slices.ContainsFunc(c.order, func(s *session) bool { return s.peer.Inc.SameProcess(upTo.Origin.Inc) })
	return !runs && c.now >= since+correctionOverMs
}

// startCounting notes on a hub's disk which records count. It reports whether there were any.
func (c *Core) startCounting() bool {
	k := &c.corrections
	if len(k.ready) == 0 {
		return false
	}
	ids := slices.Clone(k.ready)
	k.ready = k.ready[:0]
	var ops []Op
	for _, id := range ids {
		ops = append(ops, Op{Key: correctionOnKey(id), Value: []byte{1}})
	}
	c.persistCheckpoint(ops, func() { c.countFrom(ids) })
	return true
}

func (c *Core) countFrom(ids []string) {
	k := &c.corrections
	for _, id := range ids {
		delete(k.since, id)
		k.on[id] = c.now
	}
	if len(ids) > 0 {
		c.chooseCorrections()
	}
}

// chooseCorrections settles which of those that count are answered with: not what another one replaces, and of two that overlap without
// one knowing of the other the one with the higher number.
func (c *Core) chooseCorrections() {
	k := &c.corrections
	var on []wire.Correction
	for id := range k.on {
		on = append(on, k.all[id])
	}
	slices.SortFunc(on, newestCorrection)
	replaced := map[string]bool{}
	var taken []wire.Correction
	next := &crdt.Corrections{Number: 1}
	for i := range on {
		r := &on[i]
		out := replaced[r.ID] && !mutant.On("replaced correction counts on")
		for _, id := range r.Replaces {
			replaced[id] = true
		}
		if out || len(r.Regions) == 0 || slices.ContainsFunc(taken, func(t wire.Correction) bool { return overlap(&t, r) && !mutant.On("overlapping corrections add up") }) {
			continue
		}
		taken = append(taken, *r)
		next.IDs = append(next.IDs, r.ID)
	}
	if k.counts != nil {
		next.Number = k.counts.Number + 1
	}
	k.counts = next
	c.epoch++
}

// newestCorrection orders them, the last one made first.
func newestCorrection(a, b wire.Correction) int {
	return cmp.Or(cmp.Compare(b.Number, a.Number), strings.Compare(b.ID, a.ID))
}

// overlap reports whether two corrections may be about the same counts. Of patterns nobody knows.
func overlap(a, b *wire.Correction) bool {
	return Overlap(&Correction{Metric: a.Metric, From: a.From, To: a.To}, &Correction{Metric: b.Metric, From: b.From, To: b.To})
}

// Overlap reports whether two corrections may be about the same counts, as times and patterns of metrics say.
func Overlap(a, b *Correction) bool {
	return a.From < b.To && b.From < a.To && (a.Metric == b.Metric || strings.ContainsAny(a.Metric+b.Metric, `*?[{\`))
}

// Corrections returns which of them count now; nil if there never was a side.
func (c *Core) Corrections() *crdt.Corrections {
	if c.corrections.counts == nil && c.cat.AnySides() {
		c.corrections.counts = &crdt.Corrections{Number: 1}
	}
	return c.corrections.counts
}

// corrected is what is answered for a series instead of v, its cells: with what stands beside it. What is not the caller's own stays as it is.
func (c *Core) corrected(id reconcile.SeriesID, region string, v crdt.Value, own, ok bool) (crdt.Value, bool, bool, error) {
	plus, minus, some, err := c.beside(id, region, "")
	if err != nil || !some {
		return v, own, ok, err
	}
	switch {
	case !ok:
		v = crdt.Bottom(c.cat.Series(id).Kind)
	case !own:
		v = v.Clone()
	}
	whole, err := v.Correct(&plus, &minus)
	if !whole {
		c.Counts.CorrectionsShort++
	}
	return v, true, true, err
}

// beside adds up what stands beside a series in a region and counts, of one node or, with "", of all.
func (c *Core) beside(id reconcile.SeriesID, region, nodeName string) (plus, minus crdt.Value, some bool, err error) {
	kind := c.cat.Series(id).Kind
	plus, minus = crdt.Bottom(kind), crdt.Bottom(kind)
	for _, b := range c.cat.Sides(id) {
		if !c.corrections.counts.Counts(b.ID) || nodeName != "" && b.Node != nodeName {
			continue
		}
		v, _, ok, err := c.uncorrected(b.Series, region)
		if err != nil {
			return plus, minus, some, err
		}
		if !ok {
			continue
		}
		to := &plus
		if b.Minus {
			to = &minus
		}
		if err := to.Combine(&v); err != nil {
			return plus, minus, some, err
		}
		some = true
	}
	return plus, minus, some, nil
}

// correctionText says by what a series is corrected, for people.
func (c *Core) correctionText(id reconcile.SeriesID) string {
	var ids []string
	for _, b := range c.cat.Sides(id) {
		if c.corrections.counts.Counts(b.ID) && !slices.Contains(ids, b.ID) {
			ids = append(ids, b.ID)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return "; corrected by " + strings.Join(ids, ", ")
}

// correctNodes corrects what single nodes counted on a series, whose parts of it are in held.
func (c *Core) correctNodes(id reconcile.SeriesID, held map[string]*crdt.Value) error {
	if !c.cat.AnySides() {
		return nil
	}
	done := map[string]bool{}
	for _, b := range c.cat.Sides(id) {
		if done[b.Node] {
			continue
		}
		done[b.Node] = true
		plus, minus, some, err := c.beside(id, c.cfg.Region, b.Node)
		if err != nil {
			return err
		}
		if !some {
			continue
		}
		v := held[b.Node]
		if v == nil {
			bottom := crdt.Bottom(c.cat.Series(id).Kind)
			v = &bottom
			held[b.Node] = v
		}
		if _, err := v.Correct(&plus, &minus); err != nil {
			return err
		}
	}
	return nil
}
