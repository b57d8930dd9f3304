package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/suggest"
)

// truthFlags are what the scenarios are told.
type truthFlags struct {
	scenario string
	events   int
	batch    int
	workers  int
	over     time.Duration // of the load
	cut      time.Duration // of scenario cut
	rounds   int           // of scenario kill
	seed     uint64
}

// scenario is one way to make things go wrong.
type scenario struct {
	name string
	do   func(context.Context, *run, *truthFlags) (*Report, error)
}

func scenarios() []scenario {
	return []scenario{{"faults", truthFaults}, {"cut", truthCut}, {"kill", truthKill}, {"disks", truthDisks}}
}

func truthBench() Bench {
	return Bench{
		Name: "truth", Summary: "count a known total through ten nodes while links, nodes and disks fail",
		bind: func(fs *pflag.FlagSet) job {
			f := &truthFlags{}
			fs.StringVar(&f.scenario, "scenario", "faults", "`faults|cut|kill|disks`: everything twice, a kill and cuts; "+
				"a region cut off for long; kills in a row; wiped, old and copied disks")
			fs.IntVar(&f.events, "events", 20_000, "`number` of events of each load")
			fs.IntVar(&f.batch, "batch", 100, "`number` of events in a request")
			fs.IntVar(&f.workers, "workers", 16, "`number` of requests under way at once")
			fs.DurationVar(&f.over, "over", 10*time.Second, "`time` that a load is spread over")
			fs.DurationVar(&f.cut, "cut", time.Minute, "`time` that the region is cut off in scenario cut")
			fs.IntVar(&f.rounds, "rounds", 20, "`number` of kills in scenario kill")
			fs.Uint64Var(&f.seed, "seed", 1, "`number` that values, order and moments come from")
			return f
		},
		quick: map[string]string{"events": "2000", "batch": "20", "over": "3s", "cut": "4s", "rounds": "3"},
	}
}

func (f *truthFlags) check() error {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	switch {
	case !slices.Contains(names, f.scenario):
		return fmt.Errorf("--scenario %q: want %s%s", f.scenario, strings.Join(names, ", "), suggest.Hint(f.scenario, names))
	case f.events < 1 || f.workers < 1 || f.rounds < 1:
		return errors.New("--events, --workers and --rounds must be at least 1")
	case f.batch < 1 || f.batch > sourceEvents:
		return fmt.Errorf("--batch %d: want 1 to %d", f.batch, sourceEvents)
	}
	return nil
}

func (f *truthFlags) measure(ctx context.Context, r *run) (*Report, error) {
	for _, s := range scenarios() {
		if s.name == f.scenario {
			return s.do(ctx, r, f)
		}
	}
	return nil, f.check()
}

// verdict collects what was wrong while a scenario runs.
type verdict struct{ wrong []string }

func (v *verdict) add(format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
}

// truthReport is the report of a scenario: the figure is the largest deviation of any node at the end.
func truthReport(deviation int64, detail any, v *verdict) *Report {
	rep := newReport(
		Quantity{float64(deviation), "counted", "largest |answer - truth| of any node"}, 0,
		Quantity{0, "counted", "nothing is closer than exact"}, detail)
	slices.Sort(v.wrong)
	rep.Wrong = append(rep.Wrong, v.wrong...)
	return rep
}

// wrongAnswers notes every answer that is not the truth.
func wrongAnswers(v *verdict, phase string, truth int64, answers []settled) {
	for _, s := range answers {
		if s.Error != 0 {
			v.add("%s: %s answers %d, %+d from the truth %d", phase, s.Node, s.Answer, s.Error, truth)
		}
	}
}
