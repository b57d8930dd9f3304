package query

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// metricText writes labels as PromQL does: name{a="b"}, or {"na.me",a="b"} where the name needs quotes.
func metricText(ls map[string]string) string {
	name := ls["__name__"]
	var parts []string
	if name != "" && !plainName(name) {
		parts = append(parts, strconv.Quote(name))
		name = ""
	}
	for _, l := range slices.Sorted(maps.Keys(ls)) {
		if l == "__name__" {
			continue
		}
		quoted := l
		if !plainName(l) || strings.Contains(l, ":") {
			quoted = strconv.Quote(l)
		}
		parts = append(parts, quoted+"="+strconv.Quote(ls[l]))
	}
	if len(parts) == 0 && name != "" {
		return name
	}
	return name + "{" + strings.Join(parts, ",") + "}"
}

func plainName(s string) bool {
	for i, c := range []byte(s) {
		if c != '_' && c != ':' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// RenderQuery writes the answer to an expression as a table: one line for each point.
func RenderQuery(w io.Writer, a *ExprAnswer) error {
	list, err := a.Series()
	if err != nil {
		return err
	}
	rows := [][]string{{"SERIES", "TIME", "VALUE"}}
	for _, s := range list {
		for _, p := range s.Points {
			rows = append(rows, []string{metricText(s.Labels), p.Time.Format(timeLayout), printable(p.Text)})
		}
	}
	if len(rows) == 1 {
		_, err = fmt.Fprintln(w, "nothing matches")
	} else {
		err = table(w, rows)
	}
	if err != nil {
		return err
	}
	return renderNotes(w, a)
}

// renderNotes writes what the node had to remark.
func renderNotes(w io.Writer, a *ExprAnswer) error {
	for _, n := range slices.Concat(a.Warnings, a.Infos) {
		if _, err := fmt.Fprintln(w, printable(n)); err != nil {
			return err
		}
	}
	return nil
}

// RenderQueryCSV writes the answer to an expression with a column for each label, without remarks.
func RenderQueryCSV(w io.Writer, a *ExprAnswer) error {
	list, err := a.Series()
	if err != nil {
		return err
	}
	labels := map[string]struct{}{}
	for _, s := range list {
		for l := range s.Labels {
			labels[l] = struct{}{}
		}
	}
	names := slices.Sorted(maps.Keys(labels))
	out := csv.NewWriter(w)
	_ = out.Write(append(slices.Clone(names), "time", "value")) // Error tells
	for _, s := range list {
		for _, p := range s.Points {
			var row []string
			for _, l := range names {
				row = append(row, s.Labels[l])
			}
			_ = out.Write(append(row, p.Time.Format(time.RFC3339Nano), p.Text))
		}
	}
	out.Flush()
	return out.Error()
}

// RenderSeries writes one series a line.
func RenderSeries(w io.Writer, a *SeriesAnswer) error {
	for _, ls := range a.Data {
		if _, err := fmt.Fprintln(w, metricText(ls)); err != nil {
			return err
		}
	}
	if len(a.Data) == 0 {
		if _, err := fmt.Fprintln(w, "nothing matches"); err != nil {
			return err
		}
	}
	return renderNotes(w, &ExprAnswer{Warnings: a.Warnings})
}

// Sizes of a chart, in characters.
const (
	chartWidth  = 72
	chartHeight = 6
	chartMost   = 12 // series that are drawn
)

// RenderQueryChart draws every series of a range: its extremes, and time from left to right.
func RenderQueryChart(w io.Writer, a *ExprAnswer) error {
	list, err := a.Series()
	if err != nil {
		return err
	}
	var b strings.Builder
	for i, s := range list {
		if i == chartMost {
			fmt.Fprintf(&b, "and %d more series: select fewer, or take -o table\n", len(list)-i)
			break
		}
		drawSeries(&b, &s)
	}
	if len(list) == 0 {
		b.WriteString("nothing matches\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	return renderNotes(w, a)
}

// drawSeries draws columns of blocks, each the mean of the points that fall into it. A column without a point stays empty.
func drawSeries(b *strings.Builder, s *ExprSeries) {
	least, greatest := math.Inf(1), math.Inf(-1)
	for _, p := range s.Points {
		if p.Value-p.Value == 0 {
			least, greatest = min(least, p.Value), max(greatest, p.Value)
		}
	}
	fmt.Fprintln(b, metricText(s.Labels))
	if least > greatest {
		b.WriteString("  no number\n")
		return
	}
	low := min(least, 0) // a curve far above 0 is drawn from its least value
	if least > 0 && greatest > least && greatest-least < least/2 {
		low = least
	}
	columns := columnsOf(s.Points)
	left := max(len(shortText(greatest)), len(shortText(low)))
	for row := range chartHeight {
		label := ""
		switch row {
		case 0:
			label = shortText(greatest)
		case chartHeight - 1:
			label = shortText(low)
		}
		fmt.Fprintf(b, "%*s |%s\n", left, label, strings.TrimRight(drawRow(columns, low, greatest, chartHeight-1-row), " "))
	}
	first, last := s.Points[0].Time, s.Points[len(s.Points)-1].Time
	const layout = "01-02 15:04:05"
	fmt.Fprintf(b, "%*s  %-*s%s UTC\n", left, "", max(len(columns)-len(layout)-4, len(layout)+1), first.Format(layout), last.Format(layout))
}

// columnsOf spreads points over the width by their times.
func columnsOf(points []ExprPoint) []float64 {
	first, last := points[0].Time, points[len(points)-1].Time
	n := min(chartWidth, len(points))
	sum, count := make([]float64, n), make([]float64, n)
	for _, p := range points {
		i := 0
		if span := last.Sub(first); span > 0 {
			i = int(int64(p.Time.Sub(first)) / 1e6 * int64(n-1) / (int64(span) / 1e6))
		}
		if p.Value-p.Value == 0 {
			sum[i], count[i] = sum[i]+p.Value, count[i]+1
		}
	}
	for i := range sum {
		sum[i] /= count[i] // NaN: nothing fell there
	}
	return sum
}

// drawRow draws one line of a chart; level counts from the bottom.
func drawRow(columns []float64, low, high float64, level int) string {
	const blocks = " ▁▂▃▄▅▆▇█"
	runes := []rune(blocks)
	var b strings.Builder
	for _, v := range columns {
		height := 0.0
		switch {
		case math.IsNaN(v):
		case high > low:
			height = (v - low) / (high - low) * chartHeight
		case high > 0: // all the same
			height = chartHeight
		}
		if v-v == 0 && level == 0 {
			height = max(height, 1.0/8) // there is a value, though it is the least
		}
		b.WriteRune(runes[int(math.Round(8*min(max(height-float64(level), 0), 1)))])
	}
	return b.String()
}
