package ingest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"
	"pgregory.net/rapid"
)

// TestScrapeRulesRefuse: what cannot be meant is refused, with the place.
func TestScrapeRulesRefuse(t *testing.T) {
	job := func(more string) string { return "scrape_configs:\n- job_name: a\n" + more }
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", job("  scrape_intervall: 1s"), "scrape_intervall not found"},
		{"key of Prometheus that is not ours", "rule_files: [a]", "rule_files not found"},
		{"no name", "scrape_configs:\n- scheme: http", "job 1 has no job_name"},
		{"same name", job("- job_name: a"), `two jobs are called "a"`},
		{"interval", job("  scrape_interval: 1ms"), "at least 100ms"},
		{"timeout", job("  scrape_interval: 1s\n  scrape_timeout: 2s"), "at most the interval"},
		{"scheme", job("  scheme: ftp"), "want http or https"},
		{"negative limit", job("  sample_limit: -1"), "must not be negative"},
		{"sample limit", job("  sample_limit: 100000"), "at most 99995"},
		{"body", job("  body_size_limit: 9MiB"), "at most 8MiB"},
		{"rule", job("  relabel_configs: [{action: hashmod, target_label: x}]"), "relabel_configs: rule 1"},
		{"regex", job("  metric_relabel_configs: [{regex: '('}]"), "missing closing )"},
		{"files", job("  file_sd_configs: [{files: [a.txt]}]"), "ends in .json"},
		{"http", job("  http_sd_configs: [{url: 'ftp://x'}]"), "URL of http or https"},
		{"dns type", job("  dns_sd_configs: [{names: [a], type: MX}]"), "SRV, A or AAAA"},
		{"dns port", job("  dns_sd_configs: [{names: [a], type: A}]"), "needs a port"},
		{"two logins", job("  basic_auth: {username: a}\n  authorization: {credentials: b}"), "at most one of"},
		{"split", "split: half", "want none or hubs"},
		{"replicas alone", "replicas: 2", "are for split: hubs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := loadRules(t, c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestScrapeTargets: addresses, labels and rules make the URL and the labels that Prometheus would.
func TestScrapeTargets(t *testing.T) {
	for _, c := range []struct{ name, job, addr, url, labels, err string }{
		{"plain", "", "a:1", "http://a:1/metrics", `{instance="a:1", job="app"}`, ""},
		{"parts", "  scheme: https\n  metrics_path: /m?x=1\n  params: {a: [b, c]}", "a:1", "https://a:1/m?x=1&a=b&a=c", `{instance="a:1", job="app"}`, ""},
		{"rules", `  relabel_configs:
  - {source_labels: [__address__], regex: "(.*):.*", target_label: __param_target, replacement: "$1"}
  - {source_labels: [__param_target], target_label: instance}
  - {target_label: __address__, replacement: "probe:9115"}
  - {target_label: __meta_x, replacement: "gone"}`, "a:1", "http://probe:9115/metrics?target=a", `{instance="a", job="app"}`, ""},
		{"interval by label", "  relabel_configs: [{target_label: __scrape_timeout__, replacement: 2m}]", "a:1", "", "", "no longer a timeout than the interval"},
		{"bad interval", "  relabel_configs: [{target_label: __scrape_interval__, replacement: soon}]", "a:1", "", "", "__scrape_interval__"},
		{"path in address", "", "a:1/metrics", "", "", "is not host:port"},
		{"no address", "  relabel_configs: [{target_label: __address__, replacement: ''}]", "a:1", "", "", "no address"},
		{"dropped", "  relabel_configs: [{source_labels: [__address__], regex: 'a.*', action: drop}]", "a:1", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := loadRules(t, "scrape_configs:\n- job_name: app\n"+c.job)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.ScrapeConfigs[0].target(c.addr, nil)
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want %q", err, c.err)
				}
			case err != nil:
				t.Error(err)
			case c.url == "":
				if got != nil {
					t.Errorf("got %s, want no target", got.url)
				}
			case got.url != c.url || got.labels.String() != c.labels:
				t.Errorf("got %s %s, want %s %s", got.url, got.labels, c.url, c.labels)
			}
		})
	}
}

