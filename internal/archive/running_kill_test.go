package archive

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"meshd/node"
	"meshd/replay"
)

// backwards is a log whose records come the newest first, as those of several partitions may.
type backwards struct{ replay.Log }

func (l backwards) Read(ctx context.Context, from replay.Position, f func(*replay.Entry) error) (replay.Position, error) {
	var all []replay.Entry
	if _, err := l.Log.Read(ctx, nil, func(e *replay.Entry) error {
		c := *e
		c.Key, c.Value = slices.Clone(e.Key), slices.Clone(e.Value)
		all = append(all, c)
		return nil
	}); err != nil {
		return nil, err
	}
	slices.Reverse(all)
	for i := range all {
		all[i].Partition, all[i].Offset = 0, int64(i)
		if len(from) > 0 && int64(i) < from[0] {
			continue
		}
		if err := f(&all[i]); err != nil {
			return nil, err
		}
	}
	return replay.Position{int64(len(all))}, nil
}

// errDied is what a feeder hears of a hub that was killed.
var errDied = errors.New("killed")

// mortal is a hub that counts while it is fed, and dies after some parts.
type mortal struct {
	*hub
	parts int
}

func (m *mortal) Replay(ctx context.Context, msgs []node.Decoded) node.Result {
	if m.parts == 0 {
		return node.Result{Err: errDied}
	}
	res := m.node.Replay(ctx, msgs)
	if m.parts--; m.parts == 0 { // at once: what it joined is not summed up yet
		m.close()
	}
	return res
}

func (m *mortal) Settle(ctx context.Context) error { return counting{m.node}.Settle(ctx) }

// TestAHubThatDiesWhileItIsFedGetsTheRest: the next feeding goes on where the one before was, in any order of the log, and in the end
// totals and windows are those of the hub that wrote the log.
func TestAHubThatDiesWhileItIsFedGetsTheRest(t *testing.T) {
	logDir := filepath.Join(t.TempDir(), "log")
	h := openHub(t, t.TempDir())
	stop := writing(t, h, func(context.Context) (replay.Log, error) { return embedded(t, logDir, false), nil })
	rng := rand.New(rand.NewPCG(12, 12))
	for range 20 {
		h.count(rng, 50)
	}
	h.published(h.old)
	h.whole()
	to := time.Now().Add(-30 * time.Second).UnixMilli()
	want, wantWindows, old := h.totals(), h.windows(to), h.old
	stop()
	h.close()
	log := embedded(t, logDir, true)
	defer func() { _ = log.Close() }() // it was read only
	for name, from := range map[string]replay.Log{"in order": log, "backwards": backwards{log}} {
		dir := t.TempDir()
		var resume Resume
		deaths := 0
		for parts := 1; ; parts *= 4 {
			m := &mortal{hub: openHub(t, dir), parts: parts}
			_, err := (&Rebuild{Log: from, Into: m, Resume: resume, step: 1, Keep: func(at Resume) error {
				resume = Resume{Position: at.Position.Clone(), Ahead: at.Ahead, Before: at.Before}
				return nil
			}}).Run(t.Context())
			if err == nil && m.parts > 0 {
				m.published(old)
				mustEqual(t, name+": totals", want, m.totals())
				mustEqual(t, name+": windows", wantWindows, m.windows(to))
				m.close()
				break
			}
			if err != nil && !errors.Is(err, errDied) {
				t.Fatal(err)
			}
			deaths++
		}
		if deaths == 0 {
			t.Errorf("%s: the hub never died", name)
		}
	}
}
