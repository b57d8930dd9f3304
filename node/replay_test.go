package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"meshd/crdt"
)

// archive is a durable log of one hub, for the tests of what a core does for one.
type archive struct {
	t       *testing.T
	w       *world
	p       *proc
	at      ArchivePosition
	records []ArchiveRecord
	decided map[string]bool
	gen     int // of the process whose log it has
	skipped int // snapshots that were taken because records were gone
}

// catchUp appends what is on the hub's disk, a snapshot first if the process is a new one or records are gone.
func (a *archive) catchUp() {
	a.t.Helper()
	add := func(r ArchiveRecord) error {
		a.records = append(a.records, r)
		return nil
	}
	for {
		if a.gen != a.p.gen {
			end := a.p.core.disk.lsn
			lsn, err := ReadSnapshot(a.p, a.p.region, add)
			if err != nil {
				a.t.Fatal(err)
			}
			a.gen, a.at.LSN = a.p.gen, max(end, lsn)
		}
		from := len(a.records)
		next, lost, err := ReadArchive(a.p, a.at, 10_000, add)
		if errors.Is(err, ErrUnarchived) {
			a.gen, a.skipped = 0, a.skipped+1
			continue
		}
		if err != nil || lost > 0 {
			a.t.Fatalf("%d publications lost: %v", lost, err)
		}
		if next == a.at {
			break
		}
		a.at = next
		batch := slices.Clone(a.records[from:])
		a.records = a.records[:from]
		if err := ReadDecisions(a.p, func(r ArchiveRecord) error { // after the frames, to be before them: whoever knew the drop wrote them later
			if !a.decided[string(r.Message)] {
				a.decided[string(r.Message)] = true
				a.records = append(a.records, r)
			}
			return nil
		}); err != nil {
			a.t.Fatal(err)
		}
		a.records = append(a.records, batch...)
	}
	a.w.step(a.p, Archived{a.at})
}

// into replays records into a hub, some at a time, and returns how many frames were beyond a gap.
func into(t *testing.T, w *world, p *proc, records []ArchiveRecord) (ahead int) {
	t.Helper()
	for chunk := range slices.Chunk(records, 50) {
		w.ids++
		id := w.ids
		in := Replay{ID: id}
		for _, r := range chunk {
			d, err := Decode(slices.Clone(r.Message))
			if err != nil {
				t.Fatal(err)
			}
			in.Msgs = append(in.Msgs, d)
		}
		w.step(p, in)
		for range 1000 {
			if _, ok := p.replies[id]; ok {
				break
			}
			w.run(10)
		}
		res, ok := p.replies[id]
		if !ok || res.Err != nil {
			t.Fatalf("replay is not answered: %v", res.Err)
		}
		ahead += res.Ahead
	}
	return ahead
}

// state is what a hub answers, and what its history has of its region, as text.
func (w *world) state(name, region string) map[string]string {
	p := w.procs[name]
	out := map[string]string{}
	for _, row := range w.rowsOf(name, Select{}) {
		out["row "+row] = "is there"
	}
	for o, cells := range p.past {
		for k := range cells {
			if o.Region == region && o.Class == crdt.ClassRegion && k.name != "m3" { // windows of what was dropped stay in a history that had them
				v := p.past.sum(o, k)
				out[fmt.Sprintf("window %s of %s %v", k.name, o, k.window)] = v.P.String()
			}
		}
	}
	return out
}

func differ(t *testing.T, what string, want, got map[string]string) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			t.Errorf("%s: %s: %q, want %q", what, k, got[k], want[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[k]; !ok {
			t.Errorf("%s: %s: %q is there too", what, k, got[k])
		}
	}
}

