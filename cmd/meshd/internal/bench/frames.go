package bench

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"meshd/crdt"
	"meshd/node"
)

// edgeFrames are the frames that the edges of a hub send, which several measurements begin with.
type edgeFrames struct {
	edges, series, changed, frames int
	seed                           uint64
}

func (b *edgeFrames) bind(fs *pflag.FlagSet, frames int) {
	fs.IntVar(&b.edges, "edges", 16, "`number` of edges, a session each")
	fs.IntVar(&b.series, "series", 10_000, "`number` of series that every edge counts, the same ones")
	fs.IntVar(&b.changed, "changed", 1000, "`number` of cells in a frame")
	fs.IntVar(&b.frames, "frames", frames, "`number` of frames of each edge")
	fs.Uint64Var(&b.seed, "seed", 1, "`number` that values and choices come from")
}

func (b *edgeFrames) check() error {
	if b.edges < 1 || b.series < 1 || b.changed < 1 || b.changed > b.series || b.frames < 1 {
		return errors.New("--edges, --series, --changed and --frames must be at least 1, --changed at most --series")
	}
	return nil
}

// scripts writes what each edge sends.
func (b *edgeFrames) scripts() ([]*script, error) {
	all := make([]*script, b.edges)
	for i := range all {
		m := merge{series: b.series, changed: b.changed, frames: b.frames, seed: b.seed + uint64(i)}
		var err error
		if all[i], err = m.script(fmt.Sprintf("edge-%d", i), node.NewIncarnation(), crdt.KindCounter, b.series, b.changed); err != nil {
			return nil, err
		}
	}
	return all, nil
}
