package wire

import (
	"fmt"

	"meshd/crdt"
)

// StoredProgress is the record on disk of how much of an origin's streams a node holds.
type StoredProgress struct {
	Origin   crdt.Origin
	Progress [crdt.NumStreams]crdt.Progress
	Cold     bool // its cells are on disk and in the running sums only
	Dropped  bool // its cells are nowhere: living ones contain them
}

const storedFields = markFields + 2

// AppendStoredProgress appends p behind the version byte. On error dst is returned unchanged.
func AppendStoredProgress(dst []byte, p *StoredProgress) ([]byte, error) {
	w := newWriter(append(dst, Version))
	w.array(storedFields)
	w.mark(&Mark{Origin: p.Origin, Progress: p.Progress})
	w.bool(p.Cold)
	w.bool(p.Dropped)
	return w.sealed(dst, "stored progress")
}

// ParseStoredProgress reads one record, the whole of b.
func ParseStoredProgress(b []byte) (*StoredProgress, error) {
	switch {
	case len(b) == 0:
		return nil, fmt.Errorf("wire: parse stored progress: %w: empty", ErrMalformed)
	case b[0] < MinVersion || b[0] > Version:
		return nil, fmt.Errorf("wire: parse stored progress: %w: %d", ErrVersion, b[0])
	}
	r := newReader(b[1:])
	extra := r.array(storedFields)
	m := r.mark()
	p := StoredProgress{Origin: m.Origin, Progress: m.Progress, Cold: r.bool(), Dropped: r.bool()}
	r.skip(extra)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("wire: parse stored progress: %w", err)
	}
	return &p, nil
}
