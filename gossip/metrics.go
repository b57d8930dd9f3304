package gossip

import (
	"io"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
)

// metrics are the package's own; everything that is dropped, refused or lost has one.
type metrics struct {
	sessions                *prometheus.GaugeVec // role of the peer, version spoken
	dials, dialFailures     prometheus.Counter
	refusals                *prometheus.CounterVec // reason
	badStreams              prometheus.Counter
	messagesIn, messagesOut *prometheus.CounterVec // class
	bytesIn, bytesOut       *prometheus.CounterVec // class
	sendDrops               *prometheus.CounterVec // class
	lost                    prometheus.Counter
	packetsDropped          *prometheus.CounterVec // reason
	bufferRefused           prometheus.Gauge
	queued                  prometheus.GaugeFunc
	renewals, homeMoves     prometheus.Counter
	trust                   []prometheus.Collector // of certificates; none without them
}

func newMetrics(g *Gossip) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "meshd", Subsystem: "gossip", Name: name, Help: help})
	}
	counters := func(label, name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "meshd", Subsystem: "gossip", Name: name, Help: help}, []string{label})
	}
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Namespace: "meshd", Subsystem: "gossip", Name: name, Help: help}
	}
	m := &metrics{
		sessions:       prometheus.NewGaugeVec(gauge("sessions", "Sessions that are up, by role of the peer and protocol version."), []string{"role", "version"}),
		dials:          counter("dials_total", "Attempts to connect."),
		dialFailures:   counter("dial_failures_total", "Attempts to connect that failed."),
		refusals:       counters("reason", "refusals_total", "Peers, connections and messages refused, by either side."),
		badStreams:     counter("bad_streams_total", "Streams that ended before a readable preface."),
		messagesIn:     counters("class", "messages_received_total", "Messages received."),
		messagesOut:    counters("class", "messages_sent_total", "Messages written to a connection."),
		bytesIn:        counters("class", "message_bytes_received_total", "Bytes of messages received."),
		bytesOut:       counters("class", "message_bytes_sent_total", "Bytes of messages written to a connection."),
		sendDrops:      counters("class", "send_refused_total", "Messages not queued: the session was gone or its queue full."),
		lost:           counter("queued_messages_lost_total", "Messages that were queued when their session ended."),
		packetsDropped: counters("reason", "packets_dropped_total", "Serf packets and streams dropped."),
		bufferRefused:  prometheus.NewGauge(gauge("udp_buffer_missing_bytes", "How much less UDP buffer the kernel granted than wanted.")),
		queued: prometheus.NewGaugeFunc(gauge("send_queue_bytes", "Bytes that wait in all send queues."),
			func() float64 { return float64(g.queued.Load()) }),
		homeMoves: counter("home_moves_total", "Sessions that an edge gave up because better hubs are up."),
		renewals:  counter("sessions_renewed_total", "Sessions made anew because a certificate was replaced."),
	}
	if g.cfg.TLS == nil {
		return m
	}
	m.trust = append(m.trust, prometheus.NewGaugeFunc(gauge("revocations", "Revoked certificates that this node knows of."),
		func() float64 { lines, _ := g.cfg.TLS.Revocations(); return float64(len(lines)) }))
	for _, of := range []string{OwnCertificate, AuthorityCertificate, PeerCertificate} {
		opts := gauge("certificate_seconds_left", "How long the certificate is valid, negative once it has ended; of peers with a session the nearest end.")
		opts.ConstLabels = prometheus.Labels{"of": of}
		m.trust = append(m.trust, prometheus.NewGaugeFunc(opts, func() float64 { return g.secondsLeft(of) }))
	}
	return m
}

func (m *metrics) collectors() []prometheus.Collector {
	return append([]prometheus.Collector{
		m.sessions, m.dials, m.dialFailures, m.refusals, m.badStreams, m.messagesIn, m.messagesOut, m.bytesIn, m.bytesOut,
		m.sendDrops, m.lost, m.packetsDropped, m.bufferRefused, m.queued, m.renewals, m.homeMoves,
	}, m.trust...)
}

// register adds all metrics to r, or none.
func (m *metrics) register(r prometheus.Registerer) error {
	all := m.collectors()
	for i, c := range all {
		if err := r.Register(c); err != nil {
			for _, done := range all[:i] {
				r.Unregister(done)
			}
			return err
		}
	}
	return nil
}

func (m *metrics) unregister(r prometheus.Registerer) {
	for _, c := range m.collectors() {
		r.Unregister(c)
	}
}

// dropRecorder counts what quic-go drops because nobody took it in time, its queue of 32 packets that are not QUIC
// among them; it tells nobody else.
type dropRecorder struct{ dropped prometheus.Counter }

var (
	_ qlogwriter.Recorder = (*dropRecorder)(nil)
	_ io.Closer           = (*dropRecorder)(nil)
)

// RecordEvent implements qlogwriter.Recorder.
func (r *dropRecorder) RecordEvent(e qlogwriter.Event) {
	if d, ok := e.(qlog.PacketDropped); ok && d.Trigger == qlog.PacketDropDOSPrevention {
		r.dropped.Inc()
	}
}

// Close implements qlogwriter.Recorder.
func (r *dropRecorder) Close() error { return nil }
