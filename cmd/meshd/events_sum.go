package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"meshd/crdt"
	"meshd/ingest"
	"meshd/internal/eventlog"
)

// maxSummed bounds the series that events are added up by: some 500 MB.
const maxSummed = 1_000_000

// summed adds events up by series, as rules for labels make them: what a node would have counted of them.
type summed struct {
	rules   *ingest.Labeller // nil: as they came
	cells   map[string]*sumOf
	key     []byte
	refused int64
}

type sumOf struct {
	series *crdt.Series
	value  crdt.Value
}

// newSummed reads the rules of a file; "" is none.
func newSummed(file string) (*summed, error) {
	s := &summed{cells: map[string]*sumOf{}}
	if file == "" {
		return s, nil
	}
	var err error
	s.rules, err = loadLabeller(file)
	return s, err
}

func (s *summed) add(ev *eventlog.Event) error {
	series := ev.Series
	if s.rules != nil {
		var err error
		if series, err = s.rules.Series(series); err != nil || series == nil {
			if err != nil {
				s.refused++
			}
			return nil
		}
	}
	s.key = series.AppendKey(s.key[:0])
	c := s.cells[string(s.key)]
	if c == nil {
		if len(s.cells) >= maxSummed {
			return fmt.Errorf("more than %d series: select less with --match", maxSummed)
		}
		c = &sumOf{series, crdt.Bottom(series.Kind)}
		s.cells[string(s.key)] = c
	}
	inc := ev.Inc.Clone() // it may become the sum
	err := c.value.Grow(&inc)
	if errors.Is(err, crdt.ErrLimit) || errors.Is(err, crdt.ErrRange) { // what a node refuses, too
		s.refused++
		return nil
	}
	return err
}

// print writes the sums.
func (s *summed) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERIES\tSUM")
	for _, c := range s.sorted() {
		fmt.Fprintf(w, "%s\t%s\n", c.series, sumText(&c.value))
	}
	return w.Flush()
}

// printInstead writes the sums in which s and other differ.
func (s *summed) printInstead(out io.Writer, other *summed) error {
	all := maps.Clone(s.cells)
	maps.Copy(all, other.cells)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERIES\tSUM\tINSTEAD\tDIFFERENCE")
	for _, k := range slices.SortedFunc(maps.Keys(all), func(a, b string) int { return compareSums(all[a], all[b]) }) {
		series := all[k].series
		was, is := crdt.Bottom(series.Kind), crdt.Bottom(series.Kind)
		if c := s.cells[k]; c != nil {
			was = c.value
		}
		if c := other.cells[k]; c != nil {
			is = c.value
		}
		if string(was.AppendBinary(nil)) == string(is.AppendBinary(nil)) {
			continue
		}
		difference := "-"
		if series.Kind == crdt.KindCounter {
			difference = crdt.Net{P: is.P, N: was.P}.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", series, sumText(&was), sumText(&is), difference)
	}
	return w.Flush()
}

func (s *summed) sorted() []*sumOf {
	return slices.SortedFunc(maps.Values(s.cells), compareSums)
}

func compareSums(a, b *sumOf) int {
	return slices.Compare([]string{a.series.Name, a.series.String()}, []string{b.series.Name, b.series.String()})
}

// sumText writes a sum for people.
func sumText(v *crdt.Value) string {
	switch x := v.X.(type) {
	case *crdt.Gauge:
		return fmt.Sprint(x.Value)
	case *crdt.Distribution:
		sum := x.Sum()
		return fmt.Sprintf("%d samples, %s", x.Count(), sum.String())
	case *crdt.Unique:
		return fmt.Sprintf("about %.0f", x.Estimate())
	case nil:
		if v.Kind == crdt.KindUpDown {
			return crdt.Net{P: v.P, N: v.N}.String()
		}
		if v.Kind == crdt.KindCounter {
			return v.P.String()
		}
	}
	return "-"
}
