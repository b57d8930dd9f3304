//go:build slow && linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"meshd/crdt"
	"meshd/query"
)

// replaceDisk puts one data directory in the place of another.
func replaceDisk(data, by string) error {
	return errors.Join(os.RemoveAll(data), os.Rename(by, data))
}

// TestEveryDiskIsDeletedAndReplayed kills all nodes of two regions, deletes every disk, of hubs and edges, and replays each hub's log: what
// each hub held before, totals and windows, is what it holds then, byte by byte, and all nodes answer as before.
func TestEveryDiskIsDeletedAndReplayed(t *testing.T) {
	t.Parallel()
	logs := t.TempDir()
	logOf := func(region, name string) string { return "embedded:" + filepath.Join(logs, region+"-"+name) }
	hub := func(region, name string) *proc {
		return newProc(t, "hub", region, name, "--archive="+logOf(region, name))
	}
	hubs := []*proc{hub("eu", "hub-1"), hub("eu", "hub-2"), hub("us", "hub-1")}
	all := append([]*proc{}, hubs...)
	for _, p := range []struct{ region, name string }{{"eu", "edge-1"}, {"eu", "edge-2"}, {"us", "edge-1"}} {
		all = append(all, newProc(t, "edge", p.region, p.name))
	}
	for _, p := range all {
		p.args = append(p.args, joined(hubs...))
		p.start()
	}
	to := time.Now().UnixMilli() / crdt.MinuteMillis * crdt.MinuteMillis
	l := startLoad(t, 7, 6, all...)
	time.Sleep(5 * time.Second) // of load
	acked := l.stop()
	past := pastTo(to)
	counted := untilPublished(t, all, acked, past)
	for _, h := range hubs {
		h.archived()
	}
	before := map[*proc]map[string]string{}
	for _, p := range all {
		p.kill()
	}
	for _, h := range hubs {
		before[h] = h.contents(h.data, to)
	}
	for _, p := range all {
		if err := os.RemoveAll(p.data); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range hubs {
		h.replay(logOf(h.region, h.name), h.data)
		mustEqual(t, h.region+" "+h.name, before[h], h.contents(h.data, to))
	}
	for _, p := range all {
		p.start()
	}
	for _, p := range all {
		p.wantTotals(acked)
		for metric, want := range counted {
			eventually(t, "what happened of "+metric+" at "+p.region+" "+p.name, func() error {
				if got, err := p.total(past(metric)); err != nil || got != want {
					return fmt.Errorf("%s, want %s: %w", got, want, err)
				}
				return nil
			})
		}
	}
}

// pastTo asks for what happened of a metric in the three hours before a time, ms.
func pastTo(to int64) func(metric string) query.TotalRequest {
	return func(metric string) query.TotalRequest {
		return query.TotalRequest{
			Metric: metric, Start: time.UnixMilli(to - 3*crdt.HourMillis).UTC().Format(time.RFC3339), End: time.UnixMilli(to).UTC().Format(time.RFC3339),
		}
	}
}

// untilPublished waits until all nodes agree on all totals and on what happened in the past, and returns the latter.
func untilPublished(t *testing.T, all []*proc, acked map[string]uint64, past func(string) query.TotalRequest) map[string]string {
	t.Helper()
	for _, p := range all {
		p.wantTotals(acked)
	}
	counted := map[string]string{}
	for metric := range acked {
		quiet, last := 0, ""
		eventually(t, "the past of "+metric, func() error {
			want := ""
			for _, p := range all {
				got, err := p.total(past(metric))
				if err != nil {
					return err
				}
				if want == "" {
					want = got
				}
				if f, err := strconv.ParseFloat(got, 64); err != nil || f == 0 || got != want {
					return fmt.Errorf("%s at %s, %s elsewhere", got, p.name, want)
				}
			}
			if quiet++; want != last {
				quiet, last = 0, want
			}
			if counted[metric] = want; quiet < 20 {
				return errors.New("it may rise still")
			}
			return nil
		})
	}
	return counted
}
