package config

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"meshd/node"
)

// write puts text into a file of the test's own and returns its name.
func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "meshd.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDefaults(t *testing.T) {
	got, err := Load([]string{"--node", "n1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Node: "n1", Region: "default", Role: "hub", Mesh: "default", Data: "meshd-data",
		Listen: "127.0.0.1:8946", HTTP: "127.0.0.1:8946", StatsD: "127.0.0.1:8125", StatsDTCP: "off", Graphite: "off", OTLPHTTP: "off", OTLPgRPC: "off", ReplicaLabels: []string{"__replica__", "prometheus_replica"}, HostMetrics: true,
		Memory: 256 << 20, Link: "lan", Downlink: []string{"all"}, Flush: 100 * time.Millisecond, LogLevel: slog.LevelInfo,
		Window: 10 * time.Second, Retention: []string{"7d/30d/366d"}, Archive: "off", ArchiveBacklog: 1 << 30,
		ArchiveEvents: "off", ArchiveEventsMatch: []string{"*"}, ArchiveEventsBacklog: 256 << 20,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, "node: of-file\nregion: of-file\nmesh: of-file\njoin: [a:1, b:2]\nhost-metrics: off\nmemory: 1GiB\n")
	got, err := Load(
		[]string{"--node", "of-flag"},
		[]string{"MESHD_NODE=of-env", "MESHD_REGION=of-env", "MESHD_CONFIG=" + file, "HOME=/"},
	)
	if err != nil {
		t.Fatal(err)
	}
	if got.Node != "of-flag" || got.Region != "of-env" || got.Mesh != "of-file" || got.Role != "hub" {
		t.Errorf("node, region, mesh, role = %s, %s, %s, %s, want of-flag, of-env, of-file, hub", got.Node, got.Region, got.Mesh, got.Role)
	}
	if diff := cmp.Diff([]string{"a:1", "b:2"}, got.Join); diff != "" {
		t.Errorf("join of the file (-want +got):\n%s", diff)
	}
	if got.HostMetrics || got.Memory != 1<<30 {
		t.Errorf("host metrics %v, memory %d, want off, 1 GiB", got.HostMetrics, got.Memory)
	}
}

