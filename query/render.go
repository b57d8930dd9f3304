package query

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// RenderJSON writes an answer as indented JSON.
func RenderJSON(w io.Writer, answer any) error {
	b, err := json.MarshalIndent(answer, "", "  ")
	if err != nil {
		return fmt.Errorf("query: render: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// table writes rows of cells in aligned columns, without trailing blanks.
func table(w io.Writer, rows [][]string) error {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		if _, err := io.WriteString(w, strings.TrimRight(line, " \n")+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// RenderTotals writes results as a table with a column for each label, and one for the period if there are several, and the
// coverage underneath.
func RenderTotals(w io.Writer, a *TotalAnswer) error {
	labels := map[string]struct{}{}
	parts := []PeriodAnswer{{Results: a.Results}}
	if len(a.Results) == 0 && len(a.Periods) > 0 {
		parts = a.Periods
	}
	found := 0
	for i := range parts {
		for k := range parts[i].Results {
			found++
			for name := range parts[i].Results[k].Labels {
				labels[name] = struct{}{}
			}
		}
	}
	names := slices.Sorted(maps.Keys(labels))
	var rows [][]string
	for i := range parts {
		rows = appendTotals(rows, &parts[i], names, len(a.Periods) > 0 && len(a.Results) == 0)
	}
	if found == 0 {
		if _, err := fmt.Fprintln(w, "nothing counted matches"); err != nil {
			return err
		}
	} else if err := table(w, rows); err != nil {
		return err
	}
	for _, text := range a.Warnings {
		if _, err := fmt.Fprintln(w, printable(text)); err != nil {
			return err
		}
	}
	return renderCoverage(w, &a.Coverage)
}

// appendTotals appends the rows of one period, behind a header if there is none yet.
func appendTotals(rows [][]string, p *PeriodAnswer, labels []string, dated bool) [][]string {
	if rows == nil {
		var header []string
		if dated {
			header = append(header, "FROM", "TO")
		}
		header = append(header, "METRIC", "KIND")
		for _, name := range labels {
			header = append(header, printable(strings.ToUpper(name)))
		}
		rows = append(rows, append(header, "VALUE", "DETAIL"))
	}
	for i := range p.Results {
		r := &p.Results[i]
		var row []string
		if dated {
			until := p.End.UTC().Format(timeLayout)
			if !p.Complete {
				until += " (incomplete)"
			}
			row = append(row, p.Start.UTC().Format(timeLayout), until)
		}
		row = append(row, printable(r.Metric), r.Kind)
		for _, name := range labels {
			row = append(row, dash(printable(r.Labels[name])))
		}
		rows = append(rows, append(row, valueText(&r.Amount), detailText(&r.Amount)))
	}
	return rows
}

// valueText writes the exact decimal where people can read it. 0.1 is not a multiple of 2^-48 and has 48 digits: such
// values are shown to 12 digits, which hides the rounding at the door and nothing else.
func valueText(a *Amount) string {
	const readable, large = 30, 1e9
	switch {
	case a.ValueExact == "" || len(a.ValueExact) > readable && math.Abs(a.Value) >= large:
		return numberText(a.Value)
	case len(a.ValueExact) > readable:
		return digitsText(a.Value, 12)
	}
	return a.ValueExact
}

// numberText writes whole numbers in full and all else with as many digits as it takes to read it back.
func numberText(f float64) string { return digitsText(f, -1) }

// shortText keeps six significant digits of what is not whole: more than any sketch is good for.
func shortText(f float64) string { return digitsText(f, 6) }

func digitsText(f float64, digits int) string {
	if f > -1e15 && f < 1e15 && f == math.Trunc(f) {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'g', digits, 64)
}

// detailText says what there is to know besides the value.
func detailText(a *Amount) string {
	var parts []string
	say := func(name, text string) { parts = append(parts, name+"="+text) }
	if a.UpDown != nil {
		say("added", shortText(a.Added))
		say("removed", shortText(a.Removed))
	}
	if a.Summary != nil {
		say("count", strconv.FormatUint(a.Count, 10))
		say("sum", shortText(a.Sum))
		for _, x := range []struct {
			name  string
			value *float64
		}{{"min", a.Min}, {"max", a.Max}, {"avg", a.Avg}} {
			if x.value != nil {
				say(x.name, shortText(*x.value))
			}
		}
	}
	if a.Sketch != nil {
		for _, q := range slices.Sorted(maps.Keys(a.Quantiles)) {
			say("q"+q, shortText(a.Quantiles[q]))
		}
	}
	if a.RelativeError > 0 && (a.Sketch == nil || len(a.Quantiles) > 0) {
		parts = append(parts, fmt.Sprintf("±%.2g%%", a.RelativeError*100))
	}
	if a.Elements != nil {
		parts = append(parts, elementsText(*a.Elements, int(a.Value)))
	}
	return strings.Join(parts, " ")
}

// elementsText names the first few elements of count.
func elementsText(elements []string, count int) string {
	const shown = 10
	first := elements[:min(len(elements), shown)]
	quoted := make([]string, len(first))
	for i, e := range first {
		quoted[i] = printable(e)
	}
	text := strings.Join(quoted, ",")
	if left := count - len(first); left > 0 {
		text += fmt.Sprintf(" and %d more", left)
	}
	return text
}

// renderCoverage writes one line if all is there, and what is missing otherwise.
func renderCoverage(w io.Writer, c *Coverage) error {
	var b strings.Builder
	heard, expected := c.nodes()
	word := "INCOMPLETE"
	if c.Complete {
		word = "complete"
	}
	fmt.Fprintf(&b, "\n%s: %d of %d nodes heard", word, heard, expected)
	if age, known := c.age(); known {
		fmt.Fprintf(&b, ", as of %s ago", ageText(age))
	}
	b.WriteByte('\n')
	if c.Withheld != "" {
		b.WriteString("  " + printable(c.Withheld) + "\n")
	}
	for i := range c.Regions {
		b.WriteString(regionText(&c.Regions[i]))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// regionText tells what is wrong with a region; "" if nothing is.
func regionText(r *RegionCoverage) string {
	var parts []string
	if n := r.NodesExpected - r.NodesHeard; n > 0 || len(r.Missing) > 0 {
		text := fmt.Sprintf("%d of %d nodes missing", max(n, len(r.Missing)), r.NodesExpected)
		if len(r.Missing) > 0 {
			text += " (" + elementsText(r.Missing, max(n, len(r.Missing))) + ")"
		}
		parts = append(parts, text)
	}
	if !r.OldestMissing.IsZero() {
		parts = append(parts, "since "+r.OldestMissing.UTC().Format(timeLayout))
	}
	if r.CompleteUntil.IsZero() {
		parts = append(parts, "age unknown")
	}
	if r.Lost > 0 {
		parts = append(parts, fmt.Sprintf("%d samples lost before they were counted", r.Lost))
	}
	if r.ClocksOff > 0 {
		parts = append(parts, clocksText(r))
	}
	parts = append(parts, r.Lacks...)
	if len(parts) == 0 {
		return ""
	}
	return "  " + printable(r.Region) + ": " + strings.Join(parts, ", ") + "\n"
}

// clocksText names the first few nodes with a wrong clock.
func clocksText(r *RegionCoverage) string {
	var named []string
	for _, o := range r.Clocks {
		named = append(named, fmt.Sprintf("%s %+.1f s", o.Node, o.OffsetMs/1000))
	}
	return fmt.Sprintf("%d wrong clocks (%s)", r.ClocksOff, elementsText(named, r.ClocksOff))
}

// ageText writes a length of time for people: "0.3 s", "12 min", "3.5 h".
func ageText(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// printable quotes what would break a terminal or a column: control characters, and what is not UTF-8.
func printable(s string) string {
	if q := strconv.Quote(s); q != `"`+s+`"` && strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return q
	}
	return s
}
