package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/node"
)

// scrapeAccept asks for the formats in the order in which they say most: protobuf has native histograms and when
// counters began, OpenMetrics may have the latter.
const scrapeAccept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7," +
	"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5," +
	"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"

// ownScrapeSeries is how many series there are about a scrape itself.
const ownScrapeSeries = 5

// scrapeLoop scrapes one target.
type scrapeLoop struct {
	s      *Scraper
	target *target
	client *http.Client
	body   *exposition
	health *targetState
}

// run scrapes until ctx ends.
func (l *scrapeLoop) run(ctx context.Context) {
	for {
		pause(ctx, l.target.wait(l.s.door.now()))
		if ctx.Err() != nil {
			return
		}
		select { // a body may be 8 MiB: not of all targets at once
		case l.s.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		l.scrape(ctx)
		<-l.s.slots
	}
}

// scrape asks the target once and submits what it says and how it went. When the node takes nothing, all of it is lost but
// what is cumulative: the next scrape contains that.
func (l *scrapeLoop) scrape(ctx context.Context) {
	begun := l.s.door.now()
	p := rwPoints{points: newPoints(crdt.HLCFrom(begun.UnixMilli(), 0)), ignored: map[string]int{}}
	said, err := l.ask(ctx)
	if err == nil {
		err = l.take(&p, &said, begun.UnixMilli())
	}
	if ctx.Err() != nil && err != nil {
		return // the target is not to blame
	}
	if errors.Is(err, node.ErrBusy) {
		l.s.meter.deferred.Inc()
		l.health.done(begun, 0, err, len(said.samples))
		return
	}
	took := l.s.door.now().Sub(begun)
	if err != nil {
		p.items, p.point = nil, nil
		said.added = 0
		l.s.failed.Inc()
	}
	l.health.done(begun, took, err, len(said.samples))
	if ownErr := l.own(&p, &said, err == nil, took, begun.UnixMilli()); ownErr != nil {
		l.s.meter.rejected[reasonOf(ownErr)].Inc()
	}
	// The answer is waited for, also when ctx has ended: the node ends after its doors.
	res, err := l.s.door.send(context.WithoutCancel(ctx), l.s.meter, p.items)
	if err != nil {
		return // counted as deferred
	}
	p.settle(l.s.meter, res.Rejected)
	for what, n := range p.ignored {
		l.s.meter.ignored.WithLabelValues(what).Add(float64(n))
	}
}

// ask fetches the target's body and reads it.
func (l *scrapeLoop) ask(ctx context.Context) (exposed, error) {
	ctx, cancel := context.WithTimeout(ctx, l.target.timeout)
	defer cancel()
	l.s.meter.packets.Inc()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.target.url, http.NoBody)
	if err != nil {
		return exposed{}, err
	}
	r.Header.Set("Accept", scrapeAccept)
	r.Header.Set("User-Agent", "meshd")
	r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(l.target.timeout.Seconds(), 'f', -1, 64))
	resp, err := l.client.Do(r)
	if err != nil {
		return exposed{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return exposed{}, fmt.Errorf("it answered %s", resp.Status)
	}
	limit := l.target.job.bodyBytes
	b := &body{door: l.s.door}
	defer b.release()
	err = b.fill(io.LimitReader(resp.Body, int64(limit)+1), -1) // the length it claims may be of what is compressed
	l.s.meter.bytes.Add(float64(len(b.bytes)))
	if errors.Is(err, errTooLong) || len(b.bytes) > limit {
		return exposed{}, fmt.Errorf("more than %d bytes (body_size_limit)", limit)
	}
	if err != nil {
		return exposed{}, err
	}
	return l.body.read(b.bytes, resp.Header.Get("Content-Type"))
}

// take turns what the target said into items.
func (l *scrapeLoop) take(p *rwPoints, said *exposed, at int64) error {
	for i := range said.samples {
		s := &said.samples[i]
		if s.at == 0 {
			s.at = at
		}
		if s.start == 0 {
			s.start = said.process
		}
		if mutant.On("starts of targets ignored") {
			s.start = 0
		}
		err := p.take(func() error {
			switch {
			case s.of.bad != nil:
				return s.of.bad
			case s.h == nil:
				return p.sample(s.of.series, &rwSample{value: s.value, at: s.at, start: s.start})
			}
			s.h.at, s.h.start = s.at, s.start
			return p.native(s.of.series, s.h)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// own adds the series that Prometheus has about every scrape.
func (l *scrapeLoop) own(p *rwPoints, said *exposed, up bool, took time.Duration, at int64) error {
	number := map[bool]float64{true: 1}[up]
	kept := 0
	if up {
		kept = len(said.samples)
	}
	for _, own := range [ownScrapeSeries]struct {
		name  string
		value float64
	}{
		{"up", number},
		{"scrape_duration_seconds", took.Seconds()},
		{"scrape_samples_scraped", float64(said.total)},
		{"scrape_samples_post_metric_relabeling", float64(kept)},
		{"scrape_series_added", float64(said.added)},
	} {
		s, err := l.ownSeries(own.name)
		if err != nil {
			return err
		}
		v, err := p.gauge(own.value, at)
		if err != nil {
			return err
		}
		if err := p.take(func() error { p.add(s, v, at); return nil }); err != nil {
			return err
		}
	}
	return nil
}

// ownSeries returns one of the series about the target's scrapes.
func (l *scrapeLoop) ownSeries(name string) (*crdt.Series, error) {
	b := labels.NewBuilder(l.target.labels)
	b.Set(model.MetricNameLabel, name)
	return seriesOf(b.Labels(), crdt.KindGauge)
}
