package crdt

import (
	"fmt"
	"slices"
	"strings"
)

// The labels of a side: a series that says how much of another one is too little or too much, see Side. No client may use them.
const (
	CorrectionLabel     = "meshd.correction" // its id, and a sign
	CorrectionNodeLabel = "meshd.node"       // whose events they are
)

// MaxReservedLabels is how many labels a series may have beside those that clients gave it: these, and RollupLabel.
const MaxReservedLabels = 3

// correctionIDBytes is the length of a correction's id: lower-case hexadecimal digits.
const correctionIDBytes = 16

// Side says what the cells of a series are that stands beside another one: what a correction adds to it, or takes from it, of what one
// node counted. Sides are written once, travel and lie on disks as all series do, and are seen by nobody: who answers for a
// series adds and subtracts those of the corrections that count.
type Side struct {
	ID    string // of the correction
	Minus bool   // it is taken off
	Node  string // that counted the events
}

// Corrections says which corrections count, as of one moment. It never changes. Nil: there are no sides.
type Corrections struct {
	Number uint64 // of all that a process made, from 1: equal ones are the same
	IDs    []string
}

// Counts reports whether sides of a correction count.
func (c *Corrections) Counts(id string) bool { return c != nil && slices.Contains(c.IDs, id) }

// CheckCorrectionID reports why a text is no id of a correction.
func CheckCorrectionID(id string) error {
	if len(id) != correctionIDBytes || strings.Trim(id, "0123456789abcdef") != "" {
		return fmt.Errorf("crdt: %q is no correction: its id has %d lower-case hexadecimal digits", id, correctionIDBytes)
	}
	return nil
}

// Corrects reports whether a series may be corrected: those kinds whose amounts can be taken back.
func (k Kind) Corrects() bool {
	switch k {
	case KindCounter, KindUpDown, KindDistribution:
		return true
	case KindGauge, KindRollup, KindUnique, KindSet, KindObserved, KindHistogram:
	}
	return false
}

// IsSide reports whether s has the label that makes it a side, of whatever value.
func (s *Series) IsSide() bool {
	for i := range s.Labels {
		if s.Labels[i].Name == CorrectionLabel {
			return true
		}
	}
	return false
}

// Side returns what s stands beside and how, false if it is no side. The series is new, but for its name and labels' text.
func (s *Series) Side() (base *Series, side Side, ok bool) {
	text := s.Get(CorrectionLabel)
	id, plus := strings.CutSuffix(text, "+")
	if !plus {
		if id, ok = strings.CutSuffix(text, "-"); !ok {
			return nil, Side{}, false
		}
	}
	side = Side{ID: id, Minus: !plus, Node: s.Get(CorrectionNodeLabel)}
	if CheckCorrectionID(id) != nil || CheckName(side.Node) != nil || !s.Kind.Corrects() {
		return nil, Side{}, false
	}
	base = &Series{Name: s.Name, Kind: s.Kind, Gen: s.Gen, Labels: slices.DeleteFunc(slices.Clone(s.Labels), func(l Label) bool {
		return l.Name == CorrectionLabel || l.Name == CorrectionNodeLabel
	})}
	return base, side, true
}

// Beside returns the series of a side that stands beside s.
func (s *Series) Beside(side Side) *Series {
	sign := "+"
	if side.Minus {
		sign = "-"
	}
	out := *s
	out.Labels = SortLabels(append(slices.Clone(s.Labels), Label{CorrectionLabel, side.ID + sign}, Label{CorrectionNodeLabel, side.Node}))
	return &out
}

// Correct adds what is too little and then takes off what is too much, either of which may be nil, and reports whether v had all of that.
// What it had less of is nothing then. The value is the caller's.
func (v *Value) Correct(plus, minus *Value) (whole bool, err error) {
	if plus != nil {
		if err := v.Combine(plus); err != nil {
			return false, err
		}
	}
	if minus == nil {
		return true, nil
	}
	lacks := Bottom(v.Kind)
	if err := lacks.AddExcess(minus, v); err != nil {
		return false, err
	}
	v.Remove(minus)
	return lacks.IsNothing(), nil
}

// IsNothing reports whether a value of a kind that Corrects has nothing in it.
func (v *Value) IsNothing() bool {
	if d, ok := v.X.(*Distribution); ok {
		return d.Count() == 0
	}
	return v.P.IsZero() && v.N.IsZero()
}
