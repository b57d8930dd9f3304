package simulate

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"meshd/simulations"
)

// Progress shows how far a run is: on a terminal one line that is drawn again, elsewhere a line now and then.
type Progress struct {
	out    io.Writer
	tty    bool
	began  time.Time
	last   time.Time
	events int
	drawn  bool
}

// NewProgress shows progress on f.
func NewProgress(f *os.File) *Progress {
	st, err := f.Stat()
	return &Progress{out: f, tty: err == nil && st.Mode()&os.ModeCharDevice != 0, began: time.Now(), last: time.Now()}
}

// Step draws what a world is at, at most five times a second on a terminal and every ten seconds elsewhere.
func (p *Progress) Step(w *simulations.World, plan *simulations.Plan) {
	pause := 10 * time.Second
	if p.tty {
		pause = 200 * time.Millisecond
	}
	took := time.Since(p.last)
	if took < pause {
		return
	}
	n := w.Stats().Events
	line := line(w, plan, float64(n-p.events)/took.Seconds())
	p.last, p.events = time.Now(), n
	if p.tty {
		fmt.Fprintf(p.out, "\r\x1b[K%s", line)
		p.drawn = true
		return
	}
	fmt.Fprintln(p.out, line)
}

func line(w *simulations.World, plan *simulations.Plan, rate float64) string {
	const width = 24
	safety := time.Duration(plan.Safety) * time.Millisecond
	share := min(w.Now().Seconds()/safety.Seconds(), 1)
	bar := strings.Repeat("#", int(share*width)) + strings.Repeat(".", width-int(share*width))
	phase := "faults and writes"
	if w.Healed() {
		phase = "healed, converging"
	}
	state := "all promises kept"
	if !w.Sane() {
		state = "A PROMISE IS BROKEN"
	}
	return fmt.Sprintf("[%s] %s of %s, %s, %.0f events/s, %s", bar, w.Now().Round(100*time.Millisecond), safety, phase, rate, state)
}

// Close ends the line on a terminal.
func (p *Progress) Close() {
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
