package node

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// Reader gives a Recovery what is on disk.
type Reader interface {
	// Scan calls f with every key under prefix and its value in ascending order. The slices are valid in the call only.
	Scan(prefix []byte, f func(key, value []byte) error) error
}

// Recover fills an empty core from disk: checkpoints first, then the log, by the same joins as everything else. What
// was cold stays on disk, its sums enter the totals. It must run before the first Step.
//
// A frame that does not apply is counted; the rest is recovered. Bytes that do not parse
// are an error: the store checks its own sums, so they were written by another version.
func (c *Core) Recover(r Reader, at Time) error {
	c.tell(at)
	c.disk.held.since = c.now
	rec := &recovery{c: c, r: r, hot: map[string]*reconcile.Replica{}, thawed: map[crdt.Origin]bool{}}
	for _, step := range []func() error{
		rec.dropped, rec.forgotten, rec.progress, rec.touched, rec.cells, rec.sums, rec.log, rec.streams, rec.open, rec.take,
		rec.tokens, rec.config, rec.corrected, rec.removed, rec.budget, rec.events,
	} {
		if err := step(); err != nil {
			return fmt.Errorf("node: recover: %w", err)
		}
	}
	return nil
}

type recovery struct {
	c      *Core
	r      Reader
	hot    map[string]*reconcile.Replica // by key of origin
	order  []*reconcile.Replica
	thawed map[crdt.Origin]bool
}

func hotKey(o crdt.Origin) string { return string(originKey("", o)) }

func (rec *recovery) replica(o crdt.Origin) *reconcile.Replica {
	k := hotKey(o)
	if rec.hot[k] == nil {
		rec.hot[k] = reconcile.NewReplica(o, rec.c.cat)
		rec.order = append(rec.order, rec.hot[k])
	}
	return rec.hot[k]
}

// progress reads how far every origin was at its last checkpoint.
func (rec *recovery) progress() error {
	return rec.r.Scan([]byte(prefixProgress), func(_, value []byte) error {
		p, err := wire.ParseStoredProgress(value)
		if err != nil {
			return err
		}
		if p.Cold && rec.c.hub != nil {
			rec.c.hub.cold.index.put(p.Origin, p.Progress, p.AtMs)
			return nil
		}
		if p.Dropped && rec.c.hub != nil {
			rec.c.hub.entries.Restored(p.Origin, p.Progress)
			return nil
		}
		r := rec.replica(p.Origin)
		r.Progress, r.Changed = p.Progress, p.AtMs
		return nil
	})
}

// touched finds the cold origins that the log has frames for: they have to be in memory to take them.
func (rec *recovery) touched() error {
	if rec.c.hub == nil {
		return nil
	}
	return rec.frames(func(_ uint64, f *wire.Frame) error {
		if f.Stream != crdt.StreamLifetime {
			return nil
		}
		p, cold := rec.c.hub.cold.index.progress(f.Origin)
		if cold {
			r := rec.replica(f.Origin)
			r.Progress, r.Changed = p, rec.c.hub.cold.index.changed(f.Origin)
			rec.thawed[f.Origin] = true
			rec.c.hub.cold.index.remove(f.Origin)
		}
		return nil
	})
}

// cells reads the snapshots of the origins that belong into memory.
func (rec *recovery) cells() error {
	return rec.r.Scan([]byte(prefixCells), func(key, value []byte) error {
		r := rec.hot[string(key[len(prefixCells):len(key)-4])]
		if r == nil {
			return nil
		}
		f, err := wire.ParseFrame(value)
		if err != nil {
			return err
		}
		rec.c.disk.parts[r.Origin]++
		progress := r.Progress // a snapshot moves no cursor
		rec.apply(r, f)
		r.Progress = progress
		return nil
	})
}

func (rec *recovery) apply(r *reconcile.Replica, f *wire.Frame) {
	err := rec.c.contained(func() error {
		if err := r.Check(f); err != nil {
			return err
		}
		_, err := r.Apply(f, nil)
		return err
	})
	switch {
	case errors.Is(err, errPanicked):
		rec.c.suspect(r.Origin, err)
	case err != nil: // it was refused before; what came behind it was judged by itself
		rec.c.Counts.FramesDropped++
	}
}

// sums reads the sums over cold origins.
func (rec *recovery) sums() error {
	if rec.c.hub == nil {
		return nil
	}
	for _, r := range rec.order {
		if rec.thawed[r.Origin] {
			rec.c.hub.cold.thawed[r.Origin] = cellsOf(r)
		}
	}
	return rec.r.Scan([]byte(prefixCold), func(_, value []byte) error {
		f, err := wire.ParseFrame(value)
		if err != nil {
			return err
		}
		if len(f.Defs) != 1 || len(f.Cells) != 1 {
			return fmt.Errorf("sum of cold origins with %d series", len(f.Defs))
		}
		id, err := rec.c.cat.Intern(&f.Defs[0].Series)
		if err != nil {
			return err
		}
		if !rec.c.cat.Gone(id) { // the record of what was dropped is enough: its sum stays on disk, and is passed over
			rec.c.hub.cold.sums[id] = &f.Cells[0].Value
		}
		return nil
	})
}

