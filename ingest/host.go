package ingest

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/node"
)

// HostConfig configures the metrics of the host that the node runs on.
type HostConfig struct {
	Interval time.Duration // between readings; default 10 s
	Submit   Submitter
	Metrics  *Metrics
	Logger   *slog.Logger
}

const defaultHostInterval = 10 * time.Second

// Host reads the host and submits what it finds under these names:
//
//	host.cpu.busy_ratio              gauge    share of time since the last reading that was not idle, all CPUs, 0 to 1
//	host.cpu.count                   gauge    logical CPUs
//	host.load.1m, .5m, .15m          gauge    load averages
//	host.memory.total_bytes          gauge
//	host.memory.used_bytes           gauge
//	host.memory.available_bytes      gauge    what can be had without swapping
//	host.swap.used_bytes             gauge
//	host.uptime_seconds              gauge
//	host.disk.total_bytes{mount=}    gauge    "/" and the first seven other mounts of disks
//	host.disk.free_bytes{mount=}     gauge    what programs without privileges can use
//	host.disk.read_bytes             counter  all disks
//	host.disk.written_bytes          counter
//	host.network.received_bytes      counter  all interfaces but loopback
//	host.network.sent_bytes          counter
//	host.network.errors              counter  receive and send
//	host.network.drops               counter  receive and send
//
// Counters start when Host does: they add the differences between readings, device by device. A reading lower than
// the one before it is a counter that began again from zero; the first reading of a device counts nothing. When the
// node does not take a reading, the next one contains its differences.
//
// A source that fails (a container without /proc) is skipped, counted in meshd_ingest_host_failures_total and logged
// the first time.
type Host struct {
	cfg     HostConfig
	meter   *meter
	sources []*hostSource
}

// hostSource is one thing to read.
type hostSource struct {
	name     string
	read     func(ctx context.Context, r *hostReading) error
	last     map[deviceCounter]uint64 // as of the last reading that the node took
	failures prometheus.Counter
	logged   bool
}

type deviceCounter struct{ metric, device string }

// hostReading collects what one source found.
type hostReading struct {
	gauges   []hostGauge
	counters map[deviceCounter]uint64 // running counts as the system has them
}

type hostGauge struct {
	metric, mount string
	value         float64
}

func (r *hostReading) gauge(metric string, value float64) {
	r.gauges = append(r.gauges, hostGauge{metric: metric, value: value})
}

func (r *hostReading) count(metric, device string, total uint64) {
	r.counters[deviceCounter{metric, device}] = total
}

// NewHost returns a Host for this machine.
func NewHost(cfg HostConfig) *Host { return newHost(cfg, machineSources()) }

func newHost(cfg HostConfig, sources []*hostSource) *Host {
	if cfg.Interval == 0 {
		cfg.Interval = defaultHostInterval
	}
	for _, s := range sources {
		s.failures = cfg.Metrics.hostFailures.WithLabelValues(s.name)
	}
	return &Host{cfg: cfg, meter: cfg.Metrics.meter("host"), sources: sources}
}

// Run reads the host now and then every interval until ctx ends.
func (h *Host) Run(ctx context.Context) error {
	tick := time.NewTicker(h.cfg.Interval)
	defer tick.Stop()
	for {
		h.round(ctx, time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// round reads all sources and submits one batch.
func (h *Host) round(ctx context.Context, now time.Time) {
	var items []node.Item
	taken := make(map[*hostSource]map[deviceCounter]uint64)
	for _, s := range h.sources {
		r := hostReading{counters: make(map[deviceCounter]uint64)}
		if err := s.read(ctx, &r); err != nil {
			h.failed(ctx, s, err)
			continue
		}
		found, err := r.items(s.last, crdt.HLCFrom(now.UnixMilli(), 0))
		if err != nil {
			h.failed(ctx, s, err)
			continue
		}
		taken[s] = r.counters
		items = append(items, found...)
	}
	h.meter.samples.Add(float64(len(items)))
	var res node.Result
	if len(items) > 0 {
		res = h.cfg.Submit.Submit(context.WithoutCancel(ctx), &node.Batch{Items: items})
	}
	for s, counters := range taken {
		if res.Err == nil || s.last == nil { // the first reading is where differences begin, taken or not
			s.last = counters
		}
	}
	if res.Err != nil {
		h.meter.deferred.Inc()
		return
	}
	for _, r := range res.Rejected {
		h.meter.rejected[reasonOf(r.Err)].Inc()
	}
	h.meter.commits.Inc()
	h.meter.stored.Add(float64(res.Accepted))
}

func (h *Host) failed(ctx context.Context, s *hostSource, err error) {
	if ctx.Err() != nil {
		return
	}
	s.failures.Inc()
	if !s.logged {
		s.logged = true
		h.cfg.Logger.Warn("cannot read a source of host metrics: it is left out", "source", s.name, "err", err)
	}
}

// items returns the settings of the gauges and what the counters grew by since last. Counters that stood still give
// no item.
func (r *hostReading) items(last map[deviceCounter]uint64, now crdt.HLC) ([]node.Item, error) {
	var items []node.Item
	for _, g := range r.gauges {
		var labels []crdt.Label
		if g.mount != "" {
			labels = []crdt.Label{{Name: "mount", Value: strings.ToValidUTF8(g.mount, "?")}}
		}
		it, err := newItem(g.metric, crdt.KindGauge, labels, sample{value: g.value, stamp: now})
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	grown := make(map[string]uint64)
	for c, total := range r.counters {
		before, known := last[c]
		switch {
		case !known:
		case total >= before:
			grown[c.metric] += total - before
		default:
			grown[c.metric] += total
		}
	}
	for _, metric := range slices.Sorted(maps.Keys(grown)) {
		if grown[metric] == 0 {
			continue
		}
		it, err := newItem(metric, crdt.KindCounter, nil, sample{amount: crdt.FixedFromUint(grown[metric])})
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, nil
}
