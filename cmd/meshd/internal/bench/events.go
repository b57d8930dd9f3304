package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"

	"github.com/spf13/pflag"

	"meshd/crdt"
	"meshd/internal/archive"
	"meshd/internal/eventlog"
	"meshd/node"
	"meshd/replay"
)

// rawEvents measures the log of raw events: how many bytes a click takes on disk, and how many a core packs and reads.
type rawEvents struct {
	events, batch int
	rate          float64
	tokens        string
	seed          uint64
}

func eventsBench() Bench {
	return Bench{
		Name: "events", Summary: "a log of raw events: bytes on disk of a click with five labels, events a second and core packed and read",
		bind: func(fs *pflag.FlagSet) job {
			b := &rawEvents{}
			fs.IntVar(&b.events, "events", 1_000_000, "`number` of clicks")
			fs.IntVar(&b.batch, "batch", 10_000, "`number` of them that a node appends at once: those of ten seconds")
			fs.Float64Var(&b.rate, "rate", 1000, "`number` of them a second that they happen at: gaps between times take bits")
			fs.StringVar(&b.tokens, "tokens", "source", "`none|source|uuid`: what clients tell repetitions apart by")
			fs.Uint64Var(&b.seed, "seed", 1, "`number` that they are drawn from")
			return b
		},
		quick: map[string]string{"events": "50000"},
	}
}

func (b *rawEvents) check() error {
	if b.events < 1 || b.batch < 1 || b.rate <= 0 || b.tokens != "none" && b.tokens != "source" && b.tokens != "uuid" {
		return errors.New("--events, --batch and --rate must be at least 1, --tokens none, source or uuid")
	}
	return nil
}

const (
	eventsBar = 12 // bytes
	eventsAim = 6
)

type eventsDetail struct {
	Events        int     `json:"events"`
	Batches       int     `json:"batches"`
	Aim           float64 `json:"aim_at_most"`
	JSONBytes     float64 `json:"json_bytes_per_event"` // as POST /v1/events takes them
	PackedPerCore float64 `json:"packed_per_second_and_core"`
	ReadPerCore   float64 `json:"read_per_second_and_core"`
}

func (b *rawEvents) measure(ctx context.Context, r *run) (_ *Report, err error) {
	dir := filepath.Join(r.dir, "events")
	log, err := replay.OpenEmbedded(replay.EmbeddedConfig{Dir: dir, Mesh: pairMesh})
	if err != nil {
		return nil, err
	}
	d := eventsDetail{Events: b.events, Aim: eventsAim}
	clicks := newClicks(b)
	packing := 0.0
	var json int
	for left := b.events; left > 0 && err == nil; left -= b.batch {
		events := clicks.take(min(left, b.batch))
		json += clicks.json
		var cpu, used float64
		if cpu, err = cpuSeconds(); err != nil {
			break
		}
		var records []replay.Record
		for len(events) > 0 {
			n := eventlog.Cut(events)
			records = append(records, replay.Record{Kind: replay.KindEvents, Key: clicks.origin.Inc[:], Value: clicks.enc.Append(nil, clicks.origin, events[:n])})
			events = events[n:]
		}
		if used, err = cpuSeconds(); err == nil {
			packing += used - cpu
			d.Batches++
			_, err = log.Append(ctx, records)
		}
	}
	if err = errors.Join(err, log.Close()); err != nil {
		return nil, err
	}
	size, err := folderBytes(dir)
	if err != nil {
		return nil, err
	}
	r.say("%d clicks take %d bytes", b.events, size)
	if err := b.read(ctx, dir, &d); err != nil {
		return nil, err
	}
	if packing > 0 {
		d.PackedPerCore = round(float64(b.events)/packing, 0)
	}
	d.JSONBytes = round(float64(json)/float64(b.events), 1)
	perEvent := round(float64(size)/float64(b.events), 2)
	return newReport(
		Quantity{perEvent, "bytes", fmt.Sprintf("on disk for a click with five labels, at %g a second, tokens: %s", b.rate, b.tokens)}, eventsBar,
		Quantity{round(clicks.entropy(), 2), "bytes", "entropy of labels and times as they are drawn"}, d), nil
}

