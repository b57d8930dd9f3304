package ingest

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// cpuTime is the processor time of this process: on a machine that others use too it is what can be compared.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLines parses and accumulates packets of 1,432 bytes with lines of one type, series with 3 tags. The bars are 8
// million lines a second of a core's time, timers 4 million.
func BenchmarkLines(b *testing.B) {
	for _, kind := range []string{"c", "g", "ms", "s"} {
		for _, series := range []int{1000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("type=%s/series=%d", kind, series), func(b *testing.B) {
				d := newDoor(b, 1_000_000)
				packets := linesOf(kind, series)
				for _, p := range packets {
					d.parser.packet(p, 1)
				}
				b.ReportAllocs()
				before, began := d.parser.tally.lines, cpuTime(b)
				for i := 0; b.Loop(); i++ {
					d.parser.packet(packets[i%len(packets)], 1)
				}
				lines := float64(d.parser.tally.lines - before)
				took := (cpuTime(b) - began).Seconds()
				b.ReportMetric(lines/took/1e6, "Mlines/cpu-s")
				b.ReportMetric(took*1e9/lines, "cpu-ns/line")
			})
		}
	}
}

// linesOf fills packets with lines of all series.
func linesOf(kind string, series int) (packets [][]byte) {
	var p []byte
	for i := range series {
		line := fmt.Appendf(nil, "api.requests.count:%d|%s|#route:/v1/items/%d,method:get,status:%d\n", i%97+1, kind, i/3, 200+i%3)
		if len(p)+len(line) > 1432 {
			packets, p = append(packets, p), nil
		}
		p = append(p, line...)
	}
	return append(packets, p)
}
