package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/cluster"
)

// intake measures what one node takes in by a door.
type intake struct {
	door    string
	seconds time.Duration
	series  int
	memory  string // --memory of the node

	packet, sockets, senders int // StatsD
	rate                     int
	hold                     time.Duration

	clients, batch, crowd int // of doors with answers
}

func ingestBench() Bench {
	return Bench{
		Name: "ingest", Summary: "what a node takes in a second by a door, beside what its socket alone receives",
		bind: func(fs *pflag.FlagSet) job {
			b := &intake{}
			fs.StringVar(&b.door, "door", "statsd", "`statsd|remote-write|otlp|events`")
			fs.DurationVar(&b.seconds, "for", 5*time.Second, "`time` of each part")
			fs.IntVar(&b.series, "series", 10_000, "`number` of series")
			fs.StringVar(&b.memory, "memory", "256MiB", "`size` that the node is to stay below")
			fs.IntVar(&b.packet, "packet", 1432, "statsd: `number` of bytes that packets are filled up to")
			fs.IntVar(&b.sockets, "sockets", runtime.GOMAXPROCS(0), "statsd: `number` of sockets that share the port, of the node and of the bare loop")
			fs.IntVar(&b.senders, "senders", 1, "statsd: `number` of threads that send; they are 64 senders to the kernel")
			fs.IntVar(&b.rate, "rate", 4_000_000, "statsd: lines a second, a `number`, of which none may be lost")
			fs.DurationVar(&b.hold, "hold", 30*time.Second, "statsd: `time` for which none of them may be")
			fs.IntVar(&b.clients, "clients", 4, "other doors: `number` of clients, each with one request at a time")
			fs.IntVar(&b.batch, "batch", 2000, "other doors: `number` of samples or events in a request")
			fs.IntVar(&b.crowd, "crowd", 100, "events: `number` of clients that send 10 at a time, whose answers are timed")
			return b
		},
		quick: map[string]string{"for": "500ms", "hold": "500ms", "rate": "50000", "series": "1000", "batch": "200", "crowd": "10"},
	}
}

func (b *intake) check() error {
	switch {
	case b.door != "statsd" && b.door != "remote-write" && b.door != "otlp" && b.door != "events":
		return fmt.Errorf("--door %q: want statsd, remote-write, otlp or events", b.door)
	case b.seconds <= 0 || b.hold <= 0 || b.series < 1 || b.packet < 100 || b.packet > 65_000 || b.rate < 1 || b.sockets < 1 || b.senders < 1:
		return errors.New("--for, --hold, --series, --rate, --sockets and --senders must be above 0, --packet 100 to 65000")
	case b.clients < 1 || b.batch < 1 || b.batch > 20_000 || b.crowd < 1:
		return errors.New("--clients and --crowd must be above 0, --batch 1 to 20000")
	}
	return nil
}

func (b *intake) measure(ctx context.Context, r *run) (*Report, error) {
	args := []string{fmt.Sprintf("--statsd-sockets=%d", b.sockets), "--memory=" + b.memory}
	m, err := r.startMesh(ctx, cluster.Layout{
		Regions: twoRegions.Regions[:1], Hubs: 1, MeshPort: twoRegions.MeshPort, StatsDPort: twoRegions.StatsDPort,
	}, args...)
	if err != nil {
		return nil, err
	}
	defer m.Stop()
	c, err := m.client(m.Nodes()[0])
	if err != nil {
		return nil, err
	}
	if _, err := c.SetConfig(ctx, fmt.Appendf(nil, `{"series":%d}`, min(max(100_000, 2*b.series+1000), maxConfigSeries)), nil); err != nil {
		return nil, err
	}
	if b.door == "statsd" {
		return b.statsd(ctx, m)
	}
	return b.requests(ctx, m)
}

// maxConfigSeries is the largest limit of series that a mesh takes.
const maxConfigSeries = 1 << 20

const ingestMetric = "bench.requests"

// statsdDetail has what became of every line: what the node counted and what it says that the kernel dropped.
type statsdDetail struct {
	Sockets int `json:"sockets"`
	Senders int `json:"senders"`

	Raw      statsdRate `json:"raw"`      // as fast as they send, into a bare loop
	Peak     statsdRate `json:"peak"`     // as fast as they send, into the node
	Held     statsdRate `json:"held"`     // at --rate for --hold: none may be lost
	Most     statsdRate `json:"most"`     // at 80% of the peak: 1% may be lost
	Overload statsdRate `json:"overload"` // at twice the peak, or as fast as twice the threads send
	Total    int64      `json:"total"`    // what the node answers in the end
	Rejected float64    `json:"rejected"` // must be none
	Resident resident   `json:"resident"` // of the node, in the end
	Known    statsdRate `json:"known"`    // while the node got to know all series
	Heap     heapOf     `json:"heap"`     // of the node, in the end
}

