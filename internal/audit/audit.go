package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/mutant"
	"meshd/node"
	"meshd/replay"
)

// DefaultMemoryBytes is how much of the cells is in memory at one time unless Config says otherwise: some 800,000 counters.
const DefaultMemoryBytes = 256 << 20

// DefaultNamed is how many differences are named unless Config says otherwise. All are counted.
const DefaultNamed = 1000

// Config says what is compared.
type Config struct {
	Disk   node.Reader // of the node; it shows one instant
	Region string      // of the node
	Past   *history.Store
	Log    replay.Log
	Since  replay.Position // of the log; nil = the oldest record

	MemoryBytes int64  // bound of the cells in memory; 0 = DefaultMemoryBytes
	TempDir     string // where what does not fit goes; "" = that of the system
	Named       int    // 0 = DefaultNamed
}

// How says in which way the two sides differ.
type How string

// The ways, as they are told.
const (
	NodeLacks  How = "node_lacks" // what the log has, and the node claims to hold
	LogLacks   How = "log_lacks"  // what the node has, and the log claims to hold
	Contradict How = "contradict" // each has something that the other lacks, though one writer wrote both
)

// Difference is one cell that the two sides should hold alike.
type Difference struct {
	Origin crdt.Origin // of windows of a region's totals, class and region alone
	Series crdt.Series
	Window crdt.Window // zero: the lifetime cell
	How    How
	Node   *crdt.Value // nil: it has none
	Log    *crdt.Value
}

// Lag is what one side lacks of an origin and does not claim to hold: it is behind.
type Lag struct {
	Origin crdt.Origin
	Node   int64 // cells of which the log knows more than the node
	Log    int64 // and the other way round
}

// Report is the outcome.
type Report struct {
	Cells, Windows int64        // compared
	Differs        int64        // of both
	Differences    []Difference // by origin, series and window; at most Config.Named
	Lags           []Lag        // by origin

	Forgotten int64 // lifetime cells of processes that the node holds in sums only: not compared
	Entries   int64 // cells of hub processes of which the node holds nothing, since living ones contain them: not compared
	Dropped   int64 // cells and windows of series that an operator dropped: not compared
	Unnamed   int64 // cells of which nothing says what they are of: what said it is not in the log any more
	Expired   int64 // windows in the log that the node keeps no longer: not compared
	Unlogged  int64 // windows of the node that the log does not have, or not whole: it began later, or was away
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
	for _, step := range []func(context.Context) error{r.node, r.past, r.log} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	j := &judge{reader: r, rep: &Report{Early: r.early}, lags: map[process]*Lag{}, whole: r.wholeOwners()}
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

// wholeOwners returns the owners of whose windows the log has every publication that the node claims to have.
func (r *reader) wholeOwners() map[owner]bool {
	whole := map[owner]bool{}
	for p, cursor := range r.streams { // in any order: it is a conjunction
		o := ownerOf(r.origins[p])
		before, known := whole[o]
		whole[o] = (before || !known) && r.numbers[p].all(cursor)
	}
	return whole
}

// judge tells differences from lag.
type judge struct {
	*reader
	rep   *Report
	lags  map[process]*Lag
	whole map[owner]bool
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
	_, held := j.claims[Held][p]
	switch {
	case !it.has[Held] && !it.has[Logged]:
		return
	case k.class == crdt.ClassNode && j.gone[k.inc]:
		j.rep.Forgotten++
		return
	case k.class == crdt.ClassRegion && !held:
		j.rep.Entries++
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
	nodeSays := rel != loggedLacks && j.says(Held, p, it.seq[Logged])
	logSays := rel != heldLacks && j.says(Logged, p, it.seq[Held])
	switch {
	case rel == same:
	case rel == apart && (nodeSays || logSays):
		j.differ(k, it, Contradict)
	case nodeSays:
		j.differ(k, it, NodeLacks)
	case logSays:
		j.differ(k, it, LogLacks)
	default:
		j.lag(p, rel)
	}
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
	if rel != loggedLacks {
		l.Node++
	}
	if rel != heldLacks {
		l.Log++
	}
}

// window judges a window. Publications that the node does not claim are not among what the log has, so what the node lacks it lacks.
func (j *judge) window(k key, it *item) {
	o := j.origins[process{k.class, k.inc}]
	if k.class == crdt.ClassRegion {
		o = crdt.Origin{Class: k.class, Region: j.regions[k.inc]}
	}
	switch {
	case j.cat.Gone(it.series):
		j.rep.Dropped++
		return
	case j.cfg.Past != nil && !j.cfg.Past.Kept(j.cat.Series(it.series).Name, k.window):
		j.rep.Expired++
		return
	case !it.has[Logged]:
		j.rep.Unlogged++
		return
	}
	j.rep.Windows++
	switch rel := it.relation(); {
	case rel == same:
	case rel == heldLacks:
		j.differ(k, it, NodeLacks)
	case !j.whole[ownerOf(o)]:
		j.rep.Windows--
		j.rep.Unlogged++
	case rel == apart:
		j.differ(k, it, Contradict)
	default:
		j.differ(k, it, LogLacks)
	}
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
	if it.has[Logged] {
		d.Log = &it.value[Logged]
	}
	j.rep.Differences = append(j.rep.Differences, d)
}
