package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Bench is one measurement.
type Bench struct {
	Name, Summary string
	// bind adds the flags of the measurement and returns the job that they will describe.
	bind func(fs *pflag.FlagSet) job
	// quick are the values of flags that were not given, by name, if --quick is.
	quick map[string]string
}

// List returns all measurements in the order of the help.
func List() []Bench {
	return []Bench{
		truthBench(), visibilityBench(), wireBench(), memoryBench(), ingestBench(), mergeBench(), diskBench(), churnBench(), queryBench(),
		edgesBench(), fanInBench(), reconnectBench(), durableBench(), replayBench(), eventsBench(),
	}
}

// job is a measurement whose flags are bound.
type job interface {
	// check refuses flags that make no sense, once they are parsed.
	check() error
	// measure runs the measurement.
	measure(ctx context.Context, r *run) (*Report, error)
}

// Options are what all measurements have in common.
type Options struct {
	quick, keep bool
	dir         string
	b           Bench
	job         job
}

// Bind adds all flags of b to fs. Once they are parsed, Run measures.
func (b Bench) Bind(fs *pflag.FlagSet) *Options {
	o := &Options{b: b, job: b.bind(fs)}
	fs.BoolVar(&o.quick, "quick", false, "a short run that shows that it works, not how well")
	fs.BoolVar(&o.keep, "keep", false, "leave the nodes' data and logs behind; after a failure they always are")
	fs.StringVar(&o.dir, "dir", "", "`folder` to make the temporary one in (default the system's)")
	return o
}

// Prepare completes and checks the flags once they are parsed; its errors are about how the command was written.
func (o *Options) Prepare(fs *pflag.FlagSet) error {
	for name, value := range o.b.quick {
		if !o.quick || fs.Changed(name) {
			continue
		}
		if err := fs.Set(name, value); err != nil {
			return fmt.Errorf("bench %s: %w", o.b.Name, err)
		}
	}
	if err := o.job.check(); err != nil {
		return fmt.Errorf("bench %s: %w", o.b.Name, err)
	}
	return nil
}

// Run measures until it is done or ctx ends, and says on progress how far it is. executable runs nodes; command is what
// the report says to type for the same again. Everything on disk is removed, unless it is to be kept or something
// failed that it may explain.
func (o *Options) Run(ctx context.Context, executable, command string, progress io.Writer) (*Report, error) {
	dir, err := os.MkdirTemp(o.dir, "meshd-bench-")
	if err != nil {
		return nil, fmt.Errorf("bench %s: %w", o.b.Name, err)
	}
	r := &run{executable: executable, dir: dir, progress: progress, name: o.b.Name}
	machine, started := thisMachine(), time.Now() // the load of others, not our own
	report, err := o.job.measure(ctx, r)
	failed := err != nil || len(report.Wrong) > 0
	if ctx.Err() != nil {
		err, failed = context.Cause(ctx), false
	}
	if o.keep || failed {
		fmt.Fprintf(progress, "%s: data and logs are in %s\n", o.b.Name, dir)
	} else if rmErr := os.RemoveAll(dir); err == nil {
		err = rmErr
	}
	if err != nil {
		return nil, fmt.Errorf("bench %s: %w", o.b.Name, err)
	}
	report.Bench, report.Machine, report.Command = o.b.Name, machine, command
	report.Started, report.Seconds = started.UTC().Truncate(time.Second), round(time.Since(started).Seconds(), 1)
	return report, nil
}

// run is one measurement under way.
type run struct {
	name       string
	executable string
	dir        string // exists, for whatever the measurement leaves on disk
	progress   io.Writer
}

// say reports progress.
func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.progress, "%s: %s\n", r.name, strings.TrimSuffix(fmt.Sprintf(format, args...), "\n"))
}