// heapOf is what a node's collector keeps.
type heapOf struct {
	LiveMiB   float64 `json:"live_mib"` // after the last collection
	PerSeries float64 `json:"bytes_per_series"`
}

type statsdRate struct {
	SentPerSecond     float64 `json:"sent_lines_per_second"`
	ReceivedPerSecond float64 `json:"received_lines_per_second"`
	Lost              float64 `json:"lost"` // share of the sent lines
	// Packets: sent = received + dropped by the kernel's word + what nobody accounts for.
	Sent        int64   `json:"sent_packets"`
	Received    int64   `json:"received_packets"`
	Dropped     int64   `json:"dropped_packets"`
	Unexplained float64 `json:"unexplained"`               // share of the sent packets
	CPU         float64 `json:"cpu_ns_per_line,omitempty"` // of the node
	// Collecting is the share of the node's processor time that its collector took, and Flush how long the longest wait was until
	// what was counted is on disk, in seconds, rounded up to a power of two times 10 ms.
	Collecting float64 `json:"gc_share,omitempty"`
	Flush      float64 `json:"longest_flush_seconds,omitempty"`
}

// statsd measures the door without answers.
func (b *intake) statsd(ctx context.Context, m *mesh) (*Report, error) {
	d := statsdDetail{Sockets: b.sockets, Senders: b.senders}
	gen := newLineSender(b.series, b.packet)
	var err error
	m.run.say("into a bare loop for %s", b.seconds)
	if d.Raw, err = b.intoLoop(ctx, gen); err != nil {
		return nil, err
	}
	n := &statsdNode{mesh: m, node: m.Nodes()[0]}
	if d.Known, err = n.warmUp(ctx, gen); err != nil {
		return nil, err
	}
	m.run.say("into a node for %s", b.seconds)
	if d.Peak, err = n.take(ctx, gen, sending{threads: b.senders, span: b.seconds}); err != nil {
		return nil, err
	}
	peak := d.Peak.ReceivedPerSecond
	for _, part := range []struct {
		to *statsdRate
		s  sending
	}{
		{&d.Held, sending{threads: b.senders, span: b.hold, rate: float64(b.rate)}},
		{&d.Most, sending{threads: b.senders, span: b.seconds, rate: 0.8 * peak}},
		{&d.Overload, sending{threads: 2 * b.senders, span: b.seconds, rate: 2 * peak}},
	} {
		m.run.say("%.3g lines a second for %s", part.s.rate, part.s.span)
		if *part.to, err = n.take(ctx, gen, part.s); err != nil {
			return nil, err
		}
	}
	if err := n.finish(ctx, &d, b.series); err != nil {
		return nil, err
	}
	return b.statsdReport(&d, n.received), nil
}

func (b *intake) statsdReport(d *statsdDetail, received int64) *Report {
	share := round(100*d.Peak.ReceivedPerSecond/d.Raw.ReceivedPerSecond, 1)
	rep := newReport(
		Quantity{share, "%", fmt.Sprintf("%.3g million StatsD lines a second counted by one node of what a bare loop receives; %.2f%% lost for %s at %.3g million, %.2f%% at 80%%, %.1f%% of %.3g million; %.0f MiB resident, %.0f bytes of heap a series, collected in %.0f%% of its processor time while held; flushes took %.2f s at most then, %.2f s while series were new",
			d.Peak.ReceivedPerSecond/1e6, 100*d.Held.Lost, b.hold, d.Held.SentPerSecond/1e6, 100*d.Most.Lost, 100*d.Overload.Lost, d.Overload.SentPerSecond/1e6,
			d.Resident.RSS, d.Heap.PerSeries, 100*d.Held.Collecting, d.Held.Flush, d.Known.Flush)},
		-1, Quantity{d.Raw.ReceivedPerSecond, "lines/s", fmt.Sprintf("the same packets read in batches from %d sockets and forgotten, %.1f%% lost", b.sockets, 100*d.Raw.Lost)}, *d)
	rep.atLeast(50)
	rep.miss(d.Held.Lost > 0 || d.Most.Lost > 0.01)
	for _, part := range []statsdRate{d.Peak, d.Held, d.Most, d.Overload} {
		const unexplained = 0.001
		if math.Abs(part.Unexplained) > unexplained {
			rep.wrong("%d packets sent, %d received and %d dropped by the kernel's word: %.2f%% unexplained", part.Sent, part.Received, part.Dropped, 100*part.Unexplained)
		}
	}
	if d.Total != received || received == 0 {
		rep.wrong("the node answers %d for the %d lines that it received", d.Total, received)
	}
	if d.Rejected > 0 {
		rep.wrong("%.0f valid lines were rejected", d.Rejected)
	}
	return rep
}

