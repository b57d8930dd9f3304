package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"meshd/buffer"
	"meshd/crdt"
	"meshd/internal/bridge"
	wirefmt "meshd/internal/wire"
	"meshd/node"
)

// durable measures how many changed cells a hub keeps in a second: from the bytes of messages to acknowledgements, which name
// only what is synced to its disk. There is no network in it.
type durable struct {
	edgeFrames
	flush time.Duration
}

func durableBench() Bench {
	return Bench{
		Name: "durable", Summary: "changed cells a second that a hub acknowledges as on its disk, beside a bare fsync",
		bind: func(fs *pflag.FlagSet) job {
			b := &durable{}
			b.bind(fs, 400)
			fs.DurationVar(&b.flush, "flush", 100*time.Millisecond, "`pause` between two acknowledgements to an edge")
			return b
		},
		quick: map[string]string{"edges": "2", "series": "500", "changed": "100", "frames": "20"},
	}
}

func (b *durable) check() error {
	if b.flush < 10*time.Millisecond {
		return errors.New("--flush must be at least 10ms")
	}
	return b.edgeFrames.check()
}

// durableBar is how many cells a second are to be durable.
const durableBar = 2_000_000

type durableDetail struct {
	Cells        int     `json:"cells"`
	BytesPerCell float64 `json:"frame_bytes_per_cell"`
	Seconds      float64 `json:"seconds"` // from the first message to the last acknowledgement
	Commits      int     `json:"synced_commits"`
	CommitShare  float64 `json:"commit_share"` // of the time in which a commit was under way
	RawBytes     float64 `json:"raw_bytes_per_second"`
	Bar          float64 `json:"bar_at_least"`
	Met          bool    `json:"bar_met"`
}

func (b *durable) measure(ctx context.Context, r *run) (_ *Report, err error) {
	raw, err := (&disk{bytes: commitBytes, seconds: 2 * time.Second}).raw(ctx, r.dir)
	if err != nil {
		return nil, err
	}
	scripts, err := b.scripts()
	if err != nil {
		return nil, err
	}
	var d durableDetail
	bytes := 0
	for _, s := range scripts {
		d.Cells, bytes = d.Cells+s.cells, bytes+s.bytes
	}
	r.say("%d frames of %d edges are prepared", b.frames*b.edges, b.edges)
	h, err := b.openHub(ctx, r.dir, 1)
	if err != nil {
		return nil, err
	}
	took, err := h.feed(ctx, scripts)
	d.Commits, d.CommitShare = h.disk.commits, round(h.disk.busy.Seconds()/took.Seconds(), 2)
	if err = errors.Join(err, h.sameTotal(ctx, scripts), h.close()); err != nil {
		return nil, err
	}
	if h, err = b.openHub(ctx, r.dir, 2); err != nil { // what was acknowledged must be on the disk
		return nil, err
	}
	if err = errors.Join(h.sameTotal(ctx, scripts), h.close()); err != nil {
		return nil, fmt.Errorf("after a start: %w", err)
	}
	perCell := float64(bytes) / float64(d.Cells)
	d.BytesPerCell, d.Seconds, d.RawBytes = round(perCell, 2), round(took.Seconds(), 2), round(raw.PerSecond*commitBytes, 0)
	rate := round(float64(d.Cells)/took.Seconds(), 0)
	d.Bar, d.Met = durableBar, rate >= durableBar
	return newReport(
		Quantity{rate, "cells/s", fmt.Sprintf("acknowledged as durable to %d edges, frames of %d, in %d synced commits", b.edges, b.changed, d.Commits)},
		-1, Quantity{round(d.RawBytes/perCell, 0), "cells/s", "the same bytes appended to a file, synced every MiB"}, d), nil
}

// commitBytes is how much a hub writes in one commit when more waits.
const commitBytes = 1 << 20

// durableHub is a real hub on a real disk whose edges are messages and what it answers them.
type durableHub struct {
	node  *node.Node
	store *buffer.Store
	disk  *timedDisk
	acks  *acks
	end   context.CancelFunc
	done  chan error
}

