package node

import (
	"strconv"
	"testing"
)

// TestMoreIncarnationsThanAHelloNames: of what is not named no hub says what its totals contain, so an edge adds it to none. Its
// answers are never above what was counted, never below what it counted itself, and right where hubs have all.
func TestMoreIncarnationsThanAHelloNames(t *testing.T) {
	w := newWorld(t, 9)
	w.cfg.Limits.Named = 2
	w.start("hub", "east", RoleHub)
	w.start("other", "east", RoleEdge)
	w.count("other", "clicks", 1, Token{})
	sum, own := uint64(1), uint64(0)
	for n := uint64(10); n < 1_000_000; n *= 10 {
		edge := w.start("edge", "east", RoleEdge)
		w.count("edge", "clicks", n, Token{})
		sum, own = sum+n, own+n
		for range 100 {
			w.run(50)
			if got, err := strconv.ParseUint(w.total("edge", "clicks"), 10, 64); err != nil || got > sum || got < own-n {
				t.Fatalf("the edge answers %d of %d, its own %d", got, sum, own)
			}
		}
		if got := w.total("edge", "clicks"); got != strconv.FormatUint(sum, 10) {
			t.Errorf("the edge answers %s, want %d", got, sum)
		}
		if more := len(edge.core.mine) > 2; more != (edge.core.Counts.Unnamed > 0) {
			t.Errorf("an edge of %d incarnations counts %d unnamed", len(edge.core.mine), edge.core.Counts.Unnamed)
		}
		w.kill("edge")
	}
}
