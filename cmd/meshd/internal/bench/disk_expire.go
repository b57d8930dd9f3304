package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"meshd/buffer"
	"meshd/crdt"
	"meshd/history"
	"meshd/internal/bridge"
)

// expireDetail is how long commits took while a day of windows was dropped.
type expireDetail struct {
	Series  int     `json:"series"`
	Chunks  int     `json:"chunks"`
	Loaded  float64 `json:"load_seconds"`
	Dropped float64 `json:"drop_seconds"`
	Before  spread  `json:"before"`
	During  spread  `json:"during"`
	After   spread  `json:"after"`
	// Open is how long the tables of that many series took to read at a start; Find is a search for a label among them.
	Open   float64 `json:"open_seconds"`
	Find   spread  `json:"find_one_label"`
	Names  spread  `json:"find_all_of_a_name"`
	Listed spread  `json:"list_all"`
}

// measureExpiry fills a day of many series and drops it while commits of clients go on.
func (b *disk) measureExpiry(ctx context.Context, r *run) (*Report, error) {
	dir := filepath.Join(r.dir, "expire")
	store, err := buffer.Open(buffer.Config{Dir: dir, Mesh: "bench", Region: "east", Node: "disk", MemoryBytes: 256 << 20})
	if err != nil {
		return nil, err
	}
	rep, err := b.expire(ctx, r, store)
	return rep, errors.Join(err, store.Close())
}

func (b *disk) expire(ctx context.Context, r *run, store *buffer.Store) (_ *Report, err error) {
	d := expireDetail{Series: b.expireSeries}
	now := atomic.Int64{}
	now.Store(historyStart.Add(day).UnixMilli())
	cfg := history.Config{KV: bridge.Windows{Store: store}, Now: func() time.Time { return time.UnixMilli(now.Load()) }}
	s, err := history.Open(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { s.Close() }()
	r.say("%d series", b.expireSeries)
	began := time.Now()
	if err := b.fillDay(ctx, s); err != nil {
		return nil, err
	}
	d.Loaded = round(time.Since(began).Seconds(), 1)
	s.Close()
	began = time.Now()
	if s, err = history.Open(cfg); err != nil {
		return nil, err
	}
	d.Open = round(time.Since(began).Seconds(), 2)
	if err := b.find(ctx, s, &d); err != nil {
		return nil, err
	}
	r.say("before")
	if d.Before, err = b.acks(ctx, store, b.seconds, nil); err != nil {
		return nil, err
	}
	r.say("the day expires")
	now.Add((8 * day).Milliseconds())
	done := make(chan error, 1)
	began = time.Now()
	go func() {
		done <- s.Expire(ctx, func() error { time.Sleep(history.ExpirePause); return ctx.Err() })
	}()
	if d.During, err = b.acks(ctx, store, time.Hour, done); err != nil {
		return nil, err
	}
	d.Dropped = round(time.Since(began).Seconds(), 1)
	r.say("after")
	if d.After, err = b.acks(ctx, store, b.seconds, nil); err != nil {
		return nil, err
	}
	d.Chunks = b.expireSeries
	rep := newReport(
		Quantity{round(d.During.P99/d.Before.P99, 2), "times", fmt.Sprintf("p99 of synced commits while a day of %d series is dropped, to that before: %.1f ms to %.1f; after %.1f; longest %.0f to %.0f",
			b.expireSeries, d.During.P99, d.Before.P99, d.After.P99, d.During.Max, d.Before.Max)},
		2, Quantity{}, d)
	if n := s.SeriesCount(); n != 0 {
		rep.wrong("%d series are left", n)
	}
	return rep, nil
}

// fillDay gives every series six windows of one span.
func (b *disk) fillDay(ctx context.Context, s *history.Store) error {
	const each = 6
	origin := crdt.Origin{Class: crdt.ClassRegion, Region: "east"}
	cells := make([]history.Cell, 0, each)
	for i := range b.expireSeries {
		series := &crdt.Series{Name: fmt.Sprintf("m%d", i%1000), Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "ad", Value: fmt.Sprint(i / 10)}, {Name: "country", Value: fmt.Sprint(i % 200)}}}
		cells = cells[:0]
		for j := range each {
			w := crdt.Window{Start: historyStart.UnixMilli() + int64(j)*historyWidths[0].Milliseconds(), Width: historyWidths[0].Milliseconds()}
			cells = append(cells, history.Cell{Series: series, Window: w, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(uint64(i + j))}})
		}
		if err := errors.Join(s.Apply(uint64(i+1), origin, cells), ctx.Err()); err != nil {
			return err
		}
	}
	return s.Fold(ctx)
}

// find measures searches among the series.
func (b *disk) find(ctx context.Context, s *history.Store, d *expireDetail) error {
	for _, q := range []struct {
		sel  history.Selection
		into *spread
	}{
		{history.Selection{Equal: []crdt.Label{{Name: "ad", Value: "7"}}}, &d.Find},
		{history.Selection{Names: func(n string) bool { return n == "m7" }}, &d.Names},
		{history.Selection{}, &d.Listed},
	} {
		var times []time.Duration
		for range 20 {
			began := time.Now()
			if err := s.Series(ctx, q.sel, func(*crdt.Series) error { return nil }); err != nil {
				return err
			}
			times = append(times, time.Since(began))
		}
		*q.into = newSpread(times)
	}
	return nil
}

// acks commits as a client's counts are for a while, or until done says something.
func (b *disk) acks(ctx context.Context, store *buffer.Store, length time.Duration, done <-chan error) (spread, error) {
	var times []time.Duration
	value := make([]byte, b.bytes)
	for began := time.Now(); time.Since(began) < length; {
		select {
		case err := <-done:
			return newSpread(times), err
		case <-ctx.Done():
			return spread{}, ctx.Err()
		default:
		}
		start := time.Now()
		key := binary.BigEndian.AppendUint64([]byte("l"), uint64(start.UnixNano()))
		if err := store.Commit([]buffer.Op{{Key: key, Value: value}}); err != nil {
			return spread{}, err
		}
		times = append(times, time.Since(start))
	}
	return newSpread(times), nil
}
