package query

import (
	"container/list"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/history"
)

// maxCacheBytes bounds the answers that are kept: a month of hours of 100 groups of gauges is 20 MB.
const maxCacheBytes = 32 << 20

// cache keeps the results of periods, so that a question that is asked again a minute later reads the last period only. What
// is kept is used only if the history says that no window of the period changed since before it was read: an answer that is
// kept too long is impossible, whatever comes late. It is safe for concurrent use.
type cache struct {
	src history.Marked

	mu    sync.Mutex
	byKey map[string]*list.Element
	order *list.List // of *kept, the one that was used last first
	bytes int

	hits, misses, stale, evictions prometheus.Counter
}

// kept is the results of one period.
type kept struct {
	key     string
	metric  string // "" of several
	period  period
	mark    uint64
	results encodedResults
}

// encodedResults are results in JSON.
type encodedResults struct {
	json  []byte
	count int
}

// keptBytes is what an entry takes beside its key and results.
const keptBytes = 250

func (k *kept) size() int { return keptBytes + 2*len(k.key) + len(k.results.json) }

// newCache returns nil, which keeps nothing, if the history cannot tell what changed.
func newCache(src history.Source) *cache {
	marked, ok := src.(history.Marked)
	if !ok {
		return nil
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "meshd", Subsystem: "query_cache", Name: name, Help: help})
	}
	return &cache{
		src: marked, byKey: map[string]*list.Element{}, order: list.New(),
		hits:      counter("hits_total", "Periods answered with results that were kept."),
		misses:    counter("misses_total", "Periods of which nothing was kept, or nothing that still holds."),
		stale:     counter("stale_total", "Kept results dropped because windows changed since, or may have."),
		evictions: counter("evictions_total", "Kept results dropped for room."),
	}
}

// collectors returns the metrics.
func (c *cache) collectors() []prometheus.Collector {
	if c == nil {
		return nil
	}
	return []prometheus.Collector{
		c.hits, c.misses, c.stale, c.evictions,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "meshd_query_cache_bytes", Help: "Memory of the results that are kept, about."}, func() float64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return float64(c.bytes)
		}),
	}
}

// mark returns the time to keep results under that are read from now on.
func (c *cache) mark() uint64 {
	if c == nil {
		return 0
	}
	return c.src.Mark()
}

// get returns the results of a period, if they are kept and hold.
func (c *cache) get(key string) (encodedResults, bool) {
	if c == nil {
		return encodedResults{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[key]
	if e == nil {
		c.misses.Inc()
		return encodedResults{}, false
	}
	k := e.Value.(*kept)
	if !c.src.Unchanged(k.metric, k.period.from, k.period.to, k.mark) {
		c.drop(e)
		c.stale.Inc()
		c.misses.Inc()
		return encodedResults{}, false
	}
	c.order.MoveToFront(e)
	c.hits.Inc()
	return k.results, true
}

// put keeps results, which nobody changes from then on.
func (c *cache) put(k *kept) {
	if c == nil || k.size() > maxCacheBytes/8 { // one answer is not to push out all others
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.byKey[k.key]; old != nil {
		c.drop(old)
	}
	c.byKey[k.key] = c.order.PushFront(k)
	for c.bytes += k.size(); c.bytes > maxCacheBytes; c.evictions.Inc() {
		c.drop(c.order.Back())
	}
}

func (c *cache) drop(e *list.Element) {
	k := e.Value.(*kept)
	c.order.Remove(e)
	delete(c.byKey, k.key)
	c.bytes -= k.size()
}

// cacheKey says all that the results of a period depend on beside the windows in it. Widths are those of the whole question: sums of floats depend
// on them.
func (q *totalQuery) cacheKey(p period) string {
	return fmt.Sprintf("%s\x00%d %d %d %d %d", q.text, q.rolled, q.corrected, p.from, p.to, q.time.width())
}

// metric returns the only one that the question is about, "" if it may be several.
func (q *totalQuery) metric() string {
	if len(q.sel.names) == 1 {
		return q.sel.names[0]
	}
	return ""
}

// normal returns a request without what its results do not depend on: those of equal ones are equal. Time is apart.
func (p *params) normal(by []string) string {
	var b strings.Builder
	for _, name := range []string{"metric", "kind", "agg", "top"} {
		fmt.Fprintf(&b, "%q", p.text(name))
	}
	fmt.Fprintf(&b, "%q%q", by, p.values["quantile"])
	fmt.Fprintf(&b, "%q", slices.Sorted(slices.Values(p.values["match"])))
	return b.String()
}