// log applies the records in order.
func (rec *recovery) log() error {
	return rec.frames(func(lsn uint64, f *wire.Frame) error {
		if f.Stream != crdt.StreamLifetime {
			return nil // see open
		}
		if rec.c.hub != nil && rec.c.hub.entries.Late(f) {
			return nil
		}
		if rec.c.isForgotten(f.Origin) {
			return nil
		}
		r := rec.replica(f.Origin)
		rec.apply(r, f)
		r.Changed = rec.c.wall // no later than that
		rec.c.disk.dirty(r, lsn)
		return nil
	})
}

func (rec *recovery) frames(do func(lsn uint64, f *wire.Frame) error) error {
	d := &rec.c.disk
	return rec.r.Scan([]byte(prefixLog), func(key, value []byte) error {
		lsn := binary.BigEndian.Uint64(key[len(prefixLog):])
		if _, ok := d.bytes[lsn]; !ok {
			if len(d.bytes) == 0 {
				d.trimmed = lsn - 1
			}
			d.committed(lsn, len(value), rec.c.now)
		}
		return eachLogged(lsn, value, func(raw []byte) error {
			f, err := wire.ParseFrame(raw)
			if err != nil {
				return err
			}
			return do(lsn, f)
		})
	})
}

// eachLogged calls f for the frames of a log record.
func eachLogged(lsn uint64, value []byte, f func(raw []byte) error) error {
	for len(value) > 0 {
		n, k := binary.Uvarint(value)
		if k <= 0 || n > uint64(len(value)-k) {
			return fmt.Errorf("log record %d ends early", lsn)
		}
		if err := f(value[k : k+int(n)]); err != nil {
			return fmt.Errorf("log record %d: %w", lsn, err)
		}
		value = value[k+int(n):]
	}
	return nil
}

// take puts the replicas where they belong and adds them up.
func (rec *recovery) take() error {
	c := rec.c
	for _, r := range rec.order {
		r.Touched = c.now
		switch {
		case c.hub == nil && r.Origin.Class == crdt.ClassNode:
			c.mine = append([]*reconcile.Replica{r}, c.mine...)
		case c.hub == nil:
		case r.Origin.Class == crdt.ClassRegion:
			if err := c.hub.entries.Take(r); err != nil {
				return err
			}
		default:
			c.hub.watch.Expect(r.Origin.Node)
			if err := c.hub.region.Take(r); err != nil {
				return err
			}
		}
	}
	if c.hub == nil {
		if at := len(c.mine) - 1; at >= c.cfg.Limits.Named { // those that changed last are named
			slices.SortStableFunc(c.mine[:at], func(a, b *reconcile.Replica) int {
				return cmp.Or(cmp.Compare(a.Changed, b.Changed), a.Origin.Compare(b.Origin))
			})
		}
		return nil
	}
	for _, node := range c.hub.cold.index.nodes {
		c.hub.watch.Expect(node)
	}
	for node, n := range c.hub.forget.nodes { // in any order: it makes a set
		if len(n.ids) > 0 {
			c.hub.watch.Expect(node)
		}
	}
	for id := range reconcile.SeriesID(c.cat.Len()) { // in order: numbers of totals must not depend on a map
		if v := c.hub.cold.without(id); v != nil {
			if err := c.hub.region.Total.Add(id, v); err != nil {
				return err
			}
		}
	}
	c.settleRegion()
	return nil
}

// tokens reads what was counted under which token.
func (rec *recovery) tokens() error {
	if mutant.On("dedupe forgotten") {
		return nil
	}
	t := rec.c.tokens
	err := rec.r.Scan([]byte(prefixSource), func(key, value []byte) error {
		w, err := parseWindow(value)
		if err != nil {
			return err
		}
		t.sources[strings.TrimPrefix(string(key), prefixSource)] = w
		return nil
	})
	if err != nil {
		return err
	}
	if err := rec.r.Scan([]byte(prefixChain), t.recoverLink); err != nil {
		return err
	}
	return rec.r.Scan([]byte(prefixKey), func(key, value []byte) error {
		if len(key) != len(prefixKey)+len(keyHash{}) || len(value) != 8 {
			return fmt.Errorf("idempotency key record of %d and %d bytes", len(key), len(value))
		}
		t.addKey(keyHash(key[len(prefixKey):]), int64(binary.BigEndian.Uint64(value)))
		return nil
	})
}

// config reads the mesh's configuration.
func (rec *recovery) config() error {
	return rec.r.Scan([]byte(prefixConfig), func(_, value []byte) error {
		m, err := wire.ParseStoredConfig(value)
		if err == nil {
			rec.c.applyConfig(m)
		}
		return err
	})
}

// dropped reads which series were dropped, before any cell is read.
func (rec *recovery) dropped() error { return rec.c.drops.read(rec.r) }

// corrected reads which corrections there are, and which count.
func (rec *recovery) corrected() error {
	k := &rec.c.corrections
	if err := k.read(rec.r); err != nil {
		return err
	}
	var on []string
	err := rec.r.Scan([]byte(prefixCorrectionOn), func(key, _ []byte) error {
		on = append(on, string(key[len(prefixCorrectionOn):]))
		return nil
	})
	rec.c.countFrom(slices.DeleteFunc(on, func(id string) bool { return k.highest(id) == 0 }))
	return err
}

// removed reads which nodes were removed.
func (rec *recovery) removed() error {
	if rec.c.hub == nil {
		return nil
	}
	return rec.c.hub.removals.read(rec.r)
}
