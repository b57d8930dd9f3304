package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"

	"meshd/ingest"
)

// lineSender sends packets of StatsD lines, each of which counts one.
type lineSender struct {
	series  int
	packets [][]byte
	lines   []int // in each packet
}

// flows is how many senders there are to the kernel, which spreads them over the sockets of a port: as many applications.
const flows = 64

// newLineSender fills packets with a line of each of so many series with three tags.
func newLineSender(series, packet int) *lineSender {
	g := &lineSender{series: series}
	var p []byte
	n := 0
	for i := range series {
		line := fmt.Appendf(nil, "%s:1|c|#path:/item/%d,method:get,status:%d\n", ingestMetric, i/3, 200+i%3)
		if len(p)+len(line) > packet {
			g.packets, g.lines = append(g.packets, p), append(g.lines, n)
			p, n = nil, 0
		}
		p, n = append(p, line...), n+1
	}
	g.packets, g.lines = append(g.packets, p), append(g.lines, n)
	return g
}

// sending says how lines are sent.
type sending struct {
	threads int
	span    time.Duration
	rate    float64 // lines a second of all threads; 0: as many as they manage
}

// sent is what was handed to the kernel.
type sent struct {
	lines, packets int64
	took           time.Duration
}

// rate returns what became of it.
func (s sent) rate(lines, packets, dropped int64) statsdRate {
	return statsdRate{
		SentPerSecond: round(float64(s.lines)/s.took.Seconds(), 0), ReceivedPerSecond: round(float64(lines)/s.took.Seconds(), 0),
		Lost: round(1-float64(lines)/float64(s.lines), 6), Sent: s.packets, Received: packets, Dropped: dropped,
		Unexplained: round(1-float64(packets+dropped)/float64(s.packets), 6),
	}
}

// send fills a UDP address with packets.
func (g *lineSender) send(ctx context.Context, addr string, s sending) (sent, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var lines, packets atomic.Int64
	var threads sync.WaitGroup
	began := time.Now()
	for i := range s.threads {
		threads.Go(func() {
			n, p, err := g.sendOne(ctx, addr, i, s)
			lines.Add(n)
			packets.Add(p)
			if err != nil {
				cancel(err)
			}
		})
	}
	threads.Wait()
	return sent{lines.Load(), packets.Load(), time.Since(began)}, context.Cause(ctx)
}

// sendOne is one thread: bursts by all its flows in turn, held to the rate by the time that all of them should have taken.
func (g *lineSender) sendOne(ctx context.Context, addr string, thread int, s sending) (lines, packets int64, err error) {
	const burst = 32 // packets in one system call
	var out []*ipv4.PacketConn
	for range max(1, flows/s.threads) {
		conn, err := net.Dial("udp", addr)
		if err != nil {
			return 0, 0, err
		}
		defer conn.Close()
		out = append(out, ipv4.NewPacketConn(conn.(*net.UDPConn)))
	}
	msgs := make([]ipv4.Message, burst)
	for i := range msgs {
		msgs[i].Buffers = make([][]byte, 1)
	}
	next := thread * len(g.packets) / s.threads
	began := time.Now()
	for turn := 0; ctx.Err() == nil && time.Since(began) < s.span; turn++ {
		for i := range msgs {
			msgs[i].Buffers[0] = g.packets[(next+i)%len(g.packets)]
		}
		n, err := out[turn%len(out)].WriteBatch(msgs, 0)
		if err != nil {
			return lines, packets, err
		}
		for i := range n {
			lines += int64(g.lines[(next+i)%len(g.packets)])
		}
		next, packets = (next+n)%len(g.packets), packets+int64(n)
		if s.rate > 0 {
			due := time.Duration(float64(lines) * float64(s.threads) / s.rate * float64(time.Second))
			_ = pause(ctx, due-time.Since(began)) // the loop looks at ctx
		}
	}
	return lines, packets, context.Cause(ctx)
}

// intoLoop sends to a loop that only receives.
func (b *intake) intoLoop(ctx context.Context, gen *lineSender) (statsdRate, error) {
	bare, err := ingest.ListenBare(b.sockets, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return statsdRate{}, err
	}
	var lines, packets atomic.Int64
	done := make(chan error, 1)
	go func() {
		done <- bare.Run(func(p []byte) {
			lines.Add(int64(bytes.Count(p, []byte{'\n'})))
			packets.Add(1)
		})
	}()
	s, err := gen.send(ctx, bare.Addr().String(), sending{threads: b.senders, span: b.seconds})
	if err == nil {
		err = pause(ctx, 100*time.Millisecond) // for what waits in the sockets
	}
	dropped := bare.Drops()
	_ = bare.Close() // nobody needs it any more
	if runErr := <-done; err == nil {
		err = runErr
	}
	return s.rate(lines.Load(), packets.Load(), int64(dropped)), err
}
