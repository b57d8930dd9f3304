package buffer

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the store did and refused. A nil *metrics counts nothing.
type metrics struct {
	reg        prometheus.Registerer
	seconds    prometheus.Histogram
	bytes      prometheus.Counter
	journals   prometheus.Counter
	full       prometheus.Counter
	collectors []prometheus.Collector
}

func newMetrics(s *Store) (*metrics, error) {
	if s.cfg.Registerer == nil {
		return nil, nil
	}
	gauge := func(name, help string, f func() uint64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(f()) })
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		reg: s.cfg.Registerer,
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "meshd_buffer_commit_seconds",
			Help:    "Time of a commit until it was synced.",
			Buckets: prometheus.ExponentialBuckets(100e-6, 2, 15), // 0.1 ms to 1.6 s
		}),
		bytes:    counter("meshd_buffer_committed_bytes_total", "Bytes of keys and values committed."),
		journals: counter("meshd_buffer_journaled_commits_total", "Commits too large for one transaction."),
		full:     counter("meshd_buffer_refused_full_total", "Commits refused because the disk reserve was reached."),
	}
	m.collectors = []prometheus.Collector{
		m.seconds, m.bytes, m.journals, m.full,
		gauge("meshd_buffer_size_bytes", "Bytes the store occupies on disk.", s.Size),
		gauge("meshd_buffer_free_bytes", "Free bytes of the disk, as last measured.", s.space.estimate),
		gauge("meshd_buffer_reserve_bytes", "Free bytes below which commits are refused.", func() uint64 { return s.space.reserve }),
	}
	for i, c := range m.collectors {
		if err := m.reg.Register(c); err != nil {
			m.collectors = m.collectors[:i]
			m.unregister()
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m == nil {
		return
	}
	for _, c := range m.collectors {
		m.reg.Unregister(c)
	}
}

func (m *metrics) committed(d time.Duration, size int, journaled bool) {
	if m == nil {
		return
	}
	m.seconds.Observe(d.Seconds())
	m.bytes.Add(float64(size))
	if journaled {
		m.journals.Inc()
	}
}

func (m *metrics) refused(err error) {
	if m != nil && errors.Is(err, ErrFull) {
		m.full.Inc()
	}
}
