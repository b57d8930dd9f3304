package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/replay"
)

// DefaultMemoryBytes is how much of the cells is in memory at one time unless Config says otherwise: some 800,000 counters.
const DefaultMemoryBytes = 256 << 20

// DefaultNamed is how many differences are named unless Config says otherwise. All are counted.
const DefaultNamed = 1000

// Config says what is compared.
type Config struct {
	Node State

	// One of the two: what Node is compared with.
	Log  replay.Log
	Peer State

	MemoryBytes int64  // bound of the cells in memory; 0 = DefaultMemoryBytes
	TempDir     string // where what does not fit goes; "" = that of the system
	Named       int    // 0 = DefaultNamed
}

// How says in which way the two sides differ.
type How string

// The ways, as they are told.
const (
	NodeLacks  How = "node_lacks"  // what the other has, and the node claims to hold
	OtherLacks How = "other_lacks" // what the node has, and the other claims to hold
	Contradict How = "contradict"  // each has something that the other lacks, though one writer wrote both
)

// Difference is one cell that the two sides should hold alike.
type Difference struct {
	Origin crdt.Origin // of windows of a region's totals, class and region alone
	Series crdt.Series
	Window crdt.Window // zero: the lifetime cell
	How    How
	Node   *crdt.Value // nil: it has none
	Other  *crdt.Value
}

// Lag is what one side lacks of an origin and does not claim to hold: it is behind.
type Lag struct {
	Origin crdt.Origin
	Node   int64 // cells of which the other knows more than the node
	Other  int64 // and the other way round
}

// Report is the outcome.
type Report struct {
	Cells, Windows int64        // compared
	Differs        int64        // of both
	Differences    []Difference // by origin, series and window; at most Config.Named
	Lags           []Lag        // by origin

	Forgotten int64 // lifetime cells of processes that one side holds in sums only: not compared
	Entries   int64 // cells of hub processes of which a side holds nothing, since living ones contain them: not compared
	Alone     int64 // cells of processes that only one of two nodes has to hold, since they are of different regions: not compared
	Dropped   int64 // cells and windows of series that an operator dropped: not compared
	Unnamed   int64 // cells of which nothing says what they are of: what said it is not in the log any more
	Expired   int64 // windows that one of the two keeps no longer: not compared
	Unclaimed int64 // windows that one side lacks, or has less of, and does not claim to hold: it began later, was away, or is behind
	Early     int64 // publications in the log that have not reached the node yet
}

// Compare reads both sides and says how they differ.
func Compare(ctx context.Context, cfg Config) (*Report, error) {
	cfg.MemoryBytes = cmp.Or(cfg.MemoryBytes, DefaultMemoryBytes)
	cfg.Named = cmp.Or(cfg.Named, DefaultNamed)
	r := newReader(&cfg)
	rep, err := r.compare(ctx)
	if err := errors.Join(err, r.cells.spill.close()); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return rep, nil
}

func (r *reader) compare(ctx context.Context) (*Report, error) {
	if err := r.state(ctx, Held, r.cfg.Node); err != nil { // first: what a log has beyond it is looked at by what the node claims
		return nil, err
	}
	if r.cfg.Log != nil {
		if err := r.log(ctx); err != nil {
			return nil, err
		}
	} else if err := r.state(ctx, Other, r.cfg.Peer); err != nil {
		return nil, err
	}
	j := &judge{reader: r, rep: &Report{Early: r.early}, lags: map[process]*Lag{}, whole: [sides]map[owner]bool{r.wholeOwners(Held), r.wholeOwners(Other)}}
	if err := r.cells.each(j.take); err != nil {
		return nil, err
	}
	for _, lag := range j.lags { // in any order: they are sorted below
		j.rep.Lags = append(j.rep.Lags, *lag)
	}
	slices.SortFunc(j.rep.Lags, func(a, b Lag) int { return a.Origin.Compare(b.Origin) })
	slices.SortFunc(j.rep.Differences, Difference.compare)
	return j.rep, nil
}

func (d Difference) compare(o Difference) int {
	return cmp.Or(
		d.Origin.Compare(o.Origin), slices.Compare(d.Series.AppendKey(nil), o.Series.AppendKey(nil)),
		cmp.Compare(d.Window.Width, o.Window.Width), cmp.Compare(d.Window.Start, o.Window.Start),
	)
}

// owner names whose windows are compared: a node, all its processes together, or a region.
type owner struct {
	class        crdt.Class
	region, node string
}

func ownerOf(o crdt.Origin) owner {
	if o.Class == crdt.ClassRegion {
		return owner{o.Class, o.Region, ""}
	}
	return owner{o.Class, o.Region, o.Node}
}

// wholeOwners returns the owners of whose windows a side claims every publication that the other may have told.
func (r *reader) wholeOwners(s Side) map[owner]bool {
	whole := map[owner]bool{}
	for p, most := range r.most[1-s] { // in any order: it is a conjunction
		o := ownerOf(r.origins[p])
		before, known := whole[o]
		has := r.least[s][p] >= most
		if s == Other && r.cfg.Log != nil {
			has = r.numbers[p].all(most)
		}
		whole[o] = (before || !known) && has
	}
	return whole
}

