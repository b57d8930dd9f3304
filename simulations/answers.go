package simulations

import (
	"errors"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/node"
)

// answers are the values that a machine gives, by region and series. A series that it does not know has none.
type answers struct {
	sums     [][]amounts
	values   [][]*crdt.Value
	coverage []node.Coverage
	short    []string // regions of which something is missing by a rule, as the node says
	bytes    [][]byte // of values, as far as they were asked for
	whole    bool     // distributions are wanted with their buckets; otherwise sums say all that is looked at
	cells    []crdt.Value

	row rowPlace // of the row before
}

// rowPlace is where a row belongs. Rows come series by series, and of each the regions in the same order.
type rowPlace struct {
	series  *crdt.Series
	at      int
	regions []int // that came so far, in this order
	next    int   // of them
}

// place returns the places of a row's series and region in the world, -1 for what is not there.
func (a *answers) place(w *World, row *node.Row) (at, region int) {
	p := &a.row
	if row.Series != p.series {
		i, ok := w.truth.index[row.Series.Name]
		if !ok {
			return -1, -1
		}
		p.series, p.at, p.next = row.Series, i, 0
	}
	if p.next == len(p.regions) || w.regions[p.regions[p.next]] != row.Region {
		if region = slices.Index(w.regions, row.Region); region < 0 {
			return -1, -1
		}
		p.regions = append(p.regions[:p.next], region)
	}
	p.next++
	return p.at, p.regions[p.next-1]
}

// errWrong ends a read in which something is wrong.
var errWrong = errors.New("wrong")

// canonical returns the canonical bytes of a value, which are made once.
func (a *answers) canonical(region, series int) []byte {
	n := len(a.values[region])
	if a.bytes == nil {
		a.bytes = make([][]byte, len(a.values)*n)
	}
	b := &a.bytes[region*n+series]
	if *b == nil {
		*b = canonical(a.values[region][series])
	}
	return *b
}

// ask reads the totals of a machine, whole.
func (w *World) ask(m *machine) *answers {
	j := w.jobOf(m, evRead, nil, w.now)
	j.answers.whole = true
	j.execute()
	return w.take(j)
}

// take returns the answers of a read, nil if they break a promise by themselves.
func (w *World) take(j *job) *answers {
	defer w.free(j)
	switch {
	case j.broke != "":
		w.fail("panic", "%s: %s", j.m.spec.Name, j.broke)
		return nil
	case j.wrong != nil:
		w.fail(j.wrong.Rule, "%s %s", j.m.spec.Name, j.wrong.What)
		return nil
	}
	return j.answers
}

// blank returns answers to be filled, which may hold old ones.
func (w *World) blank() *answers {
	a := &w.ahead
	if n := len(a.spare); n > 0 {
		var out *answers
		out, a.spare = a.spare[n-1], a.spare[:n-1]
		out.whole = false
		return out
	}
	return &answers{}
}

// spent gives answers back that nobody looks at any more.
func (w *World) spent(a *answers) { w.ahead.spare = append(w.ahead.spare, a) }

// reset empties answers, for so many regions and series.
func (a *answers) reset(regions, series int) {
	if a.sums == nil {
		a.sums = make([][]amounts, regions)
		for i := range a.sums {
			a.sums[i] = make([]amounts, series)
		}
	}
	if a.values == nil {
		a.values = make([][]*crdt.Value, regions)
		for i := range a.values {
			a.values[i] = make([]*crdt.Value, series)
		}
		a.cells = make([]crdt.Value, regions*series)
	}
	a.row = rowPlace{regions: a.row.regions[:0]}
	for i := range regions {
		clear(a.sums[i])
		clear(a.values[i])
	}
}

// answersOf reads the totals of a core. A row is the core's: of its value is kept what somebody looks at later.
func (w *World) answersOf(a *answers, c *node.Core, at node.Time) *Violation {
	var wrong *Violation
	var rules *node.Rollup
	walk, err := c.Walk(at, node.Select{Windows: true, Each: func(row *node.Row) error {
		if wrong = ruledRow(rules, row); wrong == nil {
			wrong = w.takeRow(a, row)
		}
		if wrong != nil {
			return errWrong
		}
		return nil
	}})
	if err == nil {
		rules = walk.Totals.Rollup
		t := walk.Totals
		a.reset(len(w.regions), len(w.truth.series))
		a.coverage, a.short, a.bytes = t.Coverage, a.short[:0], nil
		for _, s := range t.Shortfalls {
			a.short = append(a.short, s.Region)
		}
		for done := false; !done && err == nil; {
			done, err = walk.Next(c)
		}
	}
	switch {
	case wrong != nil:
		return wrong
	case err != nil:
		return &Violation{Rule: "I13", What: fmt.Sprintf("does not answer: %v", err)}
	}
	return nil
}

// ruledRow holds a row against how windows are answered with at that moment: they are of the same series, or a curve would stand on the
// lifetime of another one.
func ruledRow(rules *node.Rollup, row *node.Row) *Violation {
	if rules == nil {
		return nil
	}
	if rules.Dropped(row.Series) {
		return &Violation{Rule: "I3", What: fmt.Sprintf("answers for %s of region %s, whose windows are dropped", row.Series, row.Region)}
	}
	if row.Region == rules.Region {
		return nil
	}
	if !rules.Travels(row.Series.Name, row.Series.Kind) {
		return &Violation{Rule: "I3", What: fmt.Sprintf("answers for %s of region %s, and not for its windows", row.Series, row.Region)}
	}
	for _, label := range rules.Lacks(row.Region, row.Series.Name, row.Series.Kind) {
		if row.Series.Get(label) != "" {
			return &Violation{Rule: "I3", What: fmt.Sprintf("answers for %s of region %s, and for its windows without %s", row.Series, row.Region, label)}
		}
	}
	return nil
}

// takeRow adds a row to answers.
func (w *World) takeRow(a *answers, row *node.Row) *Violation {
	at, region := a.place(w, row)
	if at < 0 {
		return &Violation{Rule: "I3", What: fmt.Sprintf("answers for %s in region %q: nobody ever wrote it", row.Series, row.Region)}
	}
	sums, known := amountsOf(&row.Value)
	if !known {
		return &Violation{Rule: "I3", What: fmt.Sprintf("counts samples of %s that nobody observed", row.Series)}
	}
	v := a.values[region][at]
	if v == nil {
		a.sums[region][at] = sums
	} else {
		a.sums[region][at].add(&sums) // two generations, at a node that has not heard of a drop
	}
	switch {
	case row.Value.Kind == crdt.KindDistribution && !a.whole:
		row.Value.X = nil
		fallthrough
	case v == nil:
		v = &a.cells[region*len(w.truth.series)+at]
		*v = row.Value.Clone()
		a.values[region][at] = v
	default:
		if err := v.Combine(&row.Value); err != nil {
			return &Violation{Rule: "I3", What: fmt.Sprintf("answers for %s what does not add up: %v", row.Series, err)}
		}
	}
	return nil
}
