package crdt

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

func TestProgressAdvance(t *testing.T) {
	for _, row := range []struct {
		name           string
		have           Progress
		from, to, head uint64
		want           Progress
		accepted       bool
	}{
		{"first frame with all", Progress{}, 0, 5, 5, Progress{5, 5, 5}, true},
		{"head runs ahead", Progress{}, 0, 5, 8, Progress{5, 8, 0}, true},
		{"the owed rest", Progress{5, 8, 0}, 5, 8, 8, Progress{8, 8, 8}, true},
		{"gap", Progress{5, 5, 5}, 6, 9, 9, Progress{5, 5, 5}, false},
		{"overlap", Progress{5, 5, 5}, 2, 9, 9, Progress{9, 9, 9}, true},
		{"replay", Progress{9, 9, 9}, 0, 5, 8, Progress{9, 9, 9}, true},
		{"replay of a frame that was built later", Progress{9, 9, 9}, 0, 5, 12, Progress{9, 12, 9}, true},
		{"cells beyond the sender's cursor", Progress{5, 5, 5}, 5, 5, 7, Progress{5, 7, 5}, true},
		{"heartbeat", Progress{5, 5, 5}, 5, 5, 5, Progress{5, 5, 5}, true},
	} {
		got := row.have
		if ok := got.Advance(row.from, row.to, row.head); ok != row.accepted || got != row.want {
			t.Errorf("%s: %+v, %v, want %+v, %v", row.name, got, ok, row.want, row.accepted)
		}
	}
}

// modelFrame carries cells; the value of a cell is the seq of its last change.
type modelFrame struct {
	from, to, head uint64
	cells          map[int]uint64
}

// changed returns the cells whose last change is in (from, to]: one that changed again after to is left out.
func changed(cells map[int]uint64, from, to uint64) map[int]uint64 {
	out := maps.Clone(cells)
	maps.DeleteFunc(out, func(_ int, seq uint64) bool { return seq <= from || seq > to })
	return out
}

// modelReplica is a receiver that joins every frame at once and passes on what it holds.
type modelReplica struct {
	Progress
	cells map[int]uint64
}

func (r *modelReplica) receive(f modelFrame) {
	for c, seq := range f.cells {
		r.cells[c] = max(r.cells[c], seq)
	}
	r.Advance(f.from, f.to, f.head)
}

// relay builds what r sends to a receiver that has covered from: what it holds up to its own cursor, and the cells
// beyond it in a frame that moves no cursor.
func (r *modelReplica) relay(from uint64) []modelFrame {
	head := r.Owed
	for _, seq := range r.cells {
		head = max(head, seq)
	}
	return []modelFrame{
		{from: r.Cursor, to: r.Cursor, head: head, cells: changed(r.cells, r.Cursor, head)},
		{from: min(from, r.Cursor), to: r.Cursor, head: head, cells: changed(r.cells, from, r.Cursor)},
	}
}

// Covered never claims more than is held, whatever is lost, repeated, reordered or relayed.
func TestCoveredIsHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var writes []int // the cell that seq i+1 changed
		last := make(map[int]uint64)
		replicas := make([]modelReplica, 3)
		for i := range replicas {
			replicas[i].cells = make(map[int]uint64)
		}
		var sent []modelFrame
		check := func(r *modelReplica) {
			for i, c := range writes[:r.Covered] {
				if seq := uint64(i + 1); r.cells[c] < seq {
					t.Fatalf("%+v: cell %d is held at %d, it changed at %d", r.Progress, c, r.cells[c], seq)
				}
			}
		}
		pick := rapid.IntRange(0, len(replicas)-1)
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				c := rapid.IntRange(0, 3).Draw(t, "cell")
				writes = append(writes, c)
				last[c] = uint64(len(writes))
			},
			"frame": func(t *rapid.T) {
				head := uint64(len(writes))
				from := rapid.Uint64Range(0, head).Draw(t, "from")
				to := rapid.Uint64Range(from, head).Draw(t, "to")
				sent = append(sent, modelFrame{from, to, head, changed(last, from, to)})
			},
			"resume": func(t *rapid.T) {
				r, head := &replicas[pick.Draw(t, "receiver")], uint64(len(writes))
				f := modelFrame{r.Cursor, head, head, changed(last, r.Cursor, head)}
				sent = append(sent, f)
				if rapid.Bool().Draw(t, "arrives") {
					r.receive(f)
				}
			},
			"relay": func(t *rapid.T) {
				from, to := &replicas[pick.Draw(t, "sender")], &replicas[pick.Draw(t, "receiver")]
				for _, f := range from.relay(to.Covered) {
					sent = append(sent, f)
					if rapid.Bool().Draw(t, "arrives") {
						to.receive(f)
					}
				}
			},
			"deliver": func(t *rapid.T) {
				if len(sent) == 0 {
					t.Skip("nothing sent yet")
				}
				replicas[pick.Draw(t, "receiver")].receive(rapid.SampledFrom(sent).Draw(t, "frame"))
			},
			"": func(*rapid.T) {
				for i := range replicas {
					check(&replicas[i])
				}
			},
		})
		// Once the writer can be heard again everything is covered.
		for i := range replicas {
			r, head := &replicas[i], uint64(len(writes))
			r.receive(modelFrame{r.Cursor, head, head, changed(last, r.Cursor, head)})
			if check(r); r.Covered != head {
				t.Fatalf("%+v after all was sent, want %d covered", r.Progress, head)
			}
		}
	})
}
