//go:build slow && linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meshd/crdt"
	"meshd/query"
)

const (
	wrongRules = "metric_relabel_configs:\n  - {source_labels: [ad], regex: '7', target_label: campaign, replacement: wrong}\n"
	rightRules = "metric_relabel_configs:\n  - {source_labels: [ad], regex: '7', target_label: campaign, replacement: right}\n"
)

// clicks counts at nodes, by a wrong rule, events of one hour that is over, and of now.
type clicks struct {
	t     *testing.T
	nodes []*proc
	hour  time.Time
	past  uint64        // of the hour, at all nodes together
	sent  atomic.Uint64 // of now
	acked atomic.Uint64
}

// send sends a batch of clicks that happened at some times, and returns whether it was acknowledged.
func (c *clicks) send(p *proc, at []time.Time) bool {
	var body bytes.Buffer
	for i, when := range at {
		ad := "7"
		if i%10 == 9 {
			ad = "8"
		}
		line, err := json.Marshal(map[string]any{"event": "click.ad", "labels": map[string]string{"ad": ad}, "ts": when.UnixMilli()})
		if err != nil {
			c.t.Error(err)
			return false
		}
		body.Write(append(line, '\n'))
	}
	return (&load{t: c.t}).post(p, body.Bytes())
}

// fill counts 2,000 clicks of the hour at each node, a tenth of them on an ad that no rule changes.
func (c *clicks) fill() {
	c.t.Helper()
	for _, p := range c.nodes {
		for part := range 20 {
			at := make([]time.Time, 100)
			for i := range at {
				at[i] = c.hour.Add(time.Duration(part*100+i) * 1799 * time.Millisecond)
			}
			if !c.send(p, at) {
				c.t.Fatalf("%s takes no clicks", p.name)
			}
			c.past += 90
		}
	}
}

// live counts now until ctx ends, some 500 clicks a second at each node.
func (c *clicks) live(ctx context.Context) *sync.WaitGroup {
	var wg sync.WaitGroup
	for _, p := range c.nodes {
		wg.Go(func() {
			for ctx.Err() == nil {
				at := make([]time.Time, 100)
				for i := range at {
					at[i] = time.Now()
				}
				c.sent.Add(90)
				if c.send(p, at) {
					c.acked.Add(90)
				}
				time.Sleep(200 * time.Millisecond) // the pace of the load
			}
		})
	}
	return &wg
}