// statsdNode is the node that lines go to.
type statsdNode struct {
	mesh     *mesh
	node     cluster.Node
	received int64 // lines, of all parts
}

// warmUp makes the node know all series: what is new to it takes longer, once.
func (n *statsdNode) warmUp(ctx context.Context, gen *lineSender) (statsdRate, error) {
	rounds := sending{threads: 1, rate: 500_000, span: max(time.Second, 2*time.Duration(gen.series)*time.Second/500_000)}
	return n.take(ctx, gen, rounds)
}

// take sends and compares what was sent with the node's own words.
func (n *statsdNode) take(ctx context.Context, gen *lineSender, s sending) (statsdRate, error) {
	before, err := n.mesh.metrics(ctx, n.node)
	if err != nil {
		return statsdRate{}, err
	}
	sent, err := gen.send(ctx, n.node.StatsD, s)
	if err != nil {
		return statsdRate{}, err
	}
	after, err := n.settled(ctx)
	if err != nil {
		return statsdRate{}, err
	}
	rose := func(name string) int64 { return int64(after[name] - before[name]) }
	spent := func(name string) float64 { return after[name] - before[name] }
	lines := rose(`meshd_ingest_lines_total{protocol="statsd"}`)
	n.received += lines
	rate := sent.rate(lines, rose(`meshd_ingest_packets_total{protocol="statsd"}`), rose(`meshd_ingest_lost_total{protocol="statsd",reason="kernel"}`))
	rate.CPU = round(1e9*(after["process_cpu_seconds_total"]-before["process_cpu_seconds_total"])/float64(max(lines, 1)), 1)
	if busy := spent(goTotal) - spent(goIdle); busy > 0 {
		rate.Collecting = round(spent(goCollecting)/busy, 3)
	}
	rate.Flush = longestFlush(before, after)
	return rate, nil
}

// What the node's process says of itself: seconds of processors, and bytes.
const (
	goTotal, goIdle, goCollecting = "go_cpu_classes_total_cpu_seconds_total", "go_cpu_classes_idle_cpu_seconds_total", "go_cpu_classes_gc_total_cpu_seconds_total"
	goLive                        = "go_gc_heap_live_bytes"
)

// settled returns the node's metrics once all that it took in is on its disk: at most settleFor after ten commits.
func (n *statsdNode) settled(ctx context.Context) (map[string]float64, error) {
	const quietFor, settleFor = time.Second, time.Minute
	for began := time.Now(); ; {
		if err := pause(ctx, quietFor); err != nil {
			return nil, err
		}
		got, err := n.mesh.metrics(ctx, n.node)
		if err != nil || got[`meshd_ingest_stored_total{protocol="statsd"}`] == got[`meshd_ingest_samples_total{protocol="statsd"}`] || time.Since(began) > settleFor {
			return got, err
		}
	}
}

// longestFlush returns the upper end of the last bucket in which there is a flush that was not there before.
func longestFlush(before, after map[string]float64) (seconds float64) {
	const prefix = `meshd_ingest_flush_seconds_bucket{protocol="statsd",le="`
	all := after[prefix+`+Inf"}`] - before[prefix+`+Inf"}`]
	last, seconds := 0.0, math.Inf(1)
	for name := range after {
		le, of := strings.CutPrefix(name, prefix)
		end, err := strconv.ParseFloat(strings.TrimSuffix(le, `"}`), 64)
		if !of || err != nil || math.IsInf(end, 1) {
			continue
		}
		if last = max(last, end); after[name]-before[name] == all {
			seconds = min(seconds, end)
		}
	}
	return min(seconds, 2*last) // twice the last: longer than that bucket
}

// finish reads what the node has in the end.
func (n *statsdNode) finish(ctx context.Context, d *statsdDetail, series int) error {
	got, err := n.mesh.metrics(ctx, n.node)
	if err != nil {
		return err
	}
	for name, v := range got {
		if strings.HasPrefix(name, `meshd_ingest_rejected_total{protocol="statsd"`) {
			d.Rejected += v
		}
	}
	if d.Resident, err = residentOf(n.mesh.pid(n.node.Name)); err != nil {
		return err
	}
	d.Heap.LiveMiB = round(got[goLive]/(1<<20), 1)
	d.Heap.PerSeries = round(got[goLive]/float64(series), 0)
	d.Total, _, err = n.mesh.answer(ctx, n.node, ingestMetric)
	return err
}