// TestARegionComesBackFromItsArchive deletes all disks. A hub that is given what one hub archived has its totals and its windows:
// in order, twice, backwards, and in parts that overlap.
func TestARegionComesBackFromItsArchive(t *testing.T) {
	skipped, cold := 0, 0
	for seed := range uint64(3) {
		w := newWindowWorld(t, 900+seed)
		w.cfg = CoreConfig{Window: crdt.FineMillis, LogBytes: 500, ColdAfter: 4000, AntiEntropy: 500, Beat: 500, ForgetAfter: -1, ArchiveBytes: 500}
		if seed%2 == 1 {
			w.cfg.ForgetAfter = 20_000
		}
		mesh(w)
		w.run(3000)
		a := &archive{t: t, w: w, p: w.procs["east-hub0"], decided: map[string]bool{}}
		for i := range 100 {
			for _, p := range w.sorted() {
				if p.core != nil && w.rng.IntN(3) == 0 {
					w.count(p.name, fmt.Sprintf("m%d", w.rng.IntN(5)), 1+w.rng.Uint64N(9), Token{})
				}
			}
			switch name := fmt.Sprintf("east-edge%d", w.rng.IntN(3)); {
			case i%10 == 3:
				w.run(500)
				w.kill(name)
				w.start(name, "east", RoleEdge)
			case i == 25:
				w.run(1000)
				w.kill("east-hub0")
				w.start("east-hub0", "east", RoleHub)
			case i == 70:
				if err := w.dropSeries("east-hub0", "m3"); err != nil {
					t.Fatal(err)
				}
			}
			w.run(1000)
			if i < 20 || i > 60 && w.rng.IntN(4) > 0 || i == 99 { // the log is away for a while, and seldom there
				a.catchUp()
			}
		}
		w.run(150_000)
		a.catchUp()
		skipped += a.skipped
		cold += w.procs["east-hub0"].core.hub.cold.index.len
		want := w.state("east-hub0", "east")
		if len(want) < 40 {
			t.Fatalf("only %d values to compare", len(want))
		}
		for _, p := range w.sorted() {
			w.kill(p.name)
		}
		for _, how := range []string{"in order", "twice", "backwards", "overlapping"} {
			records := slices.Clone(a.records)
			switch how {
			case "twice":
				records = append(records, records...)
			case "backwards":
				records = nil
				for chunk := range slices.Chunk(a.records, len(a.records)/5+1) {
					records = append(slices.Clone(chunk), records...)
				}
			case "overlapping":
				third := len(records) / 3
				records = slices.Concat(records[:2*third], records[third:], records[:third])
			}
			w.procs = map[string]*proc{}
			w.cfg.ForgetAfter = -1
			p := w.start("east-new", "east", RoleHub)
			for range 7 { // five parts backwards connect one a round
				if into(t, w, p, records) == 0 {
					break
				}
			}
			w.run(5000)
			if !p.core.TotalsSettled() {
				t.Errorf("seed %d, %s: totals are not settled", seed, how)
			}
			differ(t, fmt.Sprintf("seed %d, %s", seed, how), want, w.state("east-new", "east"))
			w.kill("east-new")
			w.start("east-new", "east", RoleHub) // and all of it is on disk
			w.procs["east-new"].past = nil
			w.tellPast("east-new")
			w.run(5000)
			differ(t, fmt.Sprintf("seed %d, %s, started again", seed, how), want, w.state("east-new", "east"))
			if t.Failed() {
				return
			}
		}
	}
	if skipped == 0 || cold == 0 {
		t.Errorf("%d snapshots because records were gone, %d cold incarnations: nothing was tried", skipped, cold)
	}
}

// tellPast gives a history that is empty what is on disk.
func (w *world) tellPast(name string) {
	p := w.procs[name]
	out := Output{}
	if err := p.core.ReadPublished(p, 0, func(pub Published) { out.Published = append(out.Published, pub) }); err != nil {
		w.t.Fatal(err)
	}
	w.recall(p, &out)
}