// read reads all of it back.
func (b *rawEvents) read(ctx context.Context, dir string, d *eventsDetail) (err error) {
	log, err := replay.OpenEmbedded(replay.EmbeddedConfig{Dir: dir, Mesh: pairMesh, ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	cpu, err := cpuSeconds()
	if err != nil {
		return err
	}
	st, err := archive.ReadEvents(ctx, log, nil, func(crdt.Origin, *eventlog.Event) error { return nil })
	if err != nil {
		return err
	}
	used, err := cpuSeconds()
	if used > cpu {
		d.ReadPerCore = round(float64(b.events)/(used-cpu), 0)
	}
	if st.Events != int64(b.events) || st.Missing != 0 {
		return fmt.Errorf("%d events are read, %d were written", st.Events, b.events)
	}
	return err
}

// clickLabels are the labels of a click and how many values each has. The k-th value is as likely as 1/k.
var clickLabels = []struct {
	name   string
	values int
}{{"browser", 8}, {"campaign", 20}, {"country", 60}, {"device", 3}, {"page", 300}}

// clicks draws events.
type clicks struct {
	b      *rawEvents
	rng    *rand.Rand
	origin crdt.Origin
	chance [][]float64 // cumulative, by label
	values [][]string
	at     float64 // ms
	number uint64
	json   int // bytes of the last ones, as clients send them
	enc    eventlog.Encoder
}

func newClicks(b *rawEvents) *clicks {
	c := &clicks{
		b: b, rng: rand.New(rand.NewPCG(b.seed, 7)), at: 1_773_500_000_000,
		origin: crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "edge-1", Inc: node.NewIncarnation()},
	}
	for _, l := range clickLabels {
		sum := 0.0
		var chance []float64
		var values []string
		for k := range l.values {
			sum += 1 / float64(k+1)
			chance = append(chance, sum)
			values = append(values, fmt.Sprintf("%s-%x", l.name, c.rng.Uint32()))
		}
		for k := range chance {
			chance[k] /= sum
		}
		c.chance, c.values = append(c.chance, chance), append(c.values, values)
	}
	return c
}

// take draws the next events.
func (c *clicks) take(n int) []eventlog.Event {
	events := make([]eventlog.Event, n)
	c.json = 0
	for i := range events {
		c.number++
		c.at += c.rng.ExpFloat64() * 1000 / c.b.rate
		s := &crdt.Series{Name: "page.click", Kind: crdt.KindCounter}
		size := len(`{"event":"page.click","ts":1773500000000,"labels":{}}`)
		for j, l := range clickLabels {
			u, k := c.rng.Float64(), 0
			for c.chance[j][k] < u && k < l.values-1 {
				k++
			}
			s.Labels = append(s.Labels, crdt.Label{Name: l.name, Value: c.values[j][k]})
			size += len(`"":"",`) + len(l.name) + len(c.values[j][k])
		}
		ev := &events[i]
		*ev = eventlog.Event{Number: c.number, Time: int64(c.at), Series: s, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}}
		switch c.b.tokens {
		case "source":
			ev.Token = eventlog.Token{Source: "shop-7", Seq: c.number}
		case "uuid":
			ev.Token = eventlog.Token{Key: fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", c.rng.Uint32(), c.rng.Uint32()&0xffff, c.rng.Uint32()&0xfff, c.rng.Uint32()&0xfff, c.rng.Uint64()&(1<<48-1))}
		}
		c.json += size
	}
	return events
}

// entropy is how many bytes of a click nobody can foresee: its labels, the gap to the one before in whole milliseconds and, of
// a UUID, 122 bits.
func (c *clicks) entropy() float64 {
	bits := 0.0
	for _, chance := range c.chance {
		last := 0.0
		for _, p := range chance {
			bits -= (p - last) * math.Log2(p-last)
			last = p
		}
	}
	q := math.Exp(-c.b.rate / 1000) // gaps are geometric with this chance of another millisecond
	bits += -math.Log2(1-q) - q/(1-q)*math.Log2(q)
	if c.b.tokens == "uuid" {
		bits += 122
	}
	return bits / 8
}
