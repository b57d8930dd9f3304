package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"meshd/gossip"
	"meshd/query"
)

// fanIn measures what one hub takes to hold many edges that all count all the time.
type fanIn struct {
	edges, series int
	flush, span   time.Duration
}

func fanInBench() Bench {
	return Bench{
		Name: "fanin", Summary: "processor, memory and lag of one hub under many edges that share their series",
		bind: func(fs *pflag.FlagSet) job {
			b := &fanIn{}
			fs.IntVar(&b.edges, "edges", 1000, "`number` of edges, in this process")
			fs.IntVar(&b.series, "series", 1000, "`number` of series that every edge counts once a second, the same ones")
			fs.DurationVar(&b.flush, "flush", time.Second, "`pause` between two flushes")
			fs.DurationVar(&b.span, "duration", 5*time.Minute, "`time` under load")
			return b
		},
		quick: map[string]string{"edges": "10", "series": "20", "duration": "3s"},
	}
}

func (b *fanIn) check() error {
	if b.edges < 1 || b.series < 1 || b.flush < 10*time.Millisecond || b.span < time.Second {
		return errors.New("--edges and --series must be at least 1, --flush at least 10ms, --duration at least 1s")
	}
	return nil
}

type fanInDetail struct {
	Edges         int      `json:"edges"`
	Series        int      `json:"series"`
	CellsPerSec   float64  `json:"changed_cells_per_second"` // that came to the hub from edges
	HubCores      float64  `json:"hub_cores"`                // processor seconds a second
	PerMillion    float64  `json:"hub_seconds_per_million_cells"`
	Memory        resident `json:"hub_memory"`
	Lag           spread   `json:"lag"`            // of the hub's own region, looked at once a second
	SlowestRound  float64  `json:"slowest_second"` // s that all edges took to count: above 1 they counted less often
	SettledWithin float64  `json:"settled_seconds"`
}

func (b *fanIn) measure(ctx context.Context, r *run) (*Report, error) {
	c, err := r.startCrowd(ctx, b.edges, b.series, b.flush, gossip.WAN)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	if err := c.count(ctx); err != nil { // definitions travel once
		return nil, err
	}
	if err := pause(ctx, 5*time.Second); err != nil {
		return nil, err
	}
	d := fanInDetail{Edges: b.edges, Series: b.series}
	before, err := c.mesh.metrics(ctx, c.hub)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	var lags []time.Duration
	for time.Since(began) < b.span {
		round := time.Now()
		if err := c.count(ctx); err != nil {
			return nil, err
		}
		d.SlowestRound = max(d.SlowestRound, time.Since(round).Seconds())
		if lag, err := c.lag(ctx); err == nil {
			lags = append(lags, lag)
		}
		if err := pause(ctx, time.Second-time.Since(round)); err != nil {
			return nil, err
		}
	}
	span := time.Since(began).Seconds()
	after, err := c.mesh.metrics(ctx, c.hub)
	if err != nil {
		return nil, err
	}
	if d.Memory, err = residentOf(c.mesh.pid(c.hub.Name)); err != nil {
		return nil, err
	}
	cells, cpu := after["meshd_core_cells_in_total"]-before["meshd_core_cells_in_total"], after["process_cpu_seconds_total"]-before["process_cpu_seconds_total"]
	d.CellsPerSec, d.HubCores, d.PerMillion = round(cells/span, 0), round(cpu/span, 3), round(cpu/cells*1e6, 2)
	d.Lag, d.SlowestRound = newSpread(lags), round(d.SlowestRound, 2)
	rep := newReport(Quantity{d.HubCores, "cores", fmt.Sprintf("of the hub for %.0f changed cells a second of %d edges with %d series; %.0f MiB; lag %.0f ms (median)",
		d.CellsPerSec, b.edges, b.series, d.Memory.RSS, d.Lag.P50)}, 4, Quantity{}, &d)
	began = time.Now()
	for _, got := range c.mesh.waitExact(ctx, c.metric, c.counted.Load(), began) {
		if got.Error != 0 {
			rep.wrong("%s answers %d more than was counted", got.Node, got.Error)
		}
	}
	d.SettledWithin = round(time.Since(began).Seconds(), 2)
	return rep, nil
}

// lag is how old the hub's answer about its region is.
func (c *crowd) lag(ctx context.Context) (time.Duration, error) {
	hub, err := c.mesh.client(c.hub)
	if err != nil {
		return 0, err
	}
	a, err := hub.Total(ctx, query.TotalRequest{Metric: c.metric})
	if err != nil {
		return 0, err
	}
	if !a.Coverage.Complete || len(a.Coverage.Regions) != 1 {
		return 0, errors.New("not complete")
	}
	return time.Duration(a.Coverage.Regions[0].AgeMs) * time.Millisecond, nil
}