// TestTheLogWaitsForItsArchive: what is not archived stays on disk, records of the log up to a bound, publications for a week, and no
// longer than that.
func TestTheLogWaitsForItsArchive(t *testing.T) {
	w := newWindowWorld(t, 3)
	w.cfg = CoreConfig{Window: crdt.FineMillis, LogBytes: 300, ArchiveBytes: 30_000, AntiEntropy: 600_000, Beat: 600_000}
	p := w.start("hub", "east", RoleHub)
	w.run(2000)
	first := uint64(1)
	for range 100 { // some 60 bytes each
		w.count("hub", "clicks", 1, Token{})
		w.run(1000)
	}
	if lsns := logOf(p); lsns[0] != first || p.core.Counts.Unarchived > 0 {
		t.Errorf("the log begins with record %d, %d are lost, and nothing is archived", lsns[0], p.core.Counts.Unarchived)
	}
	if st := p.core.ArchiveStatus(); !st.On || st.Records < 100 || st.Bytes < 1000 || st.AgeMs < 90_000 {
		t.Errorf("the archive is said to be behind by %+v", st)
	}
	at, _, err := ReadArchive(p, ArchivePosition{}, 1<<20, func(ArchiveRecord) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	w.step(p, Archived{at})
	w.count("hub", "clicks", 1, Token{})
	w.run(1000)
	if lsns := logOf(p); len(lsns) > 20 || p.core.Counts.Unarchived > 0 {
		t.Errorf("%d records stay that are archived, %d are lost", len(lsns), p.core.Counts.Unarchived)
	}
	for range 400 {
		w.count("hub", "clicks", 1, Token{})
		w.run(1000)
	}
	if st := p.core.ArchiveStatus(); p.core.Counts.Unarchived == 0 || st.Bytes > 36_000 {
		t.Errorf("%d bytes wait for an archive, %d records are lost", st.Bytes, p.core.Counts.Unarchived)
	}
	if _, _, err := ReadArchive(p, at, 1<<20, func(ArchiveRecord) error { return nil }); !errors.Is(err, ErrUnarchived) {
		t.Errorf("what is gone is read: %v", err)
	}
	published := func() (n int) {
		for k := range p.disk {
			if strings.HasPrefix(k, prefixWindowFrame) {
				n++
			}
		}
		return n
	}
	kept := published()
	if kept < 50 {
		t.Fatalf("%d publications", kept)
	}
	w.run(3 * 24 * crdt.HourMillis)
	if n := published(); n < kept-int(at.Tag) {
		t.Errorf("%d of %d publications are left, of which none was archived since", n, kept)
	}
	w.run(6 * 24 * crdt.HourMillis)
	if n := published(); n > 10 {
		t.Errorf("%d publications are left after a week", n)
	}
}

// TestASnapshotSaysHowFarItReaches: what comes behind it connects to it, and the hub does not ask for more.
func TestASnapshotSaysHowFarItReaches(t *testing.T) {
	w := newWorld(t, 4)
	w.cfg = CoreConfig{LogBytes: 1}
	hub := w.start("hub", "east", RoleHub)
	w.start("edge", "east", RoleEdge)
	w.run(1000)
	for range 20 {
		w.count("edge", "clicks", 1, Token{})
		w.run(1000)
	}
	var records []ArchiveRecord
	if _, err := ReadSnapshot(hub, "east", func(r ArchiveRecord) error {
		records = append(records, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.kill("edge")
	fresh := w.start("fresh", "east", RoleHub)
	w.setCut("fresh", "hub", true)
	into(t, w, fresh, records)
	compared := 0
	for _, o := range hub.core.hub.region.Origins() {
		want := hub.core.hub.region.Held(o).Progress[crdt.StreamLifetime]
		if o.Node != "edge" {
			continue
		}
		compared++
		if r := fresh.core.hub.region.Held(o); want.Covered == 0 || r == nil || r.Progress[crdt.StreamLifetime] != want {
			t.Errorf("%s: %+v is held, want %+v", o, r, want)
		}
	}
	if compared != 1 {
		t.Errorf("%d origins were compared", compared)
	}
}
