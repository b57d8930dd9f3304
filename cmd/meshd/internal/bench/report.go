package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Report is what a measurement prints. Its fields are public: they are only ever added to.
type Report struct {
	Bench    string   `json:"bench"`
	Figure   Quantity `json:"figure"`
	Bar      *Bar     `json:"bar"` // null: there is none
	Met      *bool    `json:"met"` // null: there is no bar
	RawLimit Quantity `json:"raw_limit"`
	// Wrong lists counts that broke a promise; any makes the command fail.
	Wrong   []string  `json:"wrong"`
	Detail  any       `json:"detail"`
	Machine Machine   `json:"machine"`
	Command string    `json:"command"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
}

// Quantity is a number and what it is one of.
type Quantity struct {
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Of    string  `json:"of"`
}

// Bar is what a figure is held to: one of the two.
type Bar struct {
	AtMost  *float64 `json:"at_most,omitempty"`
	AtLeast *float64 `json:"at_least,omitempty"`
	Unit    string   `json:"unit"`
}

func (b *Bar) String() string {
	if b.AtLeast != nil {
		return fmt.Sprintf("at least %.6g %s", *b.AtLeast, b.Unit)
	}
	return fmt.Sprintf("at most %.6g %s", *b.AtMost, b.Unit)
}

// newReport holds figure to at most bar; a negative bar is none.
func newReport(figure Quantity, bar float64, limit Quantity, detail any) *Report {
	r := &Report{Figure: figure, RawLimit: limit, Detail: detail, Wrong: []string{}}
	if bar >= 0 {
		met := figure.Value <= bar
		r.Bar, r.Met = &Bar{AtMost: &bar, Unit: figure.Unit}, &met
	}
	return r
}

// atLeast holds the figure to a bar that it has to reach.
func (r *Report) atLeast(bar float64) {
	met := r.Figure.Value >= bar
	r.Bar, r.Met = &Bar{AtLeast: &bar, Unit: r.Figure.Unit}, &met
}

// wrong notes a count that broke a promise.
func (r *Report) wrong(format string, args ...any) {
	r.Wrong = append(r.Wrong, fmt.Sprintf(format, args...))
}

// miss notes that a further bar, part of detail, was missed.
func (r *Report) miss(missed bool) {
	if missed {
		*r.Met = false
	}
}

// Line is the report for people.
func (r *Report) Line() string {
	s := fmt.Sprintf("%s: %.6g %s (%s)", r.Bench, r.Figure.Value, r.Figure.Unit, r.Figure.Of)
	if r.Bar != nil {
		verdict := "met"
		if !*r.Met {
			verdict = "MISSED"
		}
		s += fmt.Sprintf("; bar %s: %s", r.Bar, verdict)
	}
	if r.RawLimit.Of != "" {
		s += fmt.Sprintf("; raw limit %.6g %s (%s)", r.RawLimit.Value, r.RawLimit.Unit, r.RawLimit.Of)
	}
	lines := []string{s}
	for _, w := range r.Wrong {
		lines = append(lines, r.Bench+": WRONG: "+w)
	}
	return strings.Join(lines, "\n")
}

// round keeps digits behind the point: more would only look exact.
func round(x float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(x*scale) / scale
}

// ms is d in milliseconds.
func ms(d time.Duration) float64 { return round(float64(d)/float64(time.Millisecond), 1) }

// spread is a distribution of times, in milliseconds.
type spread struct {
	Samples int     `json:"samples"`
	P50     float64 `json:"p50_ms"`
	P90     float64 `json:"p90_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

// newSpread sorts times in place. Quantiles are by nearest rank.
func newSpread(times []time.Duration) spread {
	if len(times) == 0 {
		return spread{}
	}
	slices.Sort(times)
	at := func(q float64) float64 { return ms(times[max(0, int(math.Ceil(q*float64(len(times))))-1)]) }
	return spread{len(times), at(0.5), at(0.9), at(0.99), at(1)}
}
