package query

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPeriods(t *testing.T) {
	clock := time.Date(2026, 3, 29, 10, 7, 3, 0, time.UTC)
	const minute = "15:04:05"
	for _, row := range []struct {
		name, form string
		layout     string
		zone       string
		want       []string // of each period, or the first and last ones
		width      int64
	}{
		{"a window", "window=5m", minute, "UTC", []string{"10:02:00-10:07:10"}, 0},
		{"since then", "start=-1h", minute, "UTC", []string{"09:07:00-10:07:10"}, 0},
		{"until then", "start=2026-03-29T09:00:00Z&end=2026-03-29T10:00:00%2B00:00", minute, "UTC", []string{"09:00:00-10:00:00"}, 3_600_000},
		{"seconds", "start=1774774800&end=1774774860.5", minute, "UTC", []string{"09:00:00-09:01:10"}, 0},
		{"minutes", "start=-2m&step=1m", minute, "UTC", []string{"10:05:00-10:06:00", "10:06:00-10:07:00", "10:07:00-10:08:00"}, 60_000},
		{"hopping", "start=-1m&step=1m&window=3m", minute, "UTC", []string{"10:04:00-10:07:00", "10:05:00-10:08:00"}, 60_000},
		{"sliding", "start=now-20s&end=now&step=10s&window=1m", minute, "UTC", []string{"10:05:50-10:06:50", "10:06:00-10:07:00", "10:06:10-10:07:10"}, 0},
		{"local half hours", "start=-1h&step=1h&tz=Asia/Kolkata", minute, "UTC", []string{"08:30:00-09:30:00", "09:30:00-10:30:00"}, 60_000},
		{"a day of 23 hours", "start=2026-03-28&step=1d&tz=Europe/Berlin", "01-02T15:04", "UTC", []string{"03-27T23:00-03-28T23:00", "03-28T23:00-03-29T22:00"}, 3_600_000},
		{"weeks begin on Monday", "start=-1d&step=1w", "01-02", "UTC", []string{"03-23-03-30"}, 3_600_000},
		{"months", "start=2026-01-15&step=1mo", "01-02", "UTC", []string{"01-01-02-01", "02-01-03-01", "03-01-04-01"}, 3_600_000},
		{"days of a window", "start=2026-03-29&step=1d&window=7d", "01-02", "UTC", []string{"03-23-03-30"}, 3_600_000},
	} {
		t.Run(row.name, func(t *testing.T) {
			values, err := url.ParseQuery(row.form)
			if err != nil {
				t.Fatal(err)
			}
			p := &params{values: values}
			line := p.timeline(clock)
			if p.err != nil {
				t.Fatal(p.err)
			}
			var got []string
			for _, x := range line.periods {
				got = append(got, time.UnixMilli(x.from).UTC().Format(row.layout)+"-"+time.UnixMilli(x.to).UTC().Format(row.layout))
			}
			if d := cmp.Diff(row.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if line.width() != row.width {
				t.Errorf("reads windows of %d ms, want %d", line.width(), row.width)
			}
		})
	}
}

// FuzzPeriods reads any words about time: what is accepted has periods within the bounds, in order.
func FuzzPeriods(f *testing.F) {
	f.Add("-1h", "now", "1m", "5m", "Europe/Berlin")
	f.Add("2026-01-31", "2026-03-01T12:00", "1mo", "", "Asia/Kolkata")
	f.Add("-4503599627370", "4503599627370", "10000w", "10000mo", "UTC")
	clock := time.Date(2026, 3, 29, 10, 7, 3, 0, time.UTC)
	f.Fuzz(func(t *testing.T, start, end, step, window, tz string) {
		p := &params{values: url.Values{"start": {start}, "end": {end}, "step": {step}, "window": {window}, "tz": {tz}}}
		line := p.timeline(clock)
		if p.err != nil || line == nil {
			return
		}
		if n := len(line.periods); n == 0 || n > maxPeriods || len(line.cuts) > 2*n {
			t.Fatalf("%d periods with %d edges", n, len(line.cuts))
		}
		for i, x := range line.periods {
			if x.to <= x.from || i > 0 && (x.from < line.periods[i-1].from || x.to <= line.periods[i-1].to) {
				t.Fatalf("period %d is %s", i, x)
			}
			if a, b := line.slots(x); a >= b || line.cuts[a] != x.from || line.cuts[b] != x.to {
				t.Fatalf("period %d is not made of slots %d to %d", i, a, b)
			}
		}
	})
}
