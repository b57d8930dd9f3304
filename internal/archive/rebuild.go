package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"meshd/internal/mutant"
	"meshd/node"
	"meshd/replay"
)

const (
	// rebuildBytes is what one replay brings at most: one commit of the node's.
	rebuildBytes = 1 << 20
	// settleBytes is after how much of the log the position is kept: all that is before it is on disk then, and summed up.
	settleBytes = 64 << 20
	// busyPause is how long is waited for a node that has enough to do, and tries how often for one that takes nothing.
	busyPause = 100 * time.Millisecond
	tries     = 5
)

// Target is the hub that a log is replayed into.
type Target interface {
	Replay(ctx context.Context, msgs []node.Decoded) node.Result
	Settle(ctx context.Context) error
}

// Resume is where a replay goes on after a crash.
type Resume struct {
	Position replay.Position `json:"position"`
	Ahead    int             `json:"ahead"`  // frames so far in this round that were beyond a gap
	Before   int             `json:"before"` // and in the round before; 0: this is the first
}

// Moved is how far a replay came.
type Moved struct {
	Round            int
	Records, Skipped int64 // of the log in this round; those skipped are contained in later snapshots, or of other regions
	Of               int64 // records that a round has
	Frames, Cells    int64 // joined in this round
	Unnamed          int64 // cells that a filter left out, since the log does not say from Since on what they are of
}

// Rebuild replays a log into a hub. It reads the log once to see which snapshots are whole, and then until nothing is left out:
// a record may come before another that it needs, when several partitions or writers hold them.
type Rebuild struct {
	Log    replay.Log
	Into   Target
	Region string          // only what was counted in it; "" = all
	Since  replay.Position // nil = the oldest record
	Resume Resume          // zero = begin

	Metrics func(name string) bool // only of these; nil = all. What comes then moves no cursor, see node.ReplayFilter

	// Damaged is told of each place where the log cannot be read, once, and may end the replay with an error; nil = damage ends it.
	Damaged func(*replay.DamageError) error

	Keep  func(Resume) error // is told from where to go on after a crash; nil = nobody is
	Moved func(Moved)        // is told now and then how far it came; nil = nobody is

	snaps  *snapshots
	told   map[string]bool    // places of damage
	filter *node.ReplayFilter // nil: all is wanted
	msgs   []node.Decoded
	bytes  int   // of them
	unkept int   // bytes since the position was kept
	step   int   // in tests, instead of rebuildBytes and settleBytes
	done   int64 // records that were joined before a crash
	now    Moved
}

// Run replays until all of the log is joined, and returns how far it came.
func (r *Rebuild) Run(ctx context.Context) (Moved, error) {
	if err := r.survey(ctx); err != nil {
		return r.now, fmt.Errorf("archive: read the log: %w", err)
	}
	of := r.now.Of
	for {
		r.now = Moved{Round: r.now.Round + 1, Of: of, Records: r.done}
		r.done = 0
		if err := r.round(ctx); err != nil {
			return r.now, fmt.Errorf("archive: replay: %w", err)
		}
		ahead := r.Resume.Ahead
		if ahead == 0 || r.Resume.Before != 0 && ahead >= r.Resume.Before || mutant.On("one round of a log") {
			return r.now, nil
		}
		r.Resume = Resume{Before: ahead}
	}
}

// survey counts the records and finds the snapshots that are whole.
func (r *Rebuild) survey(ctx context.Context) error {
	r.snaps, r.told = newSnapshots(), map[string]bool{}
	if r.Metrics != nil {
		r.filter = node.NewReplayFilter(r.Metrics)
	}
	events := int64(0)
	err := r.read(ctx, r.Since, func(e *replay.Entry) error {
		r.now.Of++
		if e.Kind == replay.KindEvents {
			events++
		}
		if p := r.Resume.Position; e.Partition < len(p) && e.Offset < p[e.Partition] {
			r.done++
		}
		r.snaps.add(e)
		if r.filter == nil || e.Kind != replay.KindFrame && e.Kind != replay.KindSnapshotPart {
			return nil
		}
		d, err := decode(e)
		if err == nil {
			r.filter.Learn(&d)
		}
		return err
	})
	if err == nil && events > 0 && events == r.now.Of {
		return replay.ErrEvents
	}
	r.snaps.judge()
	return err
}

