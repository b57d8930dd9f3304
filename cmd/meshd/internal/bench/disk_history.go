package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"meshd/buffer"
	"meshd/crdt"
	"meshd/history"
	"meshd/history/historytest"
	doors "meshd/ingest"
	"meshd/internal/bridge"
	"meshd/node"

	"github.com/prometheus/client_golang/prometheus"
)

// historyBytes is what the windows of series take on disk.
type historyBytes struct {
	Series  int `json:"series"`
	Samples int `json:"samples"`
	// Chunks holds the bytes of all chunks per sample: those of fine windows, of minutes and of hours.
	Chunks [3]float64 `json:"chunk_bytes_per_sample_by_width"`
	Sum    float64    `json:"chunk_bytes_per_sample"`
	// Index is keys and tables, Store what the directory takes with all that the store adds.
	Index float64 `json:"index_bytes_per_sample"`
	Store float64 `json:"store_bytes_per_sample"`
	// Applied is how many windows a second came in and into chunks, by one goroutine.
	Applied float64 `json:"windows_per_second"`
}

type historyDetail struct {
	Walks historyBytes  `json:"walks"`
	Host  *historyBytes `json:"host_metrics,omitempty"`
}

// historyStart is any hour.
var historyStart = time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)

// historyWidths are those that writers keep.
var historyWidths = [3]time.Duration{10 * time.Second, time.Minute, time.Hour}

// measureHistory writes windows into a store and counts the bytes.
func (b *disk) measureHistory(ctx context.Context, r *run) (*Report, error) {
	d := historyDetail{}
	var err error
	walks := historytest.Hosts{
		Hosts: b.hosts, Series: b.series, Fine: historyWidths[0], From: historyStart, Length: b.span, Seed: 1, Kind: crdt.KindGauge, Region: "east",
	}
	r.say("%d hosts with %d series for %v", b.hosts, b.series, b.span)
	if d.Walks, err = b.historyOf(filepath.Join(r.dir, "walks"), func(s *history.Store) (series, samples int, err error) {
		samples, err = walks.Load(s, func() error { return errors.Join(s.Fold(ctx), ctx.Err()) })
		return b.hosts * b.series, samples, err
	}); err != nil {
		return nil, err
	}
	if b.host > 0 {
		r.say("metrics of this machine, read every %v for %v", hostEvery, b.host)
		readings, err := readHost(ctx, b.host)
		if err != nil {
			return nil, err
		}
		host, err := b.historyOf(filepath.Join(r.dir, "host"), func(s *history.Store) (int, int, error) { return applyHost(ctx, s, readings) })
		if err != nil {
			return nil, err
		}
		d.Host = &host
	}
	of := fmt.Sprintf("chunks of fine windows, index aside, of gauges of whole numbers in random walks; %.2f with the minutes and hours beside them, %.2f with index and all of the store",
		d.Walks.Sum, d.Walks.Store)
	if d.Host != nil {
		of += fmt.Sprintf("; metrics of this machine: %.2f, with minutes and hours %.2f", d.Host.Chunks[0], d.Host.Sum)
	}
	rep := newReport(Quantity{d.Walks.Chunks[0], "bytes", of}, 1.2, Quantity{16, "bytes", "a time and a float as they are"}, d)
	rep.miss(d.Host != nil && d.Host.Chunks[0] > 1.2)
	return rep, nil
}

// historyOf opens a store, fills it and weighs it.
func (b *disk) historyOf(dir string, fill func(*history.Store) (series, samples int, err error)) (h historyBytes, err error) {
	store, err := buffer.Open(buffer.Config{Dir: dir, Mesh: "bench", Region: "east", Node: "disk", MemoryBytes: 256 << 20})
	if err != nil {
		return h, err
	}
	defer func() {
		if err == nil { // closing writes what is in memory
			err = store.Close()
			h.Store = round(float64(store.Size())/float64(max(h.Samples, 1)), 3)
		} else {
			err = errors.Join(err, store.Close())
		}
	}()
	s, err := history.Open(history.Config{KV: bridge.Windows{Store: store}, Now: func() time.Time { return historyStart.Add(day) }})
	if err != nil {
		return h, err
	}
	defer s.Close()
	began := time.Now()
	if h.Series, h.Samples, err = fill(s); err != nil {
		return h, err
	}
	h.Applied = round(float64(h.Samples)/time.Since(began).Seconds(), 0)
	return h, h.weigh(store)
}

const day = 24 * time.Hour

// weigh adds up keys and values.
func (h *historyBytes) weigh(store *buffer.Store) error {
	n := float64(max(h.Samples, 1))
	index, sum := 0, 0.0
	err := store.Scan([]byte("h/"), func(key, value []byte) error {
		index += len(key)
		for i, width := range historyWidths {
			if bytes.HasPrefix(key, history.ChunkPrefix(width)) {
				h.Chunks[i] += float64(len(value)) / n
				sum += float64(len(value)) / n
				return nil
			}
		}
		index += len(value)
		return nil
	})
	for i := range h.Chunks {
		h.Chunks[i] = round(h.Chunks[i], 3)
	}
	h.Sum, h.Index = round(sum, 3), round(float64(index)/n, 3)
	return err
}

// hostEvery is how often this machine is read: what would be 2 h takes 72 s.
const hostEvery = 100 * time.Millisecond

// hostReadings takes what a node would count.
type hostReadings struct{ rounds [][]node.Item }

// Submit implements ingest.Submitter.
func (h *hostReadings) Submit(_ context.Context, b *node.Batch) node.Result {
	h.rounds = append(h.rounds, b.Items)
	return node.Result{}
}

// readHost reads this machine for a while.
func readHost(ctx context.Context, length time.Duration) ([][]node.Item, error) {
	metrics, err := doors.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var got hostReadings
	err = doors.NewHost(doors.HostConfig{Interval: hostEvery, Submit: &got, Metrics: metrics}).Run(limited)
	return got.rounds, errors.Join(err, ctx.Err())
}

// applyHost makes a fine window of every reading, and minutes and hours of them.
func applyHost(ctx context.Context, s *history.Store, rounds [][]node.Item) (series, samples int, err error) {
	origin := crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: "disk", Inc: crdt.Incarnation{1}}
	bySeries := make(map[string][]history.Cell)
	for i, items := range rounds {
		w := crdt.Window{Start: historyStart.UnixMilli() + int64(i)*historyWidths[0].Milliseconds(), Width: historyWidths[0].Milliseconds()}
		for _, item := range items {
			v := item.Inc
			if g, ok := v.X.(*crdt.Gauge); ok {
				at := w.Start + g.Time.Millis()%100 // what differs from reading to reading of a clock's tick
				r := crdt.RollupOf([]*crdt.Gauge{{Time: crdt.HLCFrom(at, 0), Value: g.Value}})
				r.Stamp = crdt.HLC(r.Count)
				v = crdt.Value{Kind: crdt.KindRollup, X: r}
			}
			key := string(item.Series.AppendKey(nil))
			bySeries[key] = append(bySeries[key], history.Cell{Series: item.Series, Window: w, Value: v})
		}
	}
	for _, fine := range bySeries {
		cells := fine
		for _, width := range historyWidths[1:] {
			cells = append(cells, historytest.Widen(fine, width)...)
		}
		if err := s.Apply(1, origin, cells); err != nil {
			return 0, 0, err
		}
		samples += len(fine)
	}
	return len(bySeries), samples, s.Fold(ctx)
}
