package wire

import (
	"fmt"

	"meshd/crdt"
)

// StoredProgress is the record on disk of how much of an origin's streams a node holds.
type StoredProgress struct {
	Origin   crdt.Origin
	Progress [crdt.NumStreams]crdt.Progress
	Cold     bool  // its cells are on disk and in the running sums only
	Dropped  bool  // its cells are nowhere: living ones contain them
	AtMs     int64 // when it changed last, in Unix milliseconds of the node that stores it
}

const storedFields = markFields + 3

// AppendStoredProgress appends p behind the version byte. On error dst is returned unchanged.
func AppendStoredProgress(dst []byte, p *StoredProgress) ([]byte, error) {
	w := newWriter(append(dst, Version))
	w.array(storedFields)
	w.mark(&Mark{Origin: p.Origin, Progress: p.Progress})
	w.bool(p.Cold)
	w.bool(p.Dropped)
	w.int(p.AtMs)
	return w.sealed(dst, "stored progress")
}

// ParseStoredProgress reads one record, the whole of b.
func ParseStoredProgress(b []byte) (*StoredProgress, error) {
	p, err := parseStored(b, func(b []byte) (*StoredProgress, error) {
		r := newReader(b)
		extra := r.array(storedFields)
		m := r.mark()
		p := StoredProgress{Origin: m.Origin, Progress: m.Progress, Cold: r.bool(), Dropped: r.bool(), AtMs: r.int()}
		r.skip(extra)
		return &p, r.end()
	})
	if err != nil {
		return nil, fmt.Errorf("wire: parse stored progress: %w", err)
	}
	return p, nil
}

// parseStored reads what is behind a version byte that this build knows.
func parseStored[T any](b []byte, parse func([]byte) (*T, error)) (*T, error) {
	switch {
	case len(b) == 0:
		return nil, fmt.Errorf("%w: empty", ErrMalformed)
	case b[0] < MinVersion || b[0] > Version:
		return nil, fmt.Errorf("%w: %d", ErrVersion, b[0])
	}
	return parse(b[1:])
}