// TestTargetsAreShared: every target has an owner as long as there is a node; when a node goes, only its targets move; when
// one comes, targets move only to it.
func TestTargetsAreShared(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,8}`), 1, 8, rapid.ID[string]).Draw(t, "nodes")
		n := rapid.IntRange(1, 3).Draw(t, "replicas")
		key := rapid.String().Draw(t, "key")
		own := ownersOf(key, nodes, n)
		if len(own) != min(n, len(nodes)) {
			t.Fatalf("%d owners of %d nodes, want %d", len(own), len(nodes), n)
		}
		shuffled := slices.Clone(nodes)
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again := ownersOf(key, shuffled, n); !slices.Equal(own, again) {
			t.Fatalf("the order of nodes decides: %v and %v", own, again)
		}
		gone := nodes[0]
		left := ownersOf(key, nodes[1:], n)
		for _, o := range own {
			if o != gone && !slices.Contains(left, o) {
				t.Fatalf("%s lost the target because %s went: %v, then %v", o, gone, own, left)
			}
		}
		if !slices.Contains(own, gone) && !slices.Equal(own, left) {
			t.Fatalf("the target moved and was not of the node that went: %v, then %v", own, left)
		}
	})
}

// TestSharesAreEven: of 3,000 targets, three nodes have 1,000 each within a tenth.
func TestSharesAreEven(t *testing.T) {
	of := map[string]int{}
	for i := range 3000 {
		of[ownersOf(fmt.Sprintf("http://host-%d:9100/metrics", i), []string{"a", "b", "c"}, 1)[0]]++
	}
	for name, n := range of {
		if n < 900 || n > 1100 {
			t.Errorf("%s has %d of 3000", name, n)
		}
	}
}

// TestScraperSharesWithHubs: a scraper scrapes only what is its own among the hubs that are there and configured.
func TestScraperSharesWithHubs(t *testing.T) {
	rules := "split: hubs\nnodes: [eu-1, eu-2]\nscrape_configs:\n- job_name: app\n  static_configs: [{targets: ["
	for i := range 40 {
		rules += fmt.Sprintf("'h%d:1',", i)
	}
	hubs := []string{"eu-1", "eu-2", "eu-3"}
	mine := func(self string) (own []string) {
		s, _, _ := newTestScraper(t, rules+"]}]\n")
		s.cfg.Self = self
		s.cfg.Hubs = func(context.Context) []string { return hubs }
		targets, _ := s.targets()
		for key, owners := range s.ownedOf(t.Context(), targets) {
			if slices.Contains(owners, self) {
				own = append(own, key)
			}
		}
		return own
	}
	one, two, three := mine("eu-1"), mine("eu-2"), mine("eu-3")
	if len(one)+len(two) != 40 || len(one) == 0 || len(two) == 0 || len(three) != 0 {
		t.Errorf("40 targets are shared as %d, %d and %d, want all on the two configured", len(one), len(two), len(three))
	}
	hubs = []string{"eu-2", "eu-3"}
	if got := len(mine("eu-2")); got != 40 {
		t.Errorf("alone it has %d targets, want 40", got)
	}
}

func TestDiscoverOverHTTP(t *testing.T) {
	answer, code := `[{"targets": ["a:1"], "labels": {"x": "y"}}]`, http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(answer))
	}))
	defer srv.Close()
	h := &httpSD{URL: srv.URL, client: srv.Client()}
	if err := h.complete(); err != nil {
		t.Fatal(err)
	}
	groups, err := h.find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []targetGroup{{Targets: []string{"a:1"}, Labels: map[string]string{"x": "y", "__meta_url": srv.URL}, source: srv.URL}}
	if diff := cmp.Diff(want, groups, cmp.AllowUnexported(targetGroup{})); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []struct {
		answer string
		code   int
	}{{"[]", http.StatusInternalServerError}, {"{}", http.StatusOK}} {
		answer, code = bad.answer, bad.code
		if _, err := h.find(t.Context()); err == nil {
			t.Errorf("%d %s is taken for an answer", code, answer)
		}
	}
}

// TestDiscoverByDNS asks a server of our own, with real messages.
func TestDiscoverByDNS(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go serveDNS(server)
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	for _, c := range []struct {
		sd   dnsSD
		want []string
	}{
		{dnsSD{Names: []string{"_app._tcp.test."}}, []string{"one.test:9100", "two.test:9101"}},
		{dnsSD{Names: []string{"host.test."}, Type: "a", Port: 80}, []string{"192.0.2.1:80"}},
		{dnsSD{Names: []string{"nobody.test."}, Type: "A", Port: 80}, nil},
	} {
		if err := c.sd.complete(); err != nil {
			t.Fatal(err)
		}
		c.sd.resolver = resolver
		groups, err := c.sd.find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(groups[0].Targets, c.want) || groups[0].Labels["__meta_dns_name"] != c.sd.Names[0] {
			t.Errorf("%v: got %v %v, want %v", c.sd.Names, groups[0].Targets, groups[0].Labels, c.want)
		}
	}
}

// serveDNS knows two names.
func serveDNS(conn net.PacketConn) {
	buf := make([]byte, 512)
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		var q dnsmessage.Message
		if err != nil || q.Unpack(buf[:n]) != nil || len(q.Questions) == 0 {
			continue
		}
		about := q.Questions[0]
		m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true}, Questions: q.Questions[:1]}
		add := func(body dnsmessage.ResourceBody) {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: about.Name, Class: about.Class, TTL: 1}, Body: body})
		}
		switch {
		case about.Name.String() == "_app._tcp.test." && about.Type == dnsmessage.TypeSRV:
			add(&dnsmessage.SRVResource{Target: dnsmessage.MustNewName("two.test."), Port: 9101})
			add(&dnsmessage.SRVResource{Target: dnsmessage.MustNewName("one.test."), Port: 9100})
		case about.Name.String() == "host.test." && about.Type == dnsmessage.TypeA:
			add(&dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}})
		default:
			m.RCode = dnsmessage.RCodeNameError
		}
		out, err := m.Pack()
		if err == nil {
			_, _ = conn.WriteTo(out, from)
		}
	}
}

// TestTurnsAreSpread: targets have their turns at times of their own, the same ones on every node, once an interval.
func TestTurnsAreSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := target{key: rapid.String().Draw(t, "key"), interval: time.Duration(rapid.Int64Range(1e8, 1e11).Draw(t, "interval"))}
		now := time.Unix(0, rapid.Int64Range(0, 1<<61).Draw(t, "now"))
		wait := x.wait(now)
		if wait <= 0 || wait > x.interval {
			t.Fatalf("waits %s of %s", wait, x.interval)
		}
		at := now.Add(wait)
		if next := x.wait(at); next != x.interval {
			t.Fatalf("at its turn it waits %s, want a whole interval of %s", next, x.interval)
		}
	})
}

func FuzzParseGroups(f *testing.F) {
	f.Add([]byte(`[{"targets": ["a:1"], "labels": {"x": "y"}}]`), true)
	f.Add([]byte("- targets: [a]\n  labels: {x: y}\n"), false)
	r, err := loadRules(f, "scrape_configs:\n- job_name: app\n")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte, isJSON bool) {
		groups, err := parseGroups(b, isJSON)
		if err != nil {
			return
		}
		for _, g := range groups {
			targets, _ := r.ScrapeConfigs[0].targetsOf(&g)
			for _, x := range targets {
				if x.url == "" || x.labels.Get("job") == "" && g.Labels["job"] != "" || x.interval <= 0 {
					t.Errorf("group %v makes the target %v", g, x)
				}
			}
		}
	})
}

func FuzzScrapeBody(f *testing.F) {
	types := []string{"text/plain; version=0.0.4", "application/openmetrics-text", "application/vnd.google.protobuf", ""}
	f.Add([]byte(plainText), byte(0))
	f.Add([]byte(openMetricsText), byte(1))
	f.Add([]byte("{\"a b\",x=\"y\"} 1\n"), byte(0))
	for typ, door := range []string{"scrape", "scrape_openmetrics", "scrape_protobuf"} {
		for _, input := range malformedInputs(f, door) {
			f.Add([]byte(input), byte(typ))
		}
	}
	r, err := loadRules(f, "scrape_configs:\n- job_name: app\n  always_scrape_classic_histograms: true\n")
	if err != nil {
		f.Fatal(err)
	}
	x, err := r.ScrapeConfigs[0].target("a:1", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte, typ byte) {
		e := newExposition(x)
		l := &scrapeLoop{target: x}
		var before int
		for range 2 { // the second time, series are known
			said, err := e.read(b, types[int(typ)%len(types)])
			if err != nil {
				return
			}
			p := rwPoints{points: newPoints(0), ignored: map[string]int{}}
			if err := l.take(&p, &said, 1000); err != nil {
				return
			}
			for _, it := range p.items {
				if err := it.Series.Check(); err != nil || it.Inc.Kind != it.Series.Kind {
					t.Errorf("%v of kind %v: %v", it.Series, it.Inc.Kind, err)
				}
			}
			if before > 0 && len(p.items) != before-1 {
				t.Errorf("the same body makes %d items, then %d", before-1, len(p.items))
			}
			before = len(p.items) + 1
		}
	})
}
