package archive

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	records, bytes, snapshots, failures, lost prometheus.Counter
}

func newMetrics() metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "meshd_archive_" + name, Help: help})
	}
	return metrics{
		records:   counter("records_total", "Records that the durable log took."),
		bytes:     counter("bytes_total", "Bytes in them."),
		snapshots: counter("snapshots_total", "Snapshots that the durable log took."),
		failures:  counter("failures_total", "Attempts to archive that failed; what was not archived stays on disk."),
		lost:      counter("publications_lost_total", "Publications of windows that were deleted, after a week, before the log took them."),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	var errs []error
	for _, c := range []prometheus.Collector{m.records, m.bytes, m.snapshots, m.failures, m.lost} {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}
