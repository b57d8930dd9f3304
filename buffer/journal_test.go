package buffer

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestJournalCutAtEveryStep stops a large commit before each of its transactions, as a crash would, and expects all of
// it or nothing after the next Open, wherever that Open is cut off in turn.
func TestJournalCutAtEveryStep(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	steps := map[string]bool{}
	for cut, completed := 0, false; !completed; cut++ {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			cfg.MemoryBytes = 1
			armed, n, limit, at := false, 0, cut, ""
			cfg.Fault = func(step string) error {
				if !armed {
					return nil
				}
				if n++; n > limit {
					at = step
					return boom
				}
				return nil
			}
			s := mustOpen(t, cfg)
			before := []Op{set("a", "old"), set("z", "old"), {Key: []byte("m"), Value: make([]byte, 2*s.lim.bytes)}}
			commit(t, s, before...)
			old := contents(t, s, "")
			var ops []Op
			for i := range 8 {
				ops = append(ops, Op{Key: fmt.Appendf(nil, "k%d", i), Value: make([]byte, s.lim.bytes/2)})
			}
			ops = append(ops, del("a"), set("z", "new"), Op{Key: []byte("m"), Value: make([]byte, 3*s.lim.bytes)})
			armed = true
			err := s.Commit(ops)
			stopped := at
			if completed = err == nil; !completed {
				steps[stopped] = true
				if !errors.Is(err, boom) {
					t.Fatal(err)
				}
				if err := s.Commit([]Op{set("later", "v")}); err == nil {
					t.Error("a broken store accepted another commit")
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}

			n, limit = 0, cut%3 // the next Open is cut as well
			again, err := Open(cfg)
			if err == nil {
				err = again.Close()
			}
			if err != nil && !errors.Is(err, boom) {
				t.Fatal(err)
			}
			armed = false
			s = mustOpen(t, cfg)
			got := contents(t, s, "")
			applied := len(got) == len(ops)-1
			if !applied {
				if diff := cmp.Diff(old, got); diff != "" {
					t.Errorf("cut before %s: neither old nor new state: %d keys", stopped, len(got))
				}
			}
			if want := completed || stopped == "apply" || stopped == "clear"; applied != want {
				t.Errorf("cut before %s: applied is %v", stopped, applied)
			}
			if n := rawKeys(t, s, spaceJournal) + rawKeys(t, s, spaceHead); n != 0 {
				t.Errorf("%d keys of the journal are left", n)
			}
		})
	}
	if diff := cmp.Diff(map[string]bool{"stage": true, "head": true, "apply": true, "clear": true}, steps); diff != "" {
		t.Errorf("steps that were cut (-want +got):\n%s", diff)
	}
}

func TestDamagedJournalIsRefused(t *testing.T) {
	cfg := testConfig(t.TempDir())
	boom := errors.New("boom")
	cfg.Fault = func(step string) error {
		if step == "apply" {
			return boom
		}
		return nil
	}
	s := mustOpen(t, cfg)
	if err := s.Commit([]Op{{Key: []byte("k"), Value: make([]byte, 3*s.lim.bytes)}}); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	h := head{id: 1, parts: 1}
	if err := s.transact([]entry{{key: headKey, value: h.append(nil)}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, ErrCorrupt) {
		t.Errorf("open with a head that names no journal: %v", err)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add(appendRecord(nil, &entry{key: []byte("k"), value: []byte("v"), expires: 5, form: formChunked}))
	f.Add(appendRecord(nil, &entry{key: []byte("key"), del: true}))
	f.Add([]byte{0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 'k'})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, rest, err := parseRecord(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("error %v is not ErrCorrupt", err)
			}
			return
		}
		again, tail, err := parseRecord(append(appendRecord(nil, &e), rest...))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, again, cmp.AllowUnexported(entry{})); diff != "" {
			t.Error(diff)
		}
		if string(tail) != string(rest) {
			t.Errorf("%d bytes follow, want %d", len(tail), len(rest))
		}
	})
}

func FuzzParseTicket(f *testing.F) {
	f.Add(ticket{1, 2, 3}.bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parseTicket(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("error %v is not ErrCorrupt", err)
			}
			return
		}
		if k.length > MaxValueBytes || k.chunks > k.length {
			t.Errorf("%x: %d bytes in %d chunks", b, k.length, k.chunks)
		}
		if !bytes.Equal(k.bytes(), b) {
			t.Errorf("%x comes back as %x", b, k.bytes())
		}
	})
}
