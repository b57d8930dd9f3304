package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/simulate"
)

const simulateUsage = "simulate [flags]      tries a mesh on paper: real nodes' logic, simulated networks, disks and clocks"

// simulation is a call of `meshd simulate`.
type simulation struct {
	mesh   simulate.Mesh
	faults string
	report string
	asJSON bool
	fs     *pflag.FlagSet
}

func newSimulation() *simulation {
	s := &simulation{fs: pflag.NewFlagSet("meshd simulate", pflag.ContinueOnError)}
	fs, m := s.fs, &s.mesh
	fs.SortFlags = false
	fs.Usage = func() {}
	fs.IntVar(&m.Nodes, "nodes", 0, "hubs and edges together (default 20)")
	fs.IntVar(&m.Regions, "regions", 0, "regions, on a table of real round-trip times (default 4, at most 20)")
	fs.IntVar(&m.Hubs, "hubs", 0, "hubs of each region (default 2)")
	fs.Var((*virtual)(&m.Duration), "duration", "virtual `time` with writes and faults (default 1m)")
	fs.Uint64Var(&m.Seed, "seed", 0, "what decides everything that is left to chance (default: drawn and shown)")
	fs.StringVar(&s.faults, "faults", "", "`file` with a schedule of faults, see simulations/schedules")
	fs.StringVar(&s.report, "report", "", "write an HTML page with charts to `file`")
	fs.BoolVar(&s.asJSON, "json", false, "print the result as JSON")
	fs.Var((*virtual)(&m.Flush), "flush", "`time` between two flushes to a peer (default 100ms)")
	fs.Float64Var(&m.Loss, "loss", 0, "`share` of messages that are lost at first")
	fs.IntVar(&m.Series, "series", 0, "series that edges count (default 20)")
	fs.IntVar(&m.Change, "change", 0, "series that one write of an edge changes (default 5)")
	fs.Var((*virtual)(&m.Every), "every", "`time` between two writes of an edge (default: the flush, at least 1s)")
	fs.Float64Var(&m.Reads, "reads", 0, "answers checked in a virtual second, in the whole mesh (default 100)")
	fs.BoolVar(&m.Spread, "spread", false, "follow every update to every node: each edge writes a series of its own")
	return s
}

// virtual is a flag that knows days.
type virtual time.Duration

func (v *virtual) String() string { return "" }
func (v *virtual) Type() string   { return "time" }
func (v *virtual) Set(s string) error {
	d, err := simulate.ParseDuration(s)
	*v = virtual(d)
	return err
}

// runSimulate is `meshd simulate`: exit code 1 if a promise was broken.
func runSimulate(args []string, out io.Writer) error {
	s := newSimulation()
	if err := parse(s.fs, simulateUsage, args, out); err != nil {
		return err
	}
	if s.fs.NArg() > 0 {
		return usagef("simulate: unexpected argument %q", s.fs.Arg(0))
	}
	if err := s.prepare(); err != nil {
		return usagef("simulate: %w", err)
	}
	if s.mesh.Nodes <= 2000 { // a run lives on short-lived messages; larger ones need the memory for what they hold
		debug.SetGCPercent(400)
	}
	show := simulate.NewProgress(os.Stderr)
	run, err := simulate.Start(s.mesh, show.Step)
	show.Close()
	if err != nil {
		return usagef("simulate: %w", err)
	}
	res := run.Result(s.replay())
	if s.report != "" {
		if err := writeFile(s.report, run, res); err != nil {
			return fmt.Errorf("simulate: --report: %w", err)
		}
	}
	if s.asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(res)
	} else {
		err = res.Render(out)
	}
	if err == nil && len(res.Violations) > 0 {
		err = fmt.Errorf("simulate: %s was broken; run it again with: %s", res.Violations[0].Rule, res.Replay)
	}
	return err
}

// prepare reads the schedule and draws a seed where none was given. Flags go before what the schedule proposes.
func (s *simulation) prepare() error {
	if s.faults != "" {
		f, err := os.Open(s.faults)
		if err != nil {
			return fmt.Errorf("--faults: %w", err)
		}
		schedule, err := simulate.ParseSchedule(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("--faults: %s: %w", s.faults, err)
		}
		s.mesh = s.mesh.Or(&schedule.Mesh)
		s.mesh.Schedule = schedule
	}
	if !s.fs.Changed("seed") {
		s.mesh.Seed = rand.Uint64N(1 << 32)
	}
	if _, err := s.mesh.Plan(); err != nil {
		if s.faults != "" && strings.HasPrefix(err.Error(), "line ") {
			return fmt.Errorf("--faults: %s: %w", s.faults, err)
		}
		return err
	}
	return nil
}

// replay is the command that runs exactly this again.
func (s *simulation) replay() string {
	words := []string{"meshd simulate"}
	s.fs.VisitAll(func(f *pflag.Flag) {
		if f.Changed && f.Name != "json" && f.Name != "report" && f.Name != "seed" {
			switch v := f.Value.(type) {
			case *virtual:
				words = append(words, fmt.Sprintf("--%s %s", f.Name, time.Duration(*v)))
			default:
				words = append(words, fmt.Sprintf("--%s=%s", f.Name, quoted(f.Value.String())))
			}
		}
	})
	return strings.Join(append(words, fmt.Sprintf("--seed %d", s.mesh.Seed)), " ")
}

// quoted makes a word that a shell takes as one.
func quoted(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-%:") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func writeFile(name string, run *simulate.Run, res *simulate.Result) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(run.WriteHTML(f, res), f.Close())
}
