package history

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the Store's; a nil registerer keeps them to themselves.
type metrics struct {
	reg        prometheus.Registerer
	all        []prometheus.Collector
	points     prometheus.Counter
	refusals   *prometheus.CounterVec
	folds      *prometheus.CounterVec
	chunks     prometheus.Counter
	bytes      prometheus.Counter
	lateFolds  prometheus.Counter
	expired    prometheus.Counter
	seriesGone prometheus.Counter
}

func newMetrics(s *Store, reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "meshd", Subsystem: "history", Name: name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "meshd", Subsystem: "history", Name: name, Help: help}, []string{label})
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "meshd", Subsystem: "history", Name: name, Help: help}, f)
	}
	m := &metrics{
		reg:        reg,
		points:     counter("applied_total", "Published windows that came in, repeats included."),
		refusals:   vec("refused_total", "Windows that were refused, by what is wrong with them.", "reason"),
		folds:      vec("folds_total", "Passes that moved windows from memory into chunks.", "result"),
		chunks:     counter("chunks_written_total", "Chunks written by folds."),
		bytes:      counter("written_bytes_total", "Bytes of chunks written by folds, keys included."),
		lateFolds:  counter("late_folded_total", "Windows that were folded before or among others already in their chunk."),
		expired:    counter("expired_chunks_total", "Chunks dropped by retention."),
		seriesGone: counter("expired_series_total", "Series without any window left, dropped."),
	}
	m.all = []prometheus.Collector{
		m.points, m.refusals, m.folds, m.chunks, m.bytes, m.lateFolds, m.expired, m.seriesGone,
		gauge("overlay_bytes", "Memory of windows that are not in chunks yet, about.", func() float64 { return float64(s.OverlaySize()) }),
		gauge("series", "Series with a window that is kept.", func() float64 { return float64(s.SeriesCount()) }),
	}
	if reg == nil {
		return m, nil
	}
	for i, c := range m.all {
		if err := reg.Register(c); err != nil {
			m.all = m.all[:i]
			m.unregister()
			return nil, errors.Join(err)
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.reg == nil {
		return
	}
	for _, c := range m.all {
		m.reg.Unregister(c)
	}
}

func (m *metrics) applied(n int)                { m.points.Add(float64(n)) }
func (m *metrics) refused(reason string, n int) { m.refusals.WithLabelValues(reason).Add(float64(n)) }
func (m *metrics) foldFailed()                  { m.folds.WithLabelValues("failed").Inc() }
func (m *metrics) foldEnded()                   { m.folds.WithLabelValues("whole").Inc() }

func (m *metrics) folded(chunks, bytes, late int) {
	m.chunks.Add(float64(chunks))
	m.bytes.Add(float64(bytes))
	m.lateFolds.Add(float64(late))
}

// OverlaySize returns the bytes of memory that windows take which are not in chunks yet, about.
func (s *Store) OverlaySize() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.overlay
}

// SeriesCount returns the number of series that have a window.
func (s *Store) SeriesCount() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tables.known()
}
