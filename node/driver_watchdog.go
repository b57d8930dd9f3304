package node

import (
	"bytes"
	"context"
	"log/slog"
	"runtime/pprof"
	"sync/atomic"
	"time"
)

const (
	// slowStep is how long a step of the core may take before it is reported. A step takes milliseconds; the largest
	// there are, a commit of a megabyte or a catch-up of four, tens of them on a slow machine.
	slowStep = 2 * time.Second
	// watchEvery is how often the watchdog looks.
	watchEvery = 500 * time.Millisecond
	// maxStack bounds what the log gets of the stacks: some hundred different ones, the core's among them.
	maxStack = 256 << 10
)

// watchdog watches the core's goroutine: a node whose core is stuck in a step answers nobody, and looks alive. It does not
// end the process: the step may be one that ends, and whoever asks /healthz decides.
type watchdog struct {
	began atomic.Int64 // of the step that runs, Unix nanoseconds; 0: none runs
	slow  atomic.Uint64
	log   *slog.Logger
}

func (d *watchdog) begin() { d.began.Store(time.Now().UnixNano()) }
func (d *watchdog) end()   { d.began.Store(0) }

// busy returns for how long the step that runs has run.
func (d *watchdog) busy() time.Duration {
	began := d.began.Load()
	if began == 0 {
		return 0
	}
	return time.Duration(time.Now().UnixNano() - began)
}

// run reports each slow step once while it runs, with all stacks, and how long it took.
func (d *watchdog) run(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var reported int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		began := d.began.Load()
		switch {
		case reported != 0 && began != reported:
			d.log.Warn("the slow step is over", "after", time.Since(time.Unix(0, reported)).Round(watchEvery))
			reported = 0
		case began != 0 && began != reported && d.busy() >= slowStep:
			reported = began
			d.slow.Add(1)
			if d.log.Enabled(ctx, slog.LevelError) {
				d.log.Error("the core is stuck in a step: restart the node if this lasts, and report the stack",
					"for", d.busy().Round(watchEvery), "stack", stacks())
			}
		}
	}
}

// stacks returns the end of a list of all stacks, each once, those of the most goroutines first: the core's is the only one
// of its kind and among the last. It is taken while the others run on. runtime.Stack stops them all until it has been through
// each: at a hub with thousands of sessions for longer than the step that is to be reported.
func stacks() string {
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return err.Error()
	}
	return string(all.Bytes()[max(0, all.Len()-maxStack):])
}
