package query

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrapeTimeout bounds how long a scrape waits for the core's loop. Prometheus waits 10 s by default.
const scrapeTimeout = 2 * time.Second

// coverageMetrics exports what /v1/coverage answers, as of each scrape, so that alarms need no other way to ask.
type coverageMetrics struct {
	server                                *Server
	expected, heard, age, clocksOff, lost *prometheus.Desc
}

func newCoverageMetrics(s *Server) *coverageMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("meshd_region_"+name, help, []string{"region"}, nil)
	}
	return &coverageMetrics{
		server:    s,
		expected:  desc("nodes_expected", "Nodes of the region that were ever heard, removed ones aside."),
		heard:     desc("nodes_heard", "Nodes of the region that are heard."),
		age:       desc("age_seconds", "Age of what is known of the region; absent while it is unknown."),
		clocksOff: desc("clocks_off", "Nodes of the region whose clocks are out of bounds."),
		lost:      desc("lost_samples_total", "Samples that nodes of the region lost before they were counted."),
	}
}

// Describe implements prometheus.Collector.
func (m *coverageMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.expected, m.heard, m.age, m.clocksOff, m.lost} {
		to <- d
	}
}

// Collect implements prometheus.Collector. While the core does not answer there are no values: a scrape shows that as absence,
// and healthz as an error.
func (m *coverageMetrics) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	from, err := m.server.coverage(ctx)
	if err != nil {
		m.server.refused.WithLabelValues("timeout").Inc()
		return
	}
	for _, c := range from.Coverage {
		gauge := func(d *prometheus.Desc, v float64) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, c.Region)
		}
		gauge(m.expected, float64(c.NodesExpected))
		gauge(m.heard, float64(c.NodesHeard))
		if !c.CompleteUntil.IsZero() {
			gauge(m.age, c.Age.Seconds())
		}
		gauge(m.clocksOff, float64(c.ClocksOff))
		to <- prometheus.MustNewConstMetric(m.lost, prometheus.CounterValue, float64(c.Lost), c.Region)
	}
}