// judge tells differences from lag.
type judge struct {
	*reader
	rep   *Report
	lags  map[process]*Lag
	whole [sides]map[owner]bool
}

func (j *judge) take(k key, it *item) error {
	if k.window != (crdt.Window{}) {
		j.window(k, it)
		return nil
	}
	j.cell(k, it)
	return nil
}

// cell judges a lifetime cell.
func (j *judge) cell(k key, it *item) {
	p := process{k.class, k.inc}
	switch {
	case !it.has[Held] && !it.has[Other]:
		return
	case k.class == crdt.ClassNode && (j.gone[Held][k.inc] || j.gone[Other][k.inc]):
		j.rep.Forgotten++
		return
	case k.class == crdt.ClassRegion && (j.claims[Held][p] == nil || j.cfg.Peer != nil && j.claims[Other][p] == nil):
		j.rep.Entries++
		return
	case j.alone(p):
		j.rep.Alone++
		return
	case it.series == unnamed:
		j.rep.Unnamed++
		return
	case j.cat.Gone(it.series):
		j.rep.Dropped++
		return
	}
	j.rep.Cells++
	rel := it.relation()
	nodeSays := rel != otherLacks && j.says(Held, p, it.seq[Other])
	logSays := rel != heldLacks && j.says(Other, p, it.seq[Held])
	switch {
	case rel == same:
	case rel == apart && (nodeSays || logSays):
		j.differ(k, it, Contradict)
	case nodeSays:
		j.differ(k, it, NodeLacks)
	case logSays:
		j.differ(k, it, OtherLacks)
	default:
		j.lag(p, rel)
	}
}

// alone reports whether only one of two nodes has to hold what a process wrote: hubs of one region hold the same.
func (j *judge) alone(p process) bool {
	if j.cfg.Peer == nil || j.claims[Held][p] != nil && j.claims[Other][p] != nil {
		return false
	}
	a, b := &j.heads[Held], &j.heads[Other]
	return !a.Hub || !b.Hub || a.Region != b.Region
}

// says reports whether a side claims to hold what an origin wrote up to seq.
func (j *judge) says(s Side, p process, seq uint64) bool {
	c := j.claims[s][p]
	return c != nil && (seq <= c.Covered || mutant.On("lag told as damage"))
}

func (j *judge) lag(p process, rel relation) {
	l := j.lags[p]
	if l == nil {
		l = &Lag{Origin: j.origins[p]}
		j.lags[p] = l
	}
	if rel != otherLacks {
		l.Node++
	}
	if rel != heldLacks {
		l.Other++
	}
}

// window judges a window.
func (j *judge) window(k key, it *item) {
	o := j.origins[process{k.class, k.inc}]
	if k.class == crdt.ClassRegion {
		o = crdt.Origin{Class: k.class, Region: j.regions[k.inc]}
	}
	metric := j.cat.Series(it.series).Name
	rel := it.relation()
	nodeSays, otherSays := j.saysWindow(Held, o, k.window), j.saysWindow(Other, o, k.window)
	switch {
	case j.cat.Gone(it.series):
		j.rep.Dropped++
	case !j.kept[Held](metric, k.window), !j.kept[Other](metric, k.window):
		j.rep.Expired++
	case j.cfg.Log != nil && !it.has[Other]: // nor by the publications that the log has: a history is also taken over from others
		j.rep.Unclaimed++
	case rel == same:
		j.rep.Windows++
	case rel == apart && nodeSays && otherSays:
		j.rep.Windows++
		j.differ(k, it, Contradict)
	case rel == heldLacks && nodeSays:
		j.rep.Windows++
		j.differ(k, it, NodeLacks)
	case rel == otherLacks && otherSays:
		j.rep.Windows++
		j.differ(k, it, OtherLacks)
	default:
		j.rep.Unclaimed++
	}
}

// saysWindow reports whether a side claims to hold all that was published of a window. Of a log nothing is looked at that the node does not
// claim.
func (j *judge) saysWindow(s Side, o crdt.Origin, w crdt.Window) bool {
	if s == Held && j.cfg.Log != nil || mutant.On("windows on their way told as damage") {
		return true
	}
	return j.whole[s][ownerOf(o)] && w.Start >= j.heads[s].Since
}

func (j *judge) differ(k key, it *item, how How) {
	j.rep.Differs++
	if len(j.rep.Differences) >= j.cfg.Named {
		return
	}
	d := Difference{Origin: j.origins[process{k.class, k.inc}], Series: *j.cat.Series(it.series), Window: k.window, How: how}
	if k.window != (crdt.Window{}) && k.class == crdt.ClassRegion {
		d.Origin = crdt.Origin{Class: k.class, Region: j.regions[k.inc]}
	}
	if it.has[Held] {
		d.Node = &it.value[Held]
	}
	if it.has[Other] {
		d.Other = &it.value[Other]
	}
	j.rep.Differences = append(j.rep.Differences, d)
}
