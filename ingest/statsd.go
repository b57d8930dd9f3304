package ingest

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"meshd/crdt"
)

// StatsDConfig configures the StatsD listener.
type StatsDConfig struct {
	// Addr is the UDP address to listen on; "off" switches StatsD off. Default 127.0.0.1:8125.
	Addr string

	// Sockets is how many UDP sockets share that address, each with a goroutine that reads it; 0: one a processor that Go
	// uses. Senders are spread over them, each always to the same one.
	Sockets int

	// TCP is the address to listen on for lines; "" or "off": none.
	TCP string

	// Unix and UnixStream are paths of sockets to make: one for datagrams, one for connections with packets behind
	// their lengths. "": none.
	Unix, UnixStream string

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
	defaultStatsDAddr = "127.0.0.1:8125"
	defaultSeries     = 100_000
)

// StatsD receives the StatsD protocol with DogStatsD's extensions over UDP, over TCP (lines), and over Unix sockets
// (datagrams, or a stream of packets behind their lengths, as DogStatsD's clients send them).
//
// How types map to kinds:
//
//	c         counter: amount / rate, rounded once. A negative amount is refused, because a counter cannot go down and
//	          because counting it as an updown would split the metric into two series by the sign of its samples. For
//	          metrics named in StatsDConfig.UpDown all counts are updowns, of both signs.
//	ms, h, d  distribution: each value with weight 1 / rate. Fractions of weights are carried to the next sample of
//	          the series. Units are not converted.
//	g         gauge, stamped with the line's timestamp (T) or at arrival. A value with a sign moves the last setting, so a negative setting takes two
//	          lines, 0 and then -n. Rates have no meaning and are ignored.
//	s         unique: xxHash64 of the value's bytes, which may hold ':'. Rates are ignored.
//
// Several values (name:1:2|ms) count as that many lines; if one of them is bad none counts. A tag without a value is
// the label tag="true"; of tags with one name the last counts; node and region become exported_node and
// exported_region. Container, external data and cardinality fields are skipped. A timestamp stamps gauges; one more
// than 10 minutes ahead is replaced by the time of arrival. Of other types it says in which window they count. Events and service checks are accepted, counted in meshd_ingest_ignored_total and not stored.
//
// A line that is refused is counted by reason in meshd_ingest_rejected_total; the other lines of its packet count.
// UDP is at most once: what the kernel drops is counted where it tells (Linux) and reported to the node as lost.
// Streams and Unix sockets push back on their senders instead; what a connection leaves incomplete is refused.
type StatsD struct {
	cfg StatsDConfig
	listeners
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
	s := &StatsD{cfg: cfg, listeners: newListeners("statsd", m, cfg.Submit, cfg.Series, cfg.Logger)}
	s.reader = s.newReader
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// listen opens all sockets. Its errors name the flag whose address cannot be had.
func (s *StatsD) listen() (err error) {
	if s.cfg.Addr != "off" {
		if err = s.listenUDP(s.cfg.Addr, s.cfg.Sockets); err != nil {
			return fmt.Errorf("ingest: statsd: %w: choose another address with --statsd, or off", err)
		}
	}
	if err = s.listenTCP(s.cfg.TCP); err != nil {
		return fmt.Errorf("ingest: statsd: %w: choose another address with --statsd-tcp, or off", err)
	}
	if s.cfg.UnixStream != "" {
		ln, err := listenUnix(s.cfg.UnixStream)
		if err != nil {
			return fmt.Errorf("ingest: statsd: %w: choose another path with --statsd-unix-stream", err)
		}
		s.addStream(ln, cutFramed)
	}
	if s.cfg.Unix != "" {
		if s.gram, err = listenUnixgram(s.cfg.Unix); err != nil {
			return fmt.Errorf("ingest: statsd: %w: choose another path with --statsd-unix", err)
		}
	}
	return nil
}

// newReader returns a handler of packets for one goroutine, which counts what it can in own, unless that is nil.
func (s *StatsD) newReader(own *counts) func(packets [][]byte) {
	p := &packetParser{acc: s.flush.acc, own: own, updown: s.cfg.UpDown, examples: s.examples}
	return func(packets [][]byte) {
		now := crdt.HLCFrom(time.Now().UnixMilli(), 0)
		p.packets(packets, now)
		s.publish(&p.tally)
	}
}