// TestEveryFlagHasKeyAndVariable holds the promise that there is one list of settings.
func TestEveryFlagHasKeyAndVariable(t *testing.T) {
	values := map[string]string{
		"node": "n", "region": "r", "role": "edge", "mesh": "m", "data": "d", "listen": "127.0.0.1:1", "advertise": "h:1",
		"join": "j:1", "http": "127.0.0.1:2", "http-token-file": "t", "statsd": "off", "statsd-sockets": "2", "statsd-tcp": "127.0.0.1:3", "graphite": "127.0.0.1:6", "otlp-http": "127.0.0.1:4", "otlp-grpc": "127.0.0.1:5",
		"replica-labels": "a,b", "logs": "l", "scrape": "s", "kafka": "ka", "http-tls-cert": "hc", "http-tls-key": "hk", "source-limit": "10MB/s", "labels": "la",
		"statsd-unix": "u", "statsd-unix-stream": "us", "statsd-updown": "a,b.*", "host-metrics": "off", "tls-ca": "a",
		"tls-cert": "c", "tls-key": "k", "memory": "128MiB", "link": "metered", "flush": "1s", "downlink": "a.*,b", "budget": "1GB/month", "insecure": "true", "window": "30s", "retention": "1d/2d/3d,a.*=2d//", "log-level": "debug",
		"archive": "off", "archive-backlog": "2GiB", "archive-events": "off", "archive-events-match": "click.*", "archive-events-backlog": "1GiB",
	}
	var lines, environ, args []string
	var file string
	newFlags(&Config{}, &file).VisitAll(func(f *pflag.Flag) {
		if f.Name == "config" || f.Hidden {
			return
		}
		v, ok := values[f.Name]
		if !ok {
			t.Errorf("flag --%s is not tried here: add a value", f.Name)
		}
		lines = append(lines, f.Name+": "+v)
		environ = append(environ, envName(f.Name)+"="+v)
		args = append(args, "--"+f.Name+"="+v)
	})
	byFlag, err := Load(args, nil)
	if err != nil {
		t.Fatal(err)
	}
	byEnv, err := Load(nil, environ)
	if err != nil {
		t.Fatal(err)
	}
	byFile, err := Load([]string{"--config", write(t, strings.Join(lines, "\n"))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(byFlag, byEnv); diff != "" {
		t.Errorf("variables differ from flags:\n%s", diff)
	}
	if diff := cmp.Diff(byFlag, byFile); diff != "" {
		t.Errorf("file differs from flags:\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name    string
		args    []string
		env     string
		file    string
		wantErr string
	}{
		{name: "unknown flag", args: []string{"--regoin", "x"}, wantErr: `unknown flag --regoin; did you mean "--region"?`},
		{name: "unknown variable", env: "MESHD_HTP=x", wantErr: `unknown variable MESHD_HTP; did you mean "MESHD_HTTP"?`},
		{name: "hidden flags are no settings", env: "MESHD_DEMO_CHILD=true", wantErr: "unknown variable MESHD_DEMO_CHILD"},
		{name: "unknown key", file: "region: x\nstatds: off\n", wantErr: `:2: unknown key "statds"; did you mean "statsd"?`},
		{name: "config in the file", file: "config: other\n", wantErr: `unknown key "config"`},
		{name: "key given twice", file: "node: a\nnode: b\n", wantErr: `key "node" is given twice`},
		{name: "nested value", file: "node: {a: b}\n", wantErr: "must be a plain value or a list"},
		{name: "not a mapping", file: "- node\n", wantErr: "must be a list of `key: value`"},
		{name: "bad value in the file", file: "\nflush: soon\n", wantErr: `:2: key "flush"`},
		{name: "argument", args: []string{"hub"}, wantErr: `unexpected argument "hub"`},
		{name: "role", args: []string{"--role", "boss"}, wantErr: "must be hub or edge"},
		{name: "node name", args: []string{"--node", "a b"}, wantErr: "may hold letters"},
		{name: "half of TLS", args: []string{"--tls-ca", "x"}, wantErr: "give all three or none"},
		{name: "open mesh", args: []string{"--listen", ":8946"}, wantErr: "without certificates a node listens on loopback only"},
		{name: "open HTTP", args: []string{"--http", ":8946"}, wantErr: "beyond loopback HTTP needs --http-token-file"},
		{name: "open OTLP", args: []string{"--otlp-grpc", ":4317"}, wantErr: "--otlp-grpc :4317: beyond loopback HTTP needs --http-token-file"},
		{name: "address", args: []string{"--join", "host"}, wantErr: `--join "host": must be host:port`},
		{name: "port", args: []string{"--http", "127.0.0.1:99999"}, wantErr: "port must be a number"},
		{name: "size", args: []string{"--memory", "10 apples"}, wantErr: "must be a size"},
		{name: "little memory", args: []string{"--memory", "1MiB"}, wantErr: "must be at least 64MiB"},
		{name: "flush", args: []string{"--flush", "1ms"}, wantErr: "must be from 10ms to 10m"},
		{name: "link", args: []string{"--link", "modem"}, wantErr: "must be lan, wan or metered"},
		{name: "metered hub", args: []string{"--link", "metered"}, wantErr: "it is for edges"},
		{name: "hub with a downlink", args: []string{"--downlink", "none"}, wantErr: "is for edges"},
		{name: "hub with a budget", args: []string{"--budget", "1GB/month"}, wantErr: "is for edges"},
		{name: "pattern", args: []string{"--role", "edge", "--downlink", "a,b}"}, wantErr: "closes a '}'"},
		{name: "none and some", args: []string{"--role", "edge", "--downlink", "a,none"}, wantErr: "stand alone"},
		{name: "empty downlink", args: []string{"--role", "edge", "--downlink", ""}, wantErr: "must be all, none or patterns"},
		{name: "budget without a time", args: []string{"--role", "edge", "--budget", "1GB"}, wantErr: "such as 1GB/month"},
		{name: "budget in a strange time", args: []string{"--role", "edge", "--budget", "1GB/moon"}, wantErr: "such as 1GB/month"},
		{name: "tiny budget", args: []string{"--role", "edge", "--budget", "10MB/month"}, wantErr: "want at least"},
		{name: "archive", args: []string{"--archive", "tape:1"}, wantErr: "want embedded:DIR or kafka:"},
		{name: "archive of an edge", args: []string{"--role", "edge", "--archive", "embedded:d"}, wantErr: "is for hubs"},
		{name: "events", args: []string{"--archive-events", "tape:1"}, wantErr: "want embedded:DIR or kafka:"},
		{name: "events in the archive", args: []string{"--archive", "embedded:d", "--archive-events", "embedded:d?keep=1d"}, wantErr: "another log"},
		{name: "events of no pattern", args: []string{"--archive-events-match", "{"}, wantErr: "--archive-events-match"},
		{name: "few events", args: []string{"--archive-events-backlog", "1MiB"}, wantErr: "must be at least 4MiB"},
		{name: "small backlog", args: []string{"--archive-backlog", "1MiB"}, wantErr: "must be at least 16MiB"},
		{name: "log level", args: []string{"--log-level", "loud"}, wantErr: "must be debug, info, warn or error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			args := append([]string{}, tc.args...)
			if tc.file != "" {
				args = append(args, "--config", write(t, tc.file))
			}
			_, err := Load(args, []string{tc.env})
			if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("error %v, want one with %q", err, tc.wantErr)
			}
		})
	}
}

func TestListenDefaults(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"bare", nil, "127.0.0.1:8946"},
		{"insecure", []string{"--insecure"}, ":8946"},
		{"with certificates", []string{"--tls-ca", "a", "--tls-cert", "c", "--tls-key", "k"}, ":8946"},
		{"given", []string{"--listen", "127.0.0.1:0"}, "127.0.0.1:0"},
	} {
		c, err := Load(tc.args, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.Listen != tc.want {
			t.Errorf("%s: listens on %s, want %s", tc.name, c.Listen, tc.want)
		}
	}
}