// read calls f for all of the log from a position on that can be read.
func (r *Rebuild) read(ctx context.Context, from replay.Position, f func(*replay.Entry) error) error {
	var damaged func(*replay.DamageError) error
	if r.Damaged != nil {
		damaged = func(d *replay.DamageError) error {
			place := fmt.Sprint(d.Where, d.Next)
			if r.told[place] {
				return nil
			}
			r.told[place] = true
			return r.Damaged(d)
		}
	}
	_, err := replay.ReadOn(ctx, r.Log, from, f, damaged)
	return err
}

// round reads the log from where it goes on to its end.
func (r *Rebuild) round(ctx context.Context) error {
	at := r.Resume.Position
	if at == nil {
		at = r.Since
	}
	first, _, err := r.Log.Bounds(ctx)
	if err != nil {
		return err
	}
	r.Resume.Position = make(replay.Position, max(len(first), len(at)))
	copy(r.Resume.Position, first)
	copy(r.Resume.Position, at)
	if err := r.read(ctx, at, func(e *replay.Entry) error { return r.take(ctx, e) }); err != nil {
		return err
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	return r.keep(ctx)
}

func (r *Rebuild) take(ctx context.Context, e *replay.Entry) error {
	r.now.Records++
	msgs, err := r.wantedOf(e)
	if err != nil {
		return err
	}
	if len(msgs) == 0 {
		r.now.Skipped++
	} else {
		r.msgs = append(r.msgs, msgs...)
		r.bytes += len(e.Value)
	}
	for i := range msgs {
		if f := msgs[i].Frame; f != nil {
			r.now.Frames++
			r.now.Cells += int64(len(f.Cells))
		}
	}
	for len(r.Resume.Position) <= e.Partition {
		r.Resume.Position = append(r.Resume.Position, 0)
	}
	r.Resume.Position[e.Partition] = e.Offset + 1
	if r.bytes < cmp.Or(r.step, rebuildBytes) {
		return nil
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	if r.unkept < cmp.Or(r.step, settleBytes) {
		return nil
	}
	return r.keep(ctx)
}

// wantedOf returns what of a record goes to the hub.
func (r *Rebuild) wantedOf(e *replay.Entry) ([]node.Decoded, error) {
	w, ok := parseKey(e.Key)
	if !ok || !r.wanted(w, e.Kind) {
		return nil, nil
	}
	d, err := decode(e)
	switch {
	case err != nil:
		return nil, err
	case d.Frame != nil && r.Region != "" && d.Frame.Origin.Region != r.Region,
		e.Kind == replay.KindSnapshotPart && !r.snaps.vouches(w, &d):
		return nil, nil
	case r.filter == nil:
		return []node.Decoded{d}, nil
	}
	msgs, err := r.filter.Take(d)
	r.now.Unnamed = r.filter.Unnamed
	return msgs, err
}

func decode(e *replay.Entry) (node.Decoded, error) {
	d, err := node.Decode(append([]byte(nil), e.Value...))
	if err != nil {
		err = fmt.Errorf("record %d of partition %d: %w", e.Offset, e.Partition, err)
	}
	return d, err
}

// wanted reports whether a record has what no whole snapshot has.
func (r *Rebuild) wanted(w writer, k replay.Kind) bool {
	if k == replay.KindFrame || k == replay.KindSnapshotPart {
		return !r.snaps.contains(w)
	}
	return k == replay.KindPublication
}

// flush gives the hub what was collected.
func (r *Rebuild) flush(ctx context.Context) error {
	for try := 1; len(r.msgs) > 0; try++ {
		res := r.Into.Replay(ctx, r.msgs)
		switch {
		case res.Err == nil:
			r.Resume.Ahead += res.Ahead
			r.unkept += r.bytes
			clear(r.msgs)
			r.msgs, r.bytes = r.msgs[:0], 0
			if r.Moved != nil {
				r.Moved(r.now)
			}
			return nil
		case !errors.Is(res.Err, node.ErrBusy) && try >= tries:
			return res.Err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(busyPause):
		}
	}
	return nil
}

// keep makes the position durable, once all before it is.
func (r *Rebuild) keep(ctx context.Context) error {
	r.unkept = 0
	if err := r.Into.Settle(ctx); err != nil || r.Keep == nil {
		return err
	}
	return r.Keep(r.Resume)
}
