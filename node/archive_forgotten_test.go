package node

import (
	"fmt"
	"slices"
	"testing"

	"meshd/internal/wire"
)

// TestASnapshotRemembersWhatIsForgotten: of processes that are over a snapshot has their names and their sum, which a hub gets from it
// alone, before or after the frames of these processes, and which a restart of that hub reads.
func TestASnapshotRemembersWhatIsForgotten(t *testing.T) {
	w := forgetful(t)
	w.cfg.ArchiveBytes = 1 << 20
	hub := w.start("east-hub0", "east", RoleHub)
	w.start("east-hub1", "east", RoleHub) // one alone forgets nothing
	a := &archive{t: t, w: w, p: hub, decided: map[string]bool{}}
	a.catchUp() // so that a snapshot is behind it, and what follows are frames
	sum := uint64(0)
	for i := range uint64(4) {
		sum += 10 + i
		restartEdge(w, 10+i)
		a.catchUp()
	}
	mustForget(w, 3, "east-hub0")
	var snapshot []ArchiveRecord
	named := 0
	if _, err := ReadSnapshot(hub, "east", func(r ArchiveRecord) error {
		snapshot = append(snapshot, r)
		d, err := Decode(slices.Clone(r.Message))
		if m, ok := d.Msg.(*wire.Forgotten); ok && m.Node == "east-edge0" {
			named += len(m.Incs)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if named != 3 || len(a.records) < 4 {
		t.Fatalf("the snapshot names %d processes that are forgotten, want 3; %d records are before it", named, len(a.records))
	}
	for _, p := range w.sorted() {
		w.kill(p.name)
	}
	for how, parts := range map[string][][]ArchiveRecord{
		"alone":            {snapshot},
		"twice":            {snapshot, snapshot},
		"after frames":     {a.records, snapshot},
		"before them":      {snapshot, a.records}, // which it names, and which are refused
		"at once with all": {slices.Concat(snapshot, a.records)},
	} {
		w.procs = map[string]*proc{}
		w.cfg.ForgetAfter = -1
		fresh := w.start("fresh", "east", RoleHub)
		for _, records := range parts {
			into(t, w, fresh, records)
		}
		for _, restart := range []bool{false, true} {
			if restart {
				w.kill("fresh")
				fresh = w.start("fresh", "east", RoleHub)
			}
			w.run(5000)
			if got := ownTotal(fresh.core, "clicks"); got != fmt.Sprint(sum) {
				t.Errorf("%s, started again %t: %s clicks, want %d", how, restart, got, sum)
			}
			mustForget(w, 3, "fresh")
		}
	}
}