func TestHelp(t *testing.T) {
	if _, err := Load([]string{"--help"}, nil); !errors.Is(err, pflag.ErrHelp) {
		t.Errorf("error %v, want pflag.ErrHelp", err)
	}
	u := Usage()
	if words := strings.Join(strings.Fields(u), " "); strings.Contains(words, ") (default ") {
		t.Errorf("a flag has two defaults:\n%s", u)
	}
	if !strings.Contains(u, "--http-token-file file") || strings.Contains(u, "demo-child") {
		t.Errorf("usage lacks a flag or shows a hidden one:\n%s", u)
	}
}

func TestReadToken(t *testing.T) {
	if got, err := ReadToken(""); got != "" || err != nil {
		t.Errorf("no file: %q, %v", got, err)
	}
	if got, err := ReadToken(write(t, "admin secret\nread other\n")); got != "secret" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := ReadToken(write(t, " secret\nolder\n")); got != "secret" || err != nil {
		t.Errorf("file: %q, %v", got, err)
	}
	if _, err := ReadToken(write(t, "\n")); err == nil {
		t.Error("an empty token file was accepted")
	}
}

func FuzzFile(f *testing.F) {
	f.Add("node: a\njoin: [b:1, c:2]\n")
	f.Add("memory: 1GiB\nflush: 1s\n")
	f.Add("&a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Load([]string{"--node", "n", "--config", write(t, text)}, nil)
		if err == nil && (c.Node != "n" || c.Memory < minMemory || (c.Role != "hub" && c.Role != "edge")) {
			t.Errorf("accepted settings out of bounds: %+v", c)
		}
	})
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"0", "256MiB", "1GB", "9223372036854775807B", "kKMGiB", "-1k"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseSize(s)
		if err != nil {
			return
		}
		if back, err := parseSize(formatSize(n)); n < 0 || err != nil || back != n {
			t.Errorf("parseSize(%q) = %d, written as %s, read as %d (%v)", s, n, formatSize(n), back, err)
		}
	})
}

func TestLink(t *testing.T) {
	for _, tc := range []struct {
		args     []string
		flush    time.Duration
		patterns []string // nil: all
	}{
		{nil, 100 * time.Millisecond, nil},
		{[]string{"--link", "wan"}, time.Second, nil},
		{[]string{"--link", "metered"}, 30 * time.Second, nil},
		{[]string{"--link", "metered", "--flush", "5m"}, 5 * time.Minute, nil},
		{[]string{"--downlink", "none"}, 100 * time.Millisecond, []string{}},
		{[]string{"--downlink", "web.*,tills"}, 100 * time.Millisecond, []string{"web.*", "tills"}},
	} {
		c, err := Load(append([]string{"--node", "n", "--role", "edge"}, tc.args...), nil)
		if err != nil {
			t.Errorf("%v: %v", tc.args, err)
			continue
		}
		patterns, _ := c.Patterns()
		if diff := cmp.Diff(tc.patterns, patterns); c.Flush != tc.flush || diff != "" {
			t.Errorf("%v: flush %v, want %v; patterns (-want +got):\n%s", tc.args, c.Flush, tc.flush, diff)
		}
	}
}

func TestBudget(t *testing.T) {
	for text, want := range map[string]node.Budget{
		"":             {},
		"1GB/month":    {Bytes: 1e9, Per: 30 * 24 * time.Hour},
		"50MiB/day":    {Bytes: 50 << 20, Per: 24 * time.Hour},
		"100000k/week": {Bytes: 1e8, Per: 7 * 24 * time.Hour},
		"1MiB/hour":    {Bytes: 1 << 20, Per: time.Hour},
	} {
		c, err := Load([]string{"--node", "n", "--role", "edge", "--budget", text}, nil)
		if err != nil || c.Budget != want {
			t.Errorf("%q: %+v, %v, want %+v", text, c, err, want)
			continue
		}
		var again budget
		if err := again.Set((*budget)(&c.Budget).String()); err != nil || again != budget(want) {
			t.Errorf("%q is shown as %q, which is %+v, %v", text, (*budget)(&c.Budget).String(), again, err)
		}
	}
}
