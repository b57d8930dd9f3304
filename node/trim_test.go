package node

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// logOf returns the numbers of the records that are on a disk, in order.
func logOf(p *proc) (lsns []uint64) {
	for k := range p.disk {
		if rest, ok := strings.CutPrefix(k, prefixLog); ok {
			lsns = append(lsns, binary.BigEndian.Uint64([]byte(rest)))
		}
	}
	slices.Sort(lsns)
	return lsns
}

// TestTheLogOnDiskHasNoHoles lets writes of a node fail now and then. A record may only go together with all before it: one
// that stayed would open windows again at a start, whose publication a later one told of, and they would enter the wider
// ones once more.
func TestTheLogOnDiskHasNoHoles(t *testing.T) {
	w := newWindowWorld(t, 1)
	w.cfg.LogBytes = 1
	w.full = map[string]bool{}
	p := w.start("edge", "east", RoleEdge)
	trimmed := uint64(0)
	for i := range 20_000 {
		if i%37 == 0 {
			w.count(p.name, "clicks", 1, Token{})
		}
		w.full[p.name] = w.rng.IntN(3) == 0
		w.run(1)
		lsns := logOf(p)
		if n := len(lsns); n > 0 && lsns[n-1]-lsns[0] != uint64(n-1) {
			t.Fatalf("the log has the records %v", lsns)
		} else if n > 0 {
			trimmed = max(trimmed, lsns[0]-1)
		}
	}
	if trimmed < 100 || p.core.Counts.CommitFailed < 100 {
		t.Errorf("%d records were deleted, %d writes failed", trimmed, p.core.Counts.CommitFailed)
	}
}