func (b *durable) openHub(ctx context.Context, dir string, process byte) (*durableHub, error) {
	store, err := buffer.Open(buffer.Config{Dir: filepath.Join(dir, "data"), Mesh: pairMesh, Region: pairRegion, Node: "hub", MemoryBytes: 1 << 30})
	if err != nil {
		return nil, err
	}
	h := &durableHub{store: store, disk: &timedDisk{Store: bridge.Disk{Store: store}}, acks: newAcks(), done: make(chan error, 1)}
	h.node, err = node.New(node.Config{
		Mesh: pairMesh, Store: h.disk, Transport: h.acks, Logger: slog.New(slog.DiscardHandler),
		Core: node.CoreConfig{
			Region: pairRegion, Node: "hub", Role: node.RoleHub, Inc: node.NewIncarnation(), Nonce: [16]byte{process}, Flush: b.flush.Milliseconds(),
		},
	})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	ctx, h.end = context.WithCancel(context.WithoutCancel(ctx))
	go func() { h.done <- h.node.Run(ctx) }()
	return h, nil
}

func (h *durableHub) close() error {
	h.end()
	return errors.Join(<-h.done, h.store.Close())
}

// feed sends all frames of all edges as fast as the hub takes them and returns how long it took until all were acknowledged.
// Definitions go before.
func (h *durableHub) feed(ctx context.Context, scripts []*script) (time.Duration, error) {
	for i, s := range scripts {
		peer := uint64(i) + 1
		h.node.PeerUp(peer, node.PeerInfo{Region: s.origin.Region, Node: s.origin.Node, Role: node.RoleEdge, Inc: s.origin.Inc})
		for _, m := range []wirefmt.Message{
			&wirefmt.Hello{Nonce: [16]byte{3, byte(i), byte(i >> 8)}, WallMs: time.Now().UnixMilli(), Inc: s.origin.Inc},
			&wirefmt.Marks{Full: true}, &wirefmt.FrameMsg{Raw: s.first},
		} {
			if err := h.say(peer, m); err != nil {
				return 0, err
			}
		}
	}
	if err := h.acks.await(ctx, scripts, 1); err != nil {
		return 0, err
	}
	h.disk.reset()
	began := time.Now()
	errs := make([]error, len(scripts))
	var all sync.WaitGroup
	for i, s := range scripts {
		all.Go(func() {
			for _, raw := range s.frames {
				if errs[i] = errors.Join(h.say(uint64(i)+1, &wirefmt.FrameMsg{Raw: raw}), ctx.Err()); errs[i] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	err := h.acks.await(ctx, scripts, uint64(len(scripts[0].frames))+1)
	return time.Since(began), err
}

func (h *durableHub) say(peer uint64, m wirefmt.Message) error {
	msg, err := wirefmt.AppendMessage(nil, m)
	if err == nil {
		h.node.Message(peer, msg)
	}
	return err
}

// sameTotal compares what the hub answers with what the edges counted.
func (h *durableHub) sameTotal(ctx context.Context, scripts []*script) error {
	t, err := h.node.Totals(ctx, node.Select{})
	if err != nil {
		return err
	}
	var got, want crdt.Fixed
	for i := range t.Rows {
		if t.Rows[i].Series.Name == "bench.merge" {
			got, _ = got.Add(t.Rows[i].Value.P)
		}
	}
	for _, s := range scripts {
		want, _ = want.Add(s.total.P)
	}
	if got != want {
		return fmt.Errorf("the hub answers %v, the edges counted %v", got, want)
	}
	return nil
}

// timedDisk counts the commits of the hub's only committer.
type timedDisk struct {
	node.Store
	mu      sync.Mutex
	commits int
	busy    time.Duration
}

// Commit implements node.Store.
func (d *timedDisk) Commit(ops []node.Op) error {
	began := time.Now()
	err := d.Store.Commit(ops)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commits++
	d.busy += time.Since(began)
	return err
}

func (d *timedDisk) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commits, d.busy = 0, 0
}
