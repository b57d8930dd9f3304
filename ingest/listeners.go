package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strconv"
	"sync"

	"meshd/internal/mutant"
)

const spellingsPerSeries = 10

// listeners are the sockets of one protocol without answers, and the accumulators that its samples go to.
type listeners struct {
	protocol string
	meter    *meter
	log      *slog.Logger
	examples *examples // of what is refused
	socks    []*socket // of one address, each with a reader; none: no UDP
	gram     *unixgram // nil if none
	streams  []*stream
	flush    flusher

	// reader returns a handler of packets for one goroutine, which has own to itself; nil: nothing.
	reader func(own *counts) func(packets [][]byte)
}

// newListeners has accumulators for ten spellings of each of so many series.
func newListeners(protocol string, m *meter, to Submitter, series int, log *slog.Logger) listeners {
	x := &examples{protocol: protocol, log: log}
	return listeners{protocol: protocol, meter: m, log: log, examples: x, flush: flusher{
		acc: newAccumulators(series * spellingsPerSeries), to: to, meter: m, log: log, examples: x, interval: flushInterval,
	}}
}

// listenUDP opens so many sockets for packets; 0: as many as Go uses processors, of which each can keep one busy.
func (l *listeners) listenUDP(addr string, sockets int) (err error) {
	if sockets == 0 {
		sockets = min(runtime.GOMAXPROCS(0), maxSockets)
	}
	if sockets < 1 || sockets > maxSockets {
		return fmt.Errorf("%d sockets, want 1 to %d, or 0 for one a processor", sockets, maxSockets)
	}
	l.socks, err = listenUDP(addr, sockets, l.log)
	return err
}

// listenTCP adds a listener for lines, unless addr is "" or "off".
func (l *listeners) listenTCP(addr string) error {
	if addr == "" || addr == "off" {
		return nil
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	l.addStream(ln, cutLines)
	return nil
}

func (l *listeners) addStream(ln net.Listener, cut cutter) {
	l.streams = append(l.streams, &stream{ln: ln, cut: cut, meter: l.meter, log: l.log, examples: l.examples})
}

// Limit holds addresses that send more than s allows back: packets of theirs are lost, and counted, streams read slower.
// Call it before Run.
func (l *listeners) Limit(s *Sources) {
	for _, st := range l.streams {
		st.sources = s
	}
	for _, sock := range l.socks {
		sock.sources = s
		sock.refused = func(packets uint64) {
			if !mutant.On("limited packets not counted") {
				l.meter.lost.WithLabelValues("source_limit").Add(float64(packets))
			}
			if !mutant.On("limited packets not reported") {
				l.flush.lost.Add(packets)
			}
		}
	}
}

// Addr returns the UDP address that the door listens on, nil if it is off.
func (l *listeners) Addr() net.Addr {
	if len(l.socks) == 0 {
		return nil
	}
	return l.socks[0].conn.LocalAddr()
}

// Close closes the sockets of a door that Run is not called for. Run closes them itself.
func (l *listeners) Close() error {
	var errs []error
	for _, sock := range l.socks {
		errs = append(errs, sock.conn.Close())
	}
	if l.gram != nil {
		errs = append(errs, l.gram.Close())
	}
	for _, st := range l.streams {
		errs = append(errs, st.ln.Close())
	}
	return errors.Join(errs...)
}

// Run receives until ctx ends and returns when what was received until then is on disk: end the node after it.
func (l *listeners) Run(ctx context.Context) error {
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(reading, func() {
		l.lookForDrops()
		_ = l.Close()
	})()

	flushing, drained := context.WithCancel(context.WithoutCancel(ctx))
	var flushed, readers sync.WaitGroup
	l.flush.before = l.lookForDrops
	for range len(l.socks) + 1 { // the last is for gram
		l.flush.own = append(l.flush.own, newCounts(l.flush.acc))
	}
	flushed.Go(func() { l.flush.run(flushing) })
	read := func(f func() error) {
		readers.Go(func() {
			if err := f(); err != nil {
				stop(fmt.Errorf("ingest: %s: %w", l.protocol, err))
			}
		})
	}
	for i, sock := range l.socks {
		read(func() error { return sock.read(l.reader(l.flush.own[i])) })
	}
	if l.gram != nil {
		read(func() error { return l.gram.read(l.single(l.flush.own[len(l.socks)])) })
	}
	for _, st := range l.streams {
		read(func() error { return st.run(reading, func() func([]byte) { return l.single(nil) }) })
	}
	readers.Go(func() { <-reading.Done() }) // with every socket off there is nobody else to wait for
	readers.Wait()
	drained()
	flushed.Wait()
	if err := context.Cause(reading); ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// single is reader for one packet at a time, or the lines of a stream.
func (l *listeners) single(own *counts) func(packet []byte) {
	read := l.reader(own)
	one := make([][]byte, 1)
	return func(packet []byte) {
		one[0] = packet
		read(one)
	}
}

// publish moves what a reader met to the metrics, and what was lost to the next batch.
func (l *listeners) publish(t *tally) {
	if lost := t.publish(l.meter); lost > 0 {
		l.flush.lost.Add(lost)
	}
}

// lookForDrops counts what the kernel dropped since the last look, and reports it with the next batch.
func (l *listeners) lookForDrops() {
	for i, sock := range l.socks {
		if n := sock.drops(); n > 0 {
			l.meter.dropped.WithLabelValues(strconv.Itoa(i)).Add(float64(n))
			l.meter.lost.WithLabelValues("kernel").Add(float64(n))
			if !mutant.On("kernel drops not reported") {
				l.flush.lost.Add(n)
			}
		}
	}
}
