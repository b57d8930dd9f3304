package senders

import (
	"fmt"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// shop is an application that is scraped.
type shop struct {
	addr string
	sold prometheus.Counter
	took prometheus.Histogram // native
	size prometheus.Histogram // classic
	temp prometheus.Gauge
	n    int // sold
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{
		sold: prometheus.NewCounter(prometheus.CounterOpts{Name: "sold_total"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "took_seconds", NativeHistogramBucketFactor: 1.1}),
		size: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "size_bytes", Buckets: []float64{1, 10}}),
		temp: prometheus.NewGauge(prometheus.GaugeOpts{Name: "temp"}),
	}
	r := prometheus.NewRegistry()
	r.MustRegister(s.sold, s.took, s.size, s.temp)
	web := httptest.NewServer(promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	t.Cleanup(web.Close)
	s.addr = strings.TrimPrefix(web.URL, "http://")
	return s
}

func (s *shop) sell(n int) {
	for range n {
		s.sold.Inc()
		s.took.Observe(0.3)
		s.size.Observe(5)
	}
	s.n += n
	s.temp.Set(float64(s.n))
}

// wantAt waits until nodes answer what the shop counted.
func (s *shop) wantAt(nodes ...*node) {
	for _, n := range nodes {
		for _, metric := range []string{"sold_total", "took_seconds", "size_bytes_count", "temp"} {
			n.want(metric, s.n)
		}
	}
}

// server is a Prometheus that scrapes a shop and writes to nodes.
type server struct {
	t     *testing.T
	http  string
	nodes int
	args  []string
	*process
}

func newServer(t *testing.T, message, replica string, s *shop, nodes ...*node) *server {
	t.Helper()
	dir := t.TempDir()
	var config strings.Builder
	fmt.Fprintf(&config, `
global: {scrape_interval: 1s, scrape_timeout: 1s, external_labels: {__replica__: %s}}
scrape_configs: [{job_name: shop, scrape_native_histograms: true, static_configs: [{targets: ["%s"], labels: {instance: till}}]}]
remote_write:
`, replica, s.addr)
	for _, n := range nodes {
		fmt.Fprintf(&config, "- {url: 'http://%s/api/v1/write', protobuf_message: %s, send_native_histograms: true, queue_config: {batch_send_deadline: 200ms, max_backoff: 200ms}}\n",
			n.http, message)
	}
	p := &server{t: t, http: free(t, "tcp"), nodes: len(nodes)}
	p.args = []string{
		"--config.file", write(t, dir, "prometheus.yml", config.String()), "--storage.tsdb.path", dir, "--web.listen-address", p.http,
		"--enable-feature=metadata-wal-records", "--log.level=warn",
	}
	p.run()
	return p
}

func (p *server) run() {
	p.t.Helper()
	p.process = start(p.t, "prometheus", p.args...)
}

// wrote waits until every node has acknowledged samples that were scraped after now.
func (p *server) wrote() {
	p.t.Helper()
	now := time.Now()
	until(p.t, "all nodes have what was scraped", func() error {
		text, err := get("http://" + p.http + "/metrics")
		sent := 0
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(line, "prometheus_remote_storage_queue_highest_sent_timestamp_seconds{"); ok {
				at, _ := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
				if at > float64(now.UnixMilli())/1000 {
					sent++
				}
			}
		}
		if err == nil && sent < p.nodes {
			err = fmt.Errorf("%d of %d nodes", sent, p.nodes)
		}
		return err
	})
}

// A Prometheus writes to a node; both are ended, gently and not, and go on. What it says again counts once.
func TestPrometheusWrites(t *testing.T) {
	for _, message := range []string{"prometheus.WriteRequest", "io.prometheus.write.v2.Request"} {
		t.Run(message, func(t *testing.T) {
			t.Parallel()
			s, n := newShop(t), newNode(t, "n1")
			p := newServer(t, message, "a", s, n)
			s.sell(5)
			s.wantAt(n)
			for _, how := range []os.Signal{os.Interrupt, os.Kill} {
				n.end(how)
				s.sell(7)
				n.run()
				s.wantAt(n)
				p.end(how)
				s.sell(11)
				p.run()
				s.wantAt(n)
			}
		})
	}
}

// Two servers scrape the same shop and write to two nodes each, which also scrape it themselves.
func TestManyWaysCountAsOne(t *testing.T) {
	s := newShop(t)
	rules := write(t, t.TempDir(), "scrape.yaml", fmt.Sprintf(
		`{global: {scrape_interval: 1s, scrape_timeout: 1s}, scrape_configs: [{job_name: shop, static_configs: [{targets: ["%s"], labels: {instance: till}}]}]}`, s.addr))
	n1 := newNode(t, "n1", "--scrape", rules)
	n2 := newNode(t, "n2", "--scrape", rules, "--join", n1.mesh)
	a := newServer(t, "prometheus.WriteRequest", "a", s, n1, n2)
	b := newServer(t, "io.prometheus.write.v2.Request", "b", s, n1, n2)
	s.sell(5)
	a.wrote()
	b.wrote()
	s.wantAt(n1, n2)
	n2.end(os.Kill)
	s.sell(7)
	s.wantAt(n1)
	n2.run()
	s.sell(11)
	a.wrote()
	b.wrote()
	s.wantAt(n1, n2)
}
