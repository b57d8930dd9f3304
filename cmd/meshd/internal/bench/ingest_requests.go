package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/snappy"

	"meshd/cmd/meshd/internal/cluster"
)

type requestsDetail struct {
	RawOne  requestRate  `json:"raw_one"`
	RawMany requestRate  `json:"raw_many"`
	One     requestRate  `json:"one"`
	Many    requestRate  `json:"many"`
	Crowd   *requestRate `json:"crowd,omitempty"` // events: many clients with small batches
	Fsync   diskRate     `json:"fsync"`           // 1,500 bytes appended to a file and synced, on the same disk before

	Resident resident `json:"resident"` // of the node, in the end
}

type requestRate struct {
	Clients   int     `json:"clients"`
	Batch     int     `json:"batch"`
	PerSecond float64 `json:"samples_per_second"`
	Requests  int     `json:"requests"`
	Answer    spread  `json:"answer"`
	CPU       float64 `json:"cpu_ns_per_sample,omitempty"` // of the node
	Total     int64   `json:"total,omitempty"`             // the node's answer
	Truth     int64   `json:"truth,omitempty"`             // what was acknowledged
}

// requests measures a door whose answers say that everything is on disk.
func (b *intake) requests(ctx context.Context, m *mesh) (*Report, error) {
	var d requestsDetail
	var err error
	fsync := disk{bytes: 1500, seconds: min(b.seconds, 2*time.Second)}
	if d.Fsync, err = fsync.raw(ctx, filepath.Dir(m.Data(m.Nodes()[0].Name))); err != nil {
		return nil, err
	}
	bare := http.Server{Handler: http.HandlerFunc(b.forget)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() { _ = bare.Serve(ln) }() // ends with Close
	defer func() { _ = bare.Close() }()
	for _, part := range []struct {
		to      *requestRate
		raw     bool
		clients int
	}{{&d.RawOne, true, 1}, {&d.RawMany, true, b.clients}, {&d.One, false, 1}, {&d.Many, false, b.clients}} {
		where, to := "into the node", requestPart{clients: part.clients, batch: b.batch, addr: m.Nodes()[0].HTTP}
		if part.raw {
			where, to.addr = "into a bare server", ln.Addr().String()
		}
		m.run.say("%d clients %s for %s", part.clients, where, b.seconds)
		if *part.to, err = b.part(ctx, m, to, part.raw); err != nil {
			return nil, err
		}
	}
	if b.door == "events" {
		m.run.say("%d clients, 10 events each at a time", b.crowd)
		crowd, err := b.part(ctx, m, requestPart{clients: b.crowd, batch: 10, addr: m.Nodes()[0].HTTP}, false)
		if err != nil {
			return nil, err
		}
		d.Crowd = &crowd
	}
	if d.Resident, err = residentOf(m.pid(m.Nodes()[0].Name)); err != nil {
		return nil, err
	}
	return b.requestsReport(&d), nil
}

func (b *intake) requestsReport(d *requestsDetail) *Report {
	of := fmt.Sprintf("samples by %s on disk, %d clients with %d a request, answers after %.1f ms (p99); with one client %.0f", b.door, b.clients, b.batch, d.Many.Answer.P99, d.One.PerSecond)
	if d.Crowd != nil {
		of += fmt.Sprintf("; %d clients with 10 events at a time have answers after %.1f ms (p99), fsync takes %.1f ms (p50), %.1f ms (p99)", b.crowd, d.Crowd.Answer.P99, d.Fsync.Commit.P50, d.Fsync.Commit.P99)
	}
	rep := newReport(Quantity{d.Many.PerSecond, "samples/s", of}, -1,
		Quantity{d.RawMany.PerSecond, "samples/s", fmt.Sprintf("the same bodies read and decompressed by a bare HTTP server; with one client %.0f", d.RawOne.PerSecond)}, *d)
	if b.door == "events" {
		rep.atLeast(200_000)
	} else {
		rep.atLeast(1_000_000)
		rep.miss(d.One.PerSecond < 300_000)
	}
	parts := []requestRate{d.One, d.Many}
	if d.Crowd != nil {
		parts = append(parts, *d.Crowd)
	}
	for _, p := range parts {
		if p.Total != p.Truth || p.Truth == 0 {
			rep.wrong("the node answers %d for the %d that it acknowledged to %d clients", p.Total, p.Truth, p.Clients)
		}
	}
	return rep
}

// forget is the bare server's: it reads a body and decompresses it.
func (b *intake) forget(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil && r.Header.Get("Content-Encoding") == "snappy" {
		_, err = snappy.Decode(nil, body)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
	}
}

// requestPart says who sends what where.
type requestPart struct {
	clients, batch int
	addr           string
}

// part lets clients send for a while, and compares what the node answers then.
func (b *intake) part(ctx context.Context, m *mesh, p requestPart, raw bool) (requestRate, error) {
	n := m.Nodes()[0]
	rate := requestRate{Clients: p.clients, Batch: p.batch}
	metric := "bench_" + strconv.Itoa(p.clients) + "_clients_" + strconv.Itoa(p.batch) + "_total"
	before, err := b.cpuOf(ctx, m, n, raw)
	if err != nil {
		return rate, err
	}
	began := time.Now()
	times, samples, err := b.sendAll(ctx, p, metric, &rate.Truth)
	took := time.Since(began)
	if err != nil {
		return rate, err
	}
	rate.PerSecond, rate.Requests, rate.Answer = round(float64(samples)/took.Seconds(), 0), len(times), newSpread(times)
	if raw {
		rate.Truth = 0
		return rate, nil
	}
	after, err := b.cpuOf(ctx, m, n, raw)
	if err != nil {
		return rate, err
	}
	rate.CPU = round((after-before)*1e9/float64(max(samples, 1)), 0)
	rate.Total, _, err = m.answer(ctx, n, metric)
	return rate, err
}

func (b *intake) cpuOf(ctx context.Context, m *mesh, n cluster.Node, raw bool) (float64, error) {
	if raw {
		return 0, nil
	}
	got, err := m.metrics(ctx, n)
	return got["process_cpu_seconds_total"], err
}

// sendAll returns the times of all answers, how many samples they were about, and in truth what the metric has come to.
func (b *intake) sendAll(ctx context.Context, p requestPart, metric string, truth *int64) (times []time.Duration, samples int, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	var errs []error
	for c := range p.clients {
		all.Go(func() {
			own, n, total, err := b.sendSeries(ctx, p, newBodies(b.door, metric, c, max(1, b.series/p.clients), p.batch))
			mu.Lock()
			defer mu.Unlock()
			times, samples, errs = append(times, own...), samples+n, append(errs, err)
			*truth += total
		})
	}
	all.Wait()
	return times, samples, errors.Join(errs...)
}

// sendSeries is one client: one request at a time.
func (b *intake) sendSeries(ctx context.Context, p requestPart, from *bodies) (times []time.Duration, samples int, total int64, err error) {
	client := http.Client{Transport: &http.Transport{}, Timeout: postTimeout}
	defer client.CloseIdleConnections()
	for began := time.Now(); time.Since(began) < b.seconds; {
		body, n, adds := from.take(time.Now())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.addr+from.path, bytes.NewReader(body))
		if err != nil {
			return nil, 0, 0, err
		}
		req.Header.Set("Content-Type", from.kind)
		if from.encoding != "" {
			req.Header.Set("Content-Encoding", from.encoding)
		}
		sent := time.Now()
		resp, err := client.Do(req)
		if err != nil {
			return nil, 0, 0, err
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode >= http.StatusMultipleChoices {
			return nil, 0, 0, fmt.Errorf("%s answers %s: %.200s: %w", from.path, resp.Status, text, err)
		}
		times = append(times, time.Since(sent))
		samples += n
		total += adds
	}
	return times, samples, total, nil
}
