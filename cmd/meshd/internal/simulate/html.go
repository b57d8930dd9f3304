package simulate

import (
	_ "embed"
	"encoding/json"
	"html/template"
	"io"
	"slices"
	"strings"

	"meshd/simulations"
)

//go:embed report.html
var page string

// chartData is what the page's script draws: one array per line, all as long as T.
type chartData struct {
	T      []float64          `json:"t"` // seconds of virtual time
	Truth  []float64          `json:"truth"`
	Low    []float64          `json:"low"`
	Middle []float64          `json:"middle"`
	High   []float64          `json:"high"`
	AgeMid []float64          `json:"age_mid"`
	AgeMax []float64          `json:"age_max"`
	Rates  map[string][]int64 `json:"rates"` // bytes a second since the sample before, by class of links
	Faults []span             `json:"faults"`
	Healed float64            `json:"healed"`
}

// span is a fault in the time that it was active.
type span struct {
	Kind string  `json:"kind"`
	What string  `json:"what"`
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

func (r *Run) chart() *chartData {
	d := &chartData{Rates: map[string][]int64{}, Faults: []span{}, Healed: r.Mesh.Duration.Seconds()}
	var before Sample
	for i := range r.Samples {
		s := &r.Samples[i]
		d.T, d.Truth = append(d.T, s.At.Seconds()), append(d.Truth, s.Truth)
		d.Low, d.Middle, d.High = append(d.Low, s.Low), append(d.Middle, s.Middle), append(d.High, s.High)
		d.AgeMid, d.AgeMax = append(d.AgeMid, s.Age[0]), append(d.AgeMax, s.Age[1])
		for c, name := range simulations.LinkNames {
			rate := int64(0)
			if dt := (s.At - before.At).Seconds(); dt > 0 {
				rate = int64(float64(s.Bytes[c]-before.Bytes[c]) / dt)
			}
			d.Rates[name] = append(d.Rates[name], rate)
		}
		before = *s
	}
	from, to := r.Plan.Spans()
	for i := range r.Plan.Faults {
		f := &r.Plan.Faults[i]
		d.Faults = append(d.Faults, span{string(f.Kind), r.struck(f), from[i].Seconds(), to[i].Seconds()})
	}
	return d
}

// struck says whom a fault struck: a set that a schedule has a name for by that, others by their names.
func (r *Run) struck(f *simulations.Fault) string {
	who := r.named(f.A)
	if f.To != nil {
		who += " and " + r.named(f.To)
	}
	return who
}

func (r *Run) named(who []int) string {
	specs := r.Mesh.specsOf(r.Plan)
	for _, name := range known(specs) {
		if of, err := machines(specs, []string{name}); err == nil && slices.Equal(of, who) {
			return name
		}
	}
	var names []string
	for _, i := range who {
		if len(names) == 3 {
			return strings.Join(names, ", ") + " and others"
		}
		names = append(names, r.Plan.Nodes[i].Name)
	}
	return strings.Join(names, ", ")
}

// WriteHTML writes a page that needs nothing but itself.
func (r *Run) WriteHTML(out io.Writer, res *Result) error {
	t, err := template.New("report").Parse(page)
	if err != nil {
		return err
	}
	data, err := json.Marshal(r.chart())
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := res.Render(&text); err != nil {
		return err
	}
	about := ""
	if r.Mesh.Schedule != nil {
		about = r.Mesh.Schedule.About
	}
	return t.Execute(out, map[string]any{"Result": res, "Text": text.String(), "Data": template.JS(data), "About": about})
}