// campaigns asks a node what was counted on each campaign, of the hour or of all time.
func (c *clicks) campaigns(p *proc, ofHour bool) (wrong, right uint64, err error) {
	r := query.TotalRequest{Metric: "click.ad", By: []string{"campaign"}}
	if ofHour {
		r.Start, r.End = c.hour.Format(time.RFC3339), c.hour.Add(time.Hour).Format(time.RFC3339)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	a, err := p.client.Total(ctx, r)
	if err != nil {
		return 0, 0, err
	}
	for i := range a.Results {
		f, err := crdt.ParseFixed(a.Results[i].ValueExact)
		if err != nil {
			return 0, 0, err
		}
		switch n := uint64(f.Float64()); a.Results[i].Labels["campaign"] {
		case "wrong":
			wrong = n
		case "right":
			right = n
		}
	}
	return wrong, right, nil
}

// watch reads a node until ctx ends: of the hour and of all time, it answers with all of the correction or with nothing of it, and what it
// answers does not fall.
func (c *clicks) watch(ctx context.Context, p *proc, reads *atomic.Uint64) {
	var least uint64
	corrected := false
	for ctx.Err() == nil {
		wrong, right, err := c.campaigns(p, false)
		if err == nil {
			reads.Add(1)
			sum := wrong + right
			if right != 0 && right != c.past || corrected && right == 0 || sum < least || sum > c.past+c.sent.Load() {
				c.t.Errorf("%s %s answers %d wrong and %d right after %d together, of %d (corrected: %v)", p.region, p.name, wrong, right, least, c.past, corrected)
				return
			}
			least, corrected = sum, right != 0
		}
		if wrong, right, err = c.campaigns(p, true); err == nil {
			reads.Add(1)
			if wrong+right != c.past || wrong != 0 && right != 0 {
				c.t.Errorf("%s %s answers %d wrong and %d right of an hour of %d", p.region, p.name, wrong, right, c.past)
				return
			}
		}
		time.Sleep(20 * time.Millisecond) // between two reads
	}
}

// TestAnHourIsCorrectedUnderLoad counts an hour by a wrong rule in two regions and corrects it while all nodes count on and are read.
func TestAnHourIsCorrectedUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	wrong, right := rules("wrong.yaml", wrongRules), rules("right.yaml", rightRules)
	c := &clicks{t: t, hour: time.Now().Add(-2 * time.Hour).Truncate(time.Hour).UTC()}
	var logs, recompute []string
	add := func(role, region, name string) *proc {
		log := "embedded:" + filepath.Join(dir, region+"-"+name)
		p := newProc(t, role, region, name, "--labels="+wrong, "--archive-events="+log, "--archive-events-match=click.*")
		logs = append(logs, "--log="+log)
		c.nodes = append(c.nodes, p)
		return p
	}
	hubs := []*proc{add("hub", "eu", "hub-1"), add("hub", "eu", "hub-2"), add("hub", "us", "hub-1")}
	add("edge", "eu", "edge-1")
	add("edge", "us", "edge-1")
	for _, p := range c.nodes {
		p.args = append(p.args, joined(hubs...))
		p.start()
	}
	for _, p := range c.nodes {
		p.wantTotals(nil)
		eventually(t, p.name+" is there", func() error { _, err := p.total(query.TotalRequest{Metric: "click.ad"}); return err })
	}
	c.fill()
	for _, p := range c.nodes {
		eventually(t, "the hour at "+p.name, func() error {
			if w, r, err := c.campaigns(p, true); err != nil || w != c.past || r != 0 {
				return fmt.Errorf("%d wrong, %d right of %d: %w", w, r, c.past, err)
			}
			return nil
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	working := c.live(ctx)
	call := func(args ...string) (string, error) {
		out, err := exec.Command(meshd(), append([]string{"recompute"}, args...)...).CombinedOutput()
		return string(out), err
	}
	recompute = append(logs, "--from="+c.hour.Format(time.RFC3339), "--to="+c.hour.Add(time.Hour).Format(time.RFC3339), "--relabel="+right)
	eventually(t, "all events are in the logs", func() error { // nodes keep few of them for later
		out, err := call(append(recompute, "--dry-run")...)
		if want := fmt.Sprintf("%d of them are counted otherwise", c.past); err != nil || !strings.Contains(out, want) {
			return fmt.Errorf("%s: %w", out, err)
		}
		return nil
	})
	var reads atomic.Uint64
	for _, p := range c.nodes {
		working.Go(func() { c.watch(ctx, p, &reads) })
	}
	out, err := call(append(recompute, "--at="+hubs[0].http, "--at="+hubs[2].http)...)
	if err != nil || !strings.Contains(out, "the hubs answer with it") {
		t.Fatalf("%v\n%s", err, out)
	}
	corrected := func(p *proc) {
		eventually(t, p.region+" "+p.name+" answers with it", func() error {
			if _, r, err := c.campaigns(p, false); err != nil || r != c.past {
				return fmt.Errorf("%d of %d: %w", r, c.past, err)
			}
			return nil
		})
	}
	for _, p := range c.nodes {
		corrected(p)
	}
	time.Sleep(2 * time.Second) // of reads with it
	stop()
	working.Wait()
	t.Logf("%d reads of %d nodes while %d clicks of now were counted", reads.Load(), len(c.nodes), c.acked.Load())
	if reads.Load() < 50 || c.acked.Load() == 0 {
		t.Errorf("%d reads, %d clicks: that shows nothing", reads.Load(), c.acked.Load())
	}
	for _, p := range []*proc{hubs[0], c.nodes[4]} { // kill -9: it is as before
		p.kill()
		p.start()
		eventually(t, p.name+" is back", func() error { _, err := p.total(query.TotalRequest{Metric: "click.ad"}); return err })
		corrected(p)
	}
	id := strings.Fields(out[strings.Index(out, "correction ")+len("correction "):])[0]
	if out, err = call("--undo="+id, "--at="+hubs[2].http); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, p := range c.nodes {
		eventually(t, "undone at "+p.name, func() error {
			if w, r, err := c.campaigns(p, false); err != nil || r != 0 || w != c.past+c.acked.Load() {
				return fmt.Errorf("%d wrong, %d right of %d: %w", w, r, c.past, err)
			}
			return nil
		})
	}
}
