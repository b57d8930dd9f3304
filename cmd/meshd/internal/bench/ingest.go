package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/net/ipv4"

	"meshd/cmd/meshd/internal/cluster"
)

// ingest measures StatsD lines over UDP into a node.
type ingest struct {
	seconds time.Duration
	packet  int
	series  int
	rate    int
}

func ingestBench() Bench {
	return Bench{
		Name: "ingest", Summary: "StatsD lines a second that a node counts, beside a bare receive loop",
		bind: func(fs *pflag.FlagSet) job {
			b := &ingest{}
			fs.DurationVar(&b.seconds, "for", 5*time.Second, "`time` of each part")
			fs.IntVar(&b.packet, "packet", 1400, "`number` of bytes that packets are filled up to")
			fs.IntVar(&b.series, "series", 1000, "`number` of series")
			fs.IntVar(&b.rate, "rate", 0, "packets a second, a `number`; 0: as many as the sender manages")
			return b
		},
		quick: map[string]string{"for": "500ms", "rate": "500"},
	}
}

func (b *ingest) check() error {
	if b.seconds <= 0 || b.packet < 100 || b.packet > 65_000 || b.series < 1 || b.rate < 0 {
		return errors.New("--for and --series must be above 0, --packet 100 to 65000, --rate not below 0")
	}
	return nil
}

type ingestDetail struct {
	Node ingestRate `json:"node"`
	Raw  ingestRate `json:"raw"`
	// Total is what the node answers in the end: as many as it received, to the last one. Each line counts one.
	Received int64   `json:"received"`
	Total    int64   `json:"total"`
	Rejected float64 `json:"rejected"`
}

type ingestRate struct {
	SentPerSecond     float64 `json:"sent_lines_per_second"`
	ReceivedPerSecond float64 `json:"received_lines_per_second"`
	Lost              float64 `json:"lost"` // share of the sent ones
}

const ingestMetric = "bench.requests"

// packets fills packets with lines of all series, each line counting one.
func (b *ingest) packets() (packets [][]byte, lines []int) {
	var p []byte
	n := 0
	for i := range b.series {
		line := fmt.Appendf(nil, "%s:1|c|#path:/item/%d\n", ingestMetric, i)
		if len(p)+len(line) > b.packet {
			packets, lines = append(packets, p), append(lines, n)
			p, n = nil, 0
		}
		p, n = append(p, line...), n+1
	}
	return append(packets, p), append(lines, n)
}

func (b *ingest) measure(ctx context.Context, r *run) (*Report, error) {
	m, err := r.startMesh(ctx, cluster.Layout{
		Regions: twoRegions.Regions[:1], Hubs: 1, MeshPort: twoRegions.MeshPort, StatsDPort: twoRegions.StatsDPort,
	})
	if err != nil {
		return nil, err
	}
	defer m.Stop()
	var d ingestDetail
	r.say("into a node for %s", b.seconds)
	if err := b.intoNode(ctx, m, &d); err != nil {
		return nil, err
	}
	r.say("into a bare loop for %s", b.seconds)
	if d.Raw, err = b.intoLoop(ctx); err != nil {
		return nil, err
	}
	rep := newReport(
		Quantity{d.Node.ReceivedPerSecond, "lines/s", fmt.Sprintf("StatsD lines counted by one node, %.1f%% of the sent ones lost before", d.Node.Lost*100)},
		-1, Quantity{d.Raw.ReceivedPerSecond, "lines/s", fmt.Sprintf("the same packets read and forgotten, %.1f%% lost", d.Raw.Lost*100)}, d)
	if d.Total != d.Received || d.Received == 0 {
		rep.wrong("the node answers %d for the %d lines that it received", d.Total, d.Received)
	}
	if d.Rejected > 0 {
		rep.wrong("%.0f valid lines were rejected", d.Rejected)
	}
	return rep, nil
}

// intoNode sends to a node and compares its total with the lines that it says it received.
func (b *ingest) intoNode(ctx context.Context, m *mesh, d *ingestDetail) error {
	n := m.Nodes()[0]
	sent, took, err := b.send(ctx, n.StatsD)
	if err != nil {
		return err
	}
	const quietFor = time.Second // ten commits
	if err := pause(ctx, quietFor); err != nil {
		return err
	}
	got, err := m.metrics(ctx, n)
	if err != nil {
		return err
	}
	lines := got[`meshd_ingest_lines_total{protocol="statsd"}`]
	for name, v := range got {
		if strings.HasPrefix(name, `meshd_ingest_rejected_total{protocol="statsd"`) {
			d.Rejected += v
		}
	}
	d.Node, d.Received = rateOf(sent, int64(lines), took), int64(lines)
	d.Total, _, err = m.answer(ctx, n, ingestMetric)
	return err
}

func rateOf(sent, received int64, took time.Duration) ingestRate {
	return ingestRate{
		SentPerSecond: round(float64(sent)/took.Seconds(), 0), ReceivedPerSecond: round(float64(received)/took.Seconds(), 0),
		Lost: round(1-float64(received)/float64(sent), 4),
	}
}

// send fills a UDP address with packets and returns how many lines they held.
func (b *ingest) send(ctx context.Context, addr string) (lines int64, took time.Duration, err error) {
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	packets, held := b.packets()
	const burst = 32 // packets in one system call
	out := ipv4.NewPacketConn(conn.(*net.UDPConn))
	msgs := make([]ipv4.Message, burst)
	began := time.Now()
	for next, sent := 0, 0; ctx.Err() == nil && time.Since(began) < b.seconds; {
		for i := range msgs {
			msgs[i].Buffers = [][]byte{packets[(next+i)%len(packets)]}
		}
		n, err := out.WriteBatch(msgs, 0)
		if err != nil {
			return 0, 0, err
		}
		for i := range n {
			lines += int64(held[(next+i)%len(packets)])
		}
		next, sent = (next+n)%len(packets), sent+n
		if b.rate > 0 {
			_ = pause(ctx, time.Until(began.Add(time.Second*time.Duration(sent)/time.Duration(b.rate)))) // the loop looks at ctx
		}
	}
	return lines, time.Since(began), ctx.Err()
}

// intoLoop sends to a loop that only receives.
func (b *ingest) intoLoop(ctx context.Context) (ingestRate, error) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return ingestRate{}, err
	}
	conn := pc.(*net.UDPConn)
	_ = conn.SetReadBuffer(8 << 20) // as nodes ask; the kernel may give less to both
	var received atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := ipv4.NewPacketConn(conn)
		msgs := make([]ipv4.Message, 32)
		for i := range msgs {
			msgs[i].Buffers = [][]byte{make([]byte, 65_535)}
		}
		for {
			n, err := in.ReadBatch(msgs, 0)
			if err != nil {
				return
			}
			for i := range n {
				received.Add(int64(bytes.Count(msgs[i].Buffers[0][:msgs[i].N], []byte{'\n'})))
			}
		}
	}()
	sent, took, err := b.send(ctx, conn.LocalAddr().String())
	if err == nil {
		err = pause(ctx, 100*time.Millisecond) // for what waits in the socket
	}
	pc.Close()
	<-done
	return rateOf(sent, received.Load(), took), err
}
