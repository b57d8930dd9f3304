package bridge

import (
	"context"
	"fmt"
	"testing"
	"time"

	"meshd/buffer"
	"meshd/crdt"
	"meshd/history"
	"meshd/history/historytest"
)

func openHistory(tb testing.TB, dir string, at time.Time) (*history.Store, *buffer.Store) {
	tb.Helper()
	s, disk := openStore(tb, dir, at)
	tb.Cleanup(func() {
		s.Close()
		if err := disk.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s, disk
}

// openStore leaves closing to the caller.
func openStore(tb testing.TB, dir string, at time.Time) (*history.Store, *buffer.Store) {
	tb.Helper()
	disk, err := buffer.Open(buffer.Config{Dir: dir, Mesh: "m", Region: "r", Node: "n", MemoryBytes: 256 << 20})
	if err != nil {
		tb.Fatal(err)
	}
	s, err := history.Open(history.Config{KV: Windows{disk}, Now: func() time.Time { return at }})
	if err != nil {
		tb.Fatal(err)
	}
	return s, disk
}

func BenchmarkHistory(b *testing.B) {
	for _, hosts := range []int{100} {
		from := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
		load := historytest.Hosts{Hosts: hosts, Series: 10, Fine: 10 * time.Second, From: from, Length: 12 * time.Hour, Seed: 1, Kind: crdt.KindGauge, Region: "r"}
		s, disk := openHistory(b, b.TempDir(), from.Add(13*time.Hour))
		samples, err := load.Load(s, func() error { return s.Fold(context.Background()) })
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%d samples, %d bytes on disk", samples, disk.Size())
		for _, q := range []struct {
			name string
			sel  history.Selection
		}{
			{"one-1h", history.Selection{
				Equal: []crdt.Label{{Name: "host", Value: "host-7"}}, Names: func(n string) bool { return n == "cpu_usage_user" },
				From: from.Add(6 * time.Hour).UnixMilli(), To: from.Add(7 * time.Hour).UnixMilli(), ByNode: true,
			}},
			{"one-name-12h-hours", history.Selection{
				Names: func(n string) bool { return n == "cpu_usage_user" }, Width: 3_600_000,
				From: from.UnixMilli(), To: from.Add(12 * time.Hour).UnixMilli(), ByNode: true,
			}},
			{"all-12h-hours", history.Selection{Width: 3_600_000, From: from.UnixMilli(), To: from.Add(12 * time.Hour).UnixMilli(), ByNode: true}},
			{"one-name-12h-fine", history.Selection{
				Names: func(n string) bool { return n == "cpu_usage_user" },
				From:  from.UnixMilli(), To: from.Add(12 * time.Hour).UnixMilli(), ByNode: true,
			}},
		} {
			b.Run(fmt.Sprintf("hosts=%d/%s", hosts, q.name), func(b *testing.B) {
				points, curves := 0, 0
				for b.Loop() {
					points, curves = 0, 0
					if err := s.Curves(context.Background(), q.sel, func(c *history.Curve) error {
						points += len(c.Points)
						curves++
						return nil
					}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(points), "points")
				b.ReportMetric(float64(curves), "curves")
			})
		}
	}
}
