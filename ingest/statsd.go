package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"meshd/crdt"
)

// StatsDConfig configures the StatsD listener.
type StatsDConfig struct {
	// Addr is the UDP address to listen on; "off" switches StatsD off. Default 127.0.0.1:8125.
	Addr string

	// UpDown names the metrics whose counts ("c") go down as well as up: exact names, or beginnings that end in '*'.
	// All counts of these become the kind updown. Counts of other metrics must not be negative.
	UpDown []string

	// Series is the node's series limit, 0 for 100,000. StatsD holds accumulators for ten times as many spellings:
	// clients write the tags of one series in several orders, and series come and go. They cost about 300 bytes each,
	// distributions and uniques more.
	Series int

	Submit  Submitter
	Metrics *Metrics
	Logger  *slog.Logger
}

const (
	defaultStatsDAddr  = "127.0.0.1:8125"
	defaultSeries      = 100_000
	spellingsPerSeries = 10
	maxReaders         = 4 // a reader parses over 1,000,000 lines a second: more than one socket delivers
)

// StatsD receives the StatsD protocol with DogStatsD's extensions over UDP.
//
// How types map to kinds:
//
//	c         counter: amount / rate, rounded once. A negative amount is refused, because a counter cannot go down and
//	          because counting it as an updown would split the metric into two series by the sign of its samples. For
//	          metrics named in StatsDConfig.UpDown all counts are updowns, of both signs.
//	ms, h, d  distribution: each value with weight 1 / rate. Fractions of weights are carried to the next sample of
//	          the series. Units are not converted.
//	g         gauge, stamped at arrival. A value with a sign moves the last setting, so a negative setting takes two
//	          lines, 0 and then -n. Rates have no meaning and are ignored.
//	s         unique: xxHash64 of the value's bytes, which may hold ':'. Rates are ignored.
//
// Several values (name:1:2|ms) count as that many lines; if one of them is bad none counts. A tag without a value is
// the label tag="true"; of tags with one name the last counts; node and region become exported_node and
// exported_region. Container, external data, cardinality and timestamp fields are skipped: a packet counts when it
// arrives. Events and service checks are accepted, counted in meshd_ingest_ignored_total and not stored.
//
// A line that is refused is counted by reason in meshd_ingest_rejected_total; the other lines of its packet count.
// UDP is at most once: what the kernel drops is counted where it tells (Linux) and reported to the node as lost.
type StatsD struct {
	cfg   StatsDConfig
	meter *meter
	sock  *socket // nil if off
	flush flusher
}

// NewStatsD opens the socket. Packets wait in it until Run.
func NewStatsD(cfg StatsDConfig) (*StatsD, error) {
	if cfg.Addr == "" {
		cfg.Addr = defaultStatsDAddr
	}
	if cfg.Series == 0 {
		cfg.Series = defaultSeries
	}
	if cfg.Series < 0 {
		return nil, fmt.Errorf("ingest: statsd: series limit of %d, want 0 for the default or more", cfg.Series)
	}
	m := cfg.Metrics.meter("statsd")
	s := &StatsD{cfg: cfg, meter: m, flush: flusher{
		acc: newAccumulators(cfg.Series * spellingsPerSeries), to: cfg.Submit, meter: m, log: cfg.Logger,
		interval: flushInterval,
	}}
	if cfg.Addr == "off" {
		return s, nil
	}
	sock, err := listenUDP(cfg.Addr, cfg.Logger)
	if err != nil {
		return nil, fmt.Errorf("ingest: statsd: %w: choose another address with --statsd, or off", err)
	}
	s.sock = sock
	return s, nil
}

// Addr returns the address that StatsD listens on, nil if it is off.
func (s *StatsD) Addr() net.Addr {
	if s.sock == nil {
		return nil
	}
	return s.sock.conn.LocalAddr()
}

// Close closes the socket of a StatsD that Run is not called for. Run closes it itself.
func (s *StatsD) Close() error {
	if s.sock == nil {
		return nil
	}
	return s.sock.conn.Close()
}

// Run receives until ctx ends and returns when what was received until then is on disk: end the node after it.
func (s *StatsD) Run(ctx context.Context) error {
	if s.sock == nil {
		<-ctx.Done()
		return nil
	}
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(reading, func() { _ = s.Close() })()

	flushing, drained := context.WithCancel(context.WithoutCancel(ctx))
	var flushed, readers sync.WaitGroup
	flushed.Go(func() { s.flush.run(flushing) })
	for range min(runtime.GOMAXPROCS(0), maxReaders) {
		readers.Go(func() {
			if err := s.sock.read(s.reader()); err != nil {
				stop(fmt.Errorf("ingest: statsd: %w", err))
			}
		})
	}
	readers.Wait()
	drained()
	flushed.Wait()
	if err := context.Cause(reading); ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// reader returns a handler of packets for one goroutine.
func (s *StatsD) reader() func(packets [][]byte, lost uint64) {
	p := &packetParser{acc: s.flush.acc, updown: s.cfg.UpDown}
	return func(packets [][]byte, lost uint64) {
		now := crdt.HLCFrom(time.Now().UnixMilli(), 0)
		for _, b := range packets {
			p.packet(b, now)
		}
		if lost > 0 {
			s.meter.lost.WithLabelValues("kernel").Add(float64(lost))
		}
		if lost += p.publish(s.meter); lost > 0 {
			s.flush.lost.Add(lost)
		}
	}
}
