package bench

import (
	"context"
	"fmt"
	"os"
	"time"

	"meshd/cmd/meshd/internal/cluster"
)

// diskStep is one thing done to disks, and what all nodes answered afterwards: right away, and after more was counted.
type diskStep struct {
	What    string    `json:"what"`
	Truth   int64     `json:"truth"`
	Answers []settled `json:"answers"`
	ExactMs float64   `json:"exact_after_ms"` // from the end of the step's load
}

type disksDetail struct {
	Steps []diskStep `json:"steps"`
	tally
}

// truthDisks loses, rolls back and copies disks. Everything that was acknowledged had reached a hub each time, so that
// nothing may be missing, and nothing may count twice.
func truthDisks(ctx context.Context, r *run, f *truthFlags) (*Report, error) {
	m, err := r.startMesh(ctx, twoRegions)
	if err != nil {
		return nil, err
	}
	defer m.Stop()
	d := &disks{m: m, f: f, sender: newSender(f.workers)}
	defer d.sender.close()
	d.batches = newBatcher(diskMetric, m.Nodes(), true, f.seed)
	const (
		edge, copied = "east-edge-2", "west-edge-1"
		hub          = "east-hub-1"
	)
	backup := d.m.Data(edge) + ".backup"
	steps := []struct {
		what string
		do   func() error
	}{
		{"nothing yet", func() error { return nil }},
		{"backed up " + edge, func() error { return d.backUp(ctx, edge, backup) }},
		{"wiped " + hub, func() error { return d.restart(ctx, hub, os.RemoveAll) }},
		{"put the backup back into " + edge, func() error {
			return d.restart(ctx, edge, func(data string) error { return copyOver(data, backup) })
		}},
		{"copied " + copied + ", both live", func() error { return d.clone(ctx, copied) }},
		{"restarted both with what each wrote", func() error {
			if err := d.restart(ctx, copied+copySuffix, nil); err != nil {
				return err
			}
			return d.restart(ctx, copied, nil)
		}},
	}
	for _, s := range steps {
		if err := d.step(ctx, s.what, s.do); err != nil {
			return nil, fmt.Errorf("%s: %w", s.what, err)
		}
	}
	d.detail.tally = d.sender.counts()
	d.detail.wrongCounts(&d.verdict, diskMetric)
	return truthReport(d.deviation, d.detail, &d.verdict), nil
}

const (
	diskMetric = "truth.disks"
	copySuffix = "-copy"
)

// disks is the scenario under way.
type disks struct {
	m         *mesh
	f         *truthFlags
	sender    *sender
	batches   *batcher
	verdict   verdict
	detail    disksDetail
	truth     int64
	deviation int64
}

// step does something, expects that the total did not change, counts more at every node, and expects that too.
func (d *disks) step(ctx context.Context, what string, do func() error) error {
	d.m.run.say("%s", what)
	if err := do(); err != nil {
		return err
	}
	d.expect(ctx, what, time.Now())
	more, sum := d.batches.batches(d.f.events, d.f.batch)
	load := &flow{sender: d.sender, workers: d.f.workers, over: d.f.over / 4}
	if err := load.run(ctx, more); err != nil {
		return err
	}
	d.truth += sum
	d.expect(ctx, what+", then counted on", time.Now())
	again, err := d.m.stillExact(ctx, diskMetric, d.truth)
	wrongAnswers(&d.verdict, what+", some seconds later", d.truth, again)
	return err
}

// expect waits until all nodes answer the truth and notes those that do not.
func (d *disks) expect(ctx context.Context, what string, since time.Time) {
	s := diskStep{What: what, Truth: d.truth, Answers: d.m.waitExact(ctx, diskMetric, d.truth, since)}
	deviation, after := farthest(s.Answers)
	s.ExactMs = after
	d.deviation = max(d.deviation, deviation)
	d.detail.Steps = append(d.detail.Steps, s)
	wrongAnswers(&d.verdict, what, d.truth, s.Answers)
}

func (d *disks) restart(ctx context.Context, node string, prepare func(data string) error) error {
	if err := d.m.Restart(node, prepare); err != nil {
		return err
	}
	return d.m.waitReady(ctx, node)
}

// backUp copies a node's disk while the node does not run.
func (d *disks) backUp(ctx context.Context, node, to string) error {
	return d.restart(ctx, node, func(data string) error { return os.CopyFS(to, os.DirFS(data)) })
}

// copyOver replaces a data directory by a copy of another.
func copyOver(data, from string) error {
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	return os.CopyFS(data, os.DirFS(from))
}

// clone starts a second node on a copy of a node's disk, under the same name and with ports of its own. Both count on.
func (d *disks) clone(ctx context.Context, node string) error {
	second := d.m.node(node).Beside(node + copySuffix)
	if err := d.backUp(ctx, node, d.m.Data(second.Name)); err != nil {
		return err
	}
	if err := d.m.Add(second); err != nil {
		return err
	}
	d.batches.nodes = append([]cluster.Node{second}, d.batches.nodes...)
	return d.m.waitReady(ctx, second.Name)
}
