package reconcile

import (
	"fmt"
	"slices"
	"strings"

	names "meshd/internal/glob"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// ownPrefix begins the names of meshd's own series. They are few, and coverage is read from some: who wants any series
// wants these.
const ownPrefix = "meshd."

// Filter says by name which series somebody wants. Each series is compared with the patterns once.
type Filter struct {
	patterns []string
	match    []func(string) bool
	known    []verdict // by SeriesID
}

type verdict uint8

const (
	unjudged verdict = iota
	wanted
	unwanted
)

// NewFilter returns a filter of patterns in the form of package glob; none of them want nothing at all.
func NewFilter(patterns []string) (*Filter, error) {
	f := &Filter{patterns: slices.Clone(patterns)}
	for _, p := range patterns {
		m, err := names.Compile(p)
		if err != nil {
			return nil, fmt.Errorf("reconcile: filter: %w", err)
		}
		f.match = append(f.match, m)
	}
	return f, nil
}

// Patterns returns what the filter was made of. It must not be modified.
func (f *Filter) Patterns() []string { return f.patterns }

// Name reports whether series of a name are wanted.
func (f *Filter) Name(name string) bool {
	return len(f.match) > 0 && strings.HasPrefix(name, ownPrefix) || slices.ContainsFunc(f.match, func(m func(string) bool) bool { return m(name) })
}

// Wants reports whether a series of the catalog is wanted.
func (f *Filter) Wants(cat *Catalog, id SeriesID) bool {
	if n := int(id) + 1; n > len(f.known) {
		f.known = slices.Grow(f.known, max(n, cat.Len())-len(f.known))[:max(n, cat.Len())]
	}
	if f.known[id] == unjudged {
		f.known[id] = unwanted
		if f.Name(cat.Series(id).Name) {
			f.known[id] = wanted
		}
	}
	return f.known[id] == wanted
}

// Thin takes what is not wanted out of a frame that r built. Its range stays: whoever gets it holds all that it wants of it.
func (f *Filter) Thin(r *Replica, fr *wire.Frame) {
	if mutant.On("downlink sends everything") {
		return
	}
	out := func(ref uint32) bool { return !f.Wants(r.cat, r.series[ref]) }
	fr.Defs = slices.DeleteFunc(fr.Defs, func(d wire.Def) bool { return out(d.Ref) })
	fr.Cells = slices.DeleteFunc(fr.Cells, func(c wire.Cell) bool { return out(c.Ref) })
}
