package ingest

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the counters of the door. One Metrics serves all protocols of a process.
type Metrics struct {
	packets, bytes, lines, samples, stored *prometheus.CounterVec
	rejected, ignored, lost, clamped       *prometheus.CounterVec
	dropped                                *prometheus.CounterVec
	commits, deferred, waited              *prometheus.CounterVec
	spellings                              *prometheus.GaugeVec
	flushes                                *prometheus.HistogramVec
	hostFailures                           *prometheus.CounterVec
	targets                                *prometheus.GaugeVec
	scrapesFailed, discoveryFailed         prometheus.Counter
	lookupFailures, kafkaFailures          prometheus.Counter
	kafkaBehind                            *prometheus.GaugeVec
}

// NewMetrics registers the counters with reg.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meshd_ingest_" + name, Help: help},
			append([]string{"protocol"}, labels...))
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "meshd_ingest_" + name, Help: help})
	}
	m := &Metrics{
		packets:  vec("packets_total", "Packets or requests received."),
		bytes:    vec("bytes_total", "Bytes of packets or request bodies received."),
		lines:    vec("lines_total", "Lines or items received, the refused ones included."),
		samples:  vec("samples_total", "Samples taken in. Those the node refuses later are in rejected too."),
		rejected: vec("rejected_total", "Lines, items or samples refused, by reason.", "reason"),
		ignored:  vec("ignored_total", "Well-formed input of a type that is not stored, by type.", "type"),
		lost:     vec("lost_total", "Packets or samples lost before they could be counted, by reason.", "reason"),
		dropped:  vec("socket_dropped_total", "Packets that the kernel dropped, by socket of the address: they are in lost too.", "socket"),
		clamped:  vec("clamped_total", "Gauge stamps too far ahead, replaced by the time of arrival."),
		stored:   vec("stored_total", "Samples or items that the node has on disk, duplicates not counted."),
		commits:  vec("commits_total", "Batches that the node has on disk."),
		deferred: vec("deferred_total", "Batches that the node could not take: kept and tried again, or answered with an error."),
		waited:   vec("connections_waited_total", "Connections that waited since as many as may be were open, by door: http, otlp."),
		spellings: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meshd_ingest_spellings",
			Help: "Accumulators held: one for each spelling (type, name, tags as sent) of a series.",
		}, []string{"protocol"}),
		flushes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meshd_ingest_flush_seconds", Help: "Time that a flush of what was counted waited for the node and its disk: the next one begins after it.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 12),
		}, []string{"protocol"}),
		hostFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meshd_ingest_host_failures_total",
			Help: "Readings of this host that failed, by source.",
		}, []string{"source"}),
		targets: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meshd_ingest_targets", Help: "Targets of scraping that are known, by who scrapes them: own, elsewhere, or nobody since they cannot be scraped or are beyond a limit.",
		}, []string{"by"}),
		scrapesFailed:   counter("scrapes_failed_total", "Scrapes of which nothing counted: no answer, a bad one, or one beyond a limit."),
		discoveryFailed: counter("discovery_failures_total", "Looks for targets that failed: what was found before holds."),
		kafkaFailures:   counter("kafka_failures_total", "Fetches and commits of offsets that failed, and batches given back since the node took none: all are tried again."),
		kafkaBehind: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meshd_ingest_kafka_behind_records", Help: "Records of a partition that this node reads behind the one it read last.",
		}, []string{"topic", "partition"}),
		lookupFailures: counter("lookup_failures_total", "Times that a table of labels had changed and could not be read: what it said before holds."),
	}
	for _, c := range []prometheus.Collector{
		m.packets, m.bytes, m.lines, m.samples, m.stored, m.rejected, m.ignored, m.lost, m.dropped, m.clamped, m.commits,
		m.deferred, m.waited, m.spellings, m.flushes, m.hostFailures, m.targets, m.scrapesFailed, m.discoveryFailed, m.lookupFailures, m.kafkaFailures, m.kafkaBehind,
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("ingest: register metrics: %w", err)
		}
	}
	return m, nil
}

// meter is the part of Metrics that one protocol moves, resolved once: moving a counter costs no lookup.
type meter struct {
	packets, bytes, lines, samples, stored, clamped, commits, deferred prometheus.Counter
	rejected                                                           [numReasons]prometheus.Counter
	ignored, lost, dropped                                             *prometheus.CounterVec
	spellings                                                          prometheus.Gauge
	flushes                                                            prometheus.Observer
}

func (m *Metrics) meter(protocol string) *meter {
	own := prometheus.Labels{"protocol": protocol}
	t := &meter{
		packets: m.packets.With(own), bytes: m.bytes.With(own), lines: m.lines.With(own),
		samples: m.samples.With(own), stored: m.stored.With(own), clamped: m.clamped.With(own),
		commits: m.commits.With(own), deferred: m.deferred.With(own), spellings: m.spellings.With(own),
		ignored: m.ignored.MustCurryWith(own), lost: m.lost.MustCurryWith(own),
		dropped: m.dropped.MustCurryWith(own), flushes: m.flushes.With(own),
	}
	for r := reasonNone + 1; r < numReasons; r++ {
		t.rejected[r] = m.rejected.WithLabelValues(protocol, r.String())
	}
	return t
}
