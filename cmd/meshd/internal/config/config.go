package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"meshd/node"
)

// Port is the one number to remember: UDP for the mesh and TCP for HTTP.
const Port = 8946

// Config is the settings of one node, complete and consistent once Load returned it.
type Config struct {
	Node   string // unique in the region; default the host name
	Region string // default "default"
	Role   string // "hub" or "edge"; default "hub"
	Mesh   string // nodes of different meshes refuse each other; default "default"
	Data   string // directory of everything durable; default "meshd-data"

	Listen    string   // UDP host:port of the mesh; default ":8946", on 127.0.0.1 without certificates
	Advertise string   // host:port that others dial; default what Listen is bound to
	Join      []string // host:port of some nodes of the mesh, of any region

	HTTP          string   // host:port of API and pages; default "127.0.0.1:8946"
	HTTPTokenFile string   // file with the bearer token that HTTP then demands; default none
	HTTPTLSCert   string   // PEM file: the HTTP and gRPC doors speak TLS; default none
	HTTPTLSKey    string   // PEM file of its key
	SourceLimit   int64    // bytes a second that one address may send, all doors together; default 0, any
	StatsD        string   // host:port, UDP, or "off"; default "127.0.0.1:8125"
	StatsDSockets int      // that share the UDP port of StatsD; default 0, one a processor
	StatsDTCP     string   // host:port, TCP, or "off", which is the default
	StatsDUnix    string   // path of a datagram socket; default none
	StatsDStream  string   // path of a stream socket; default none
	StatsDUpDown  []string // metrics whose StatsD counts go down as well as up: names, or beginnings that end in "*"
	Graphite      string   // host:port, TCP and UDP, or "off", which is the default
	OTLPHTTP      string   // host:port, TCP, of a second door to the HTTP API, where OTLP clients look; default "off"
	OTLPgRPC      string   // host:port, TCP, of OTLP over gRPC; default "off"
	Logs          string   // YAML file of rules for log files that are followed; default none
	Scrape        string   // YAML file of what is scraped; default none
	Kafka         string   // YAML file of topics that hold events; default none
	Labels        string   // YAML file of what happens to the labels of everything that comes in; default none
	ReplicaLabels []string // labels dropped from what remote write sends; default "__replica__,prometheus_replica"
	HostMetrics   bool     // count what the machine does; default on

	TLSCA, TLSCert, TLSKey string // PEM files, all three or none
	Insecure               bool   // allow the network without certificates or token

	Memory   int64         // bytes the process aims to stay below; default 256 MiB, at least 64 MiB
	Link     string        // "lan", "wan" or "metered": the lines of this node; default "lan"
	Flush    time.Duration // pause between two flushes to a peer, from 10 ms to 10 min; default by Link: 100 ms, 1 s, 30 s
	Downlink []string      // at an edge: patterns of the series that hubs send it, or one of "all" and "none"; default "all"
	Budget   node.Budget   // at an edge: bytes that its line may carry in a time; default any
	LogLevel slog.Level    // default info

	Window    time.Duration // width of the finest windows, whole seconds that divide a minute; default 10 s
	Retention []string      // how long windows are kept, see Kept; default "7d/30d/366d"

	Archive        string // at a hub: the durable log that everything is copied into, see replay.ParseLocation, or "off", the default
	ArchiveBacklog int64  // bytes that wait on disk at most while that log is away; default 1 GiB

	ArchiveEvents        string   // log of raw events, as Archive, or "off", the default
	ArchiveEventsMatch   []string // patterns of the metrics whose events it gets; default all
	ArchiveEventsBacklog int64    // bytes of events that wait on disk at most while that log is away; default 256 MiB

	DemoChild bool // a demo owns this process through its standard input and output
}

const (
	defaultMemory = 256 << 20
	minMemory     = 64 << 20
	defaultWindow = 10 * time.Second
)

// newFlags binds every setting to its flag; the usage texts are the reference of the settings.
func newFlags(c *Config, file *string) *pflag.FlagSet {
	fs := pflag.NewFlagSet("meshd run", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() {} // the caller prints the usage, and only when it was asked for

	fs.StringVar(file, "config", "", "YAML `file` with any of the settings below as keys")
	fs.StringVar(&c.Node, "node", "", "`name` of this node, unique in its region (default the host name)")
	fs.StringVar(&c.Region, "region", "default", "`name` of the region this node counts for")
	fs.StringVar(&c.Role, "role", "hub", "`hub|edge`: hubs are reachable and hold a region together, edges dial out")
	fs.StringVar(&c.Mesh, "mesh", "default", "`name` of the mesh; nodes of another mesh are refused")
	fs.StringVar(&c.Data, "data", "meshd-data", "`directory` of everything durable")
	fs.StringVar(&c.Listen, "listen", "", "UDP `host:port` of the mesh (default :8946, or 127.0.0.1:8946 without certificates)")
	fs.StringVar(&c.Advertise, "advertise", "", "`host:port` that others dial, behind NAT or in a container")
	fs.StringSliceVar(&c.Join, "join", nil, "`host:port,...` of nodes of the mesh, of any region")
	fs.StringVar(&c.HTTP, "http", "127.0.0.1:8946", "`host:port` of the API and the pages")
	fs.StringVar(&c.HTTPTokenFile, "http-token-file", "", "`file` with the bearer token that HTTP then demands")
	fs.StringVar(&c.HTTPTLSCert, "http-tls-cert", "", "PEM `file` of a certificate: the HTTP and gRPC doors then speak TLS only; read again when it changes")
	fs.StringVar(&c.HTTPTLSKey, "http-tls-key", "", "PEM `file` of its key")
	fs.Var((*pace)(&c.SourceLimit), "source-limit", "`size/s` that one address may send, by all doors together, as 10MB/s; more is answered 429, or lost and counted (default any)")
	fs.StringVar(&c.StatsD, "statsd", "127.0.0.1:8125", "UDP `host:port|off` for StatsD packets")
	fs.IntVar(&c.StatsDSockets, "statsd-sockets", 0, "`number` of UDP sockets that share the port of --statsd, each read by a processor; 0: one a processor")
	fs.StringVar(&c.StatsDTCP, "statsd-tcp", "off", "TCP `host:port|off` for StatsD lines")
	fs.StringVar(&c.StatsDUnix, "statsd-unix", "", "`path` of a Unix socket for StatsD datagrams")
	fs.StringVar(&c.StatsDStream, "statsd-unix-stream", "", "`path` of a Unix socket for streams of DogStatsD packets")
	fs.StringSliceVar(&c.StatsDUpDown, "statsd-updown", nil, "`name,...` of StatsD counts that go down as well as up; jobs.* for all that begin so")
	fs.StringVar(&c.Graphite, "graphite", "off", "TCP and UDP `host:port|off` for Graphite's plaintext protocol, as :2003")
	fs.StringVar(&c.OTLPHTTP, "otlp-http", "off", "TCP `host:port|off` where OTLP clients look, as :4318; --http takes OTLP in any case")
	fs.StringVar(&c.OTLPgRPC, "otlp-grpc", "off", "TCP `host:port|off` for OTLP over gRPC, as :4317")
	fs.StringVar(&c.Logs, "logs", "", "YAML `file` of rules: which lines of which log files are events")
	fs.StringVar(&c.Scrape, "scrape", "", "YAML `file` of what is scraped: scrape_configs as Prometheus has them")
	fs.StringVar(&c.Kafka, "kafka", "", "YAML `file` of Kafka topics whose records are events, and their brokers")
	fs.StringVar(&c.Labels, "labels", "", "YAML `file` of what happens to the labels of everything that comes in: lookups, labels, metric_relabel_configs")
	fs.StringSliceVar(&c.ReplicaLabels, "replica-labels", []string{"__replica__", "prometheus_replica"}, "`name,...` of labels that tell a pair of Prometheus servers apart; dropped, so that a pair counts once")
	fs.Var((*onOff)(&c.HostMetrics), "host-metrics", "`on|off`: count what this machine does (default on)")
	fs.StringVar(&c.TLSCA, "tls-ca", "", "PEM `file` of the mesh's certificate authority")
	fs.StringVar(&c.TLSCert, "tls-cert", "", "PEM `file` of this node's certificate, read again when it changes")
	fs.StringVar(&c.TLSKey, "tls-key", "", "PEM `file` of this node's key, read again when it changes")
	fs.Var((*size)(&c.Memory), "memory", "memory to stay below, a `size` such as 256MiB (default 256MiB)")
	fs.StringVar(&c.Link, "link", "lan", "`lan|wan|metered`: how often the lines of this node are used, and when one counts as dead")
	fs.DurationVar(&c.Flush, "flush", 0, "`pause` between two flushes to a peer (default by --link: 100ms, 1s or 30s)")
	fs.StringSliceVar(&c.Downlink, "downlink", []string{"all"}, "`all|none|pattern,...`: which series hubs send this edge, as http.*,queue; of others it answers nothing")
	fs.Var((*budget)(&c.Budget), "budget", "`size/time` that this edge's line may carry, both ways, as 1GB/month; it is used less often when that would be exceeded (default any)")
	fs.DurationVar(&c.Window, "window", defaultWindow, "`width` of the finest windows of history, 1s to 30s")
	fs.StringSliceVar(&c.Retention, "retention", []string{defaultRetention}, "`[pattern=]seconds/minutes/hours,...`: how long windows of these widths are kept, as 7d/30d/366d,host.*=1d/7d/")
	fs.StringVar(&c.Archive, "archive", "off", "at a hub: durable `log|off` that everything is copied into, as embedded:DIR or kafka:HOST:PORT/TOPIC")
	fs.Var((*size)(&c.ArchiveBacklog), "archive-backlog", "`size` of what waits on disk while the durable log is away; beyond it a snapshot stands for the rest (default 1GiB)")
	fs.StringVar(&c.ArchiveEvents, "archive-events", "off", "`log|off` that events are copied into as they were received, as embedded:DIR or kafka:HOST:PORT/TOPIC; another one than --archive")
	fs.StringSliceVar(&c.ArchiveEventsMatch, "archive-events-match", []string{"*"}, "`pattern,...` of the metrics whose events are kept so, as click.*")
	fs.Var((*size)(&c.ArchiveEventsBacklog), "archive-events-backlog", "`size` of the events that wait on disk while that log is away; beyond it they are not kept, which is counted (default 256MiB)")
	fs.BoolVar(&c.Insecure, "insecure", false, "allow the network without certificates or token: anybody can read and write")
	fs.Var((*level)(&c.LogLevel), "log-level", "`debug|info|warn|error` (default info)")
	fs.BoolVar(&c.DemoChild, "demo-child", false, "exit with standard input and take orders from it")
	_ = fs.MarkHidden("demo-child") // fails only for a flag that does not exist
	return fs
}

// Usage is the text of all flags of `meshd run`.
func Usage() string {
	var c Config
	var file string
	fs := newFlags(&c, &file)
	fs.VisitAll(func(f *pflag.Flag) {
		switch f.Value.(type) {
		case *size, *onOff, *level: // before the defaults are known: their texts say them
			f.DefValue = ""
		}
	})
	return fs.FlagUsagesWrapped(100)
}

// complete fills in what depends on other settings and refuses what does not fit together. hostname is used when no
// name was given.
func (c *Config) complete(hostname func() (string, error)) error {
	if c.Node == "" {
		name, err := hostname()
		if err != nil {
			return fmt.Errorf("no host name to use as --node: %w; give --node", err)
		}
		c.Node = name
	}
	for _, n := range []struct{ flag, name string }{{"--node", c.Node}, {"--region", c.Region}, {"--mesh", c.Mesh}} {
		if err := checkName(n.name); err != nil {
			return fmt.Errorf("%s %q: %w", n.flag, n.name, err)
		}
	}
	switch {
	case c.Role != "hub" && c.Role != "edge":
		return fmt.Errorf("--role %q: must be hub or edge", c.Role)
	case c.Data == "":
		return errors.New("--data: must name a directory")
	case c.Window < time.Second || c.Window >= time.Minute || c.Window%time.Second != 0 || time.Minute%c.Window != 0:
		return fmt.Errorf("--window %s: must be whole seconds that divide a minute, from 1s to 30s", c.Window)
	case c.Memory < minMemory:
		return fmt.Errorf("--memory %s: must be at least %s", (*size)(&c.Memory), formatSize(minMemory))
	}
	if _, _, err := c.Kept(); err != nil {
		return err
	}
	if err := c.checkArchive(); err != nil {
		return err
	}
	if err := c.completeLink(); err != nil {
		return err
	}
	return errors.Join(c.completeListen(), c.checkHTTP(), c.checkAddresses())
}

// Secure reports whether the mesh is protected by certificates.
func (c *Config) Secure() bool { return c.TLSCert != "" }

// completeListen keeps a mesh without certificates away from the network.
func (c *Config) completeListen() error {
	given := 0
	for _, f := range []string{c.TLSCA, c.TLSCert, c.TLSKey} {
		if f != "" {
			given++
		}
	}
	if given != 0 && given != 3 {
		return errors.New("--tls-ca, --tls-cert and --tls-key: give all three or none")
	}
	if c.Listen == "" {
		c.Listen = net.JoinHostPort("127.0.0.1", strconv.Itoa(Port))
		if c.Secure() || c.Insecure {
			c.Listen = ":" + strconv.Itoa(Port)
		}
	}
	if !c.Secure() && !c.Insecure && !loopback(c.Listen) {
		return fmt.Errorf("--listen %s: without certificates a node listens on loopback only; make some with `meshd ca`, or allow it with --insecure", c.Listen)
	}
	return nil
}

func (c *Config) checkHTTP() error {
	if (c.HTTPTLSCert == "") != (c.HTTPTLSKey == "") {
		return errors.New("--http-tls-cert and --http-tls-key: give both or none")
	}
	for _, door := range []struct{ flag, addr string }{
		{"--http", c.HTTP}, {"--otlp-http", c.OTLPHTTP}, {"--otlp-grpc", c.OTLPgRPC},
	} {
		if door.addr != "off" && c.HTTPTokenFile == "" && !c.Insecure && !loopback(door.addr) {
			return fmt.Errorf("%s %s: beyond loopback HTTP needs --http-token-file, or --insecure", door.flag, door.addr)
		}
	}
	return nil
}

func (c *Config) checkAddresses() error {
	addrs := []struct{ flag, addr string }{{"--listen", c.Listen}, {"--http", c.HTTP}}
	for _, door := range []struct{ flag, addr string }{
		{"--statsd", c.StatsD},
		{"--statsd-tcp", c.StatsDTCP},
		{"--graphite", c.Graphite},
		{"--otlp-http", c.OTLPHTTP},
		{"--otlp-grpc", c.OTLPgRPC},
	} {
		if door.addr != "off" {
			addrs = append(addrs, door)
		}
	}
	if c.Advertise != "" {
		addrs = append(addrs, struct{ flag, addr string }{"--advertise", c.Advertise})
	}
	for _, j := range c.Join {
		addrs = append(addrs, struct{ flag, addr string }{"--join", j})
	}
	for _, a := range addrs {
		_, port, err := net.SplitHostPort(a.addr)
		if err != nil {
			return fmt.Errorf("%s %q: must be host:port", a.flag, a.addr)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || (n == 0 && (a.flag == "--join" || a.flag == "--advertise")) {
			return fmt.Errorf("%s %q: port must be a number up to 65535", a.flag, a.addr)
		}
	}
	return nil
}

// ReadToken reads the bearer token to send from a token file: the last word of its first line, since the file of a node may
// hold several, with what each may do before it. No file name means no token; a file without one is an error.
func ReadToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	words := strings.Fields(line)
	if len(words) == 0 {
		return "", fmt.Errorf("token file %s is empty: write a secret into it", file)
	}
	return words[len(words)-1], nil
}

// checkName keeps names usable as label values, URI path segments and file names at once.
func checkName(s string) error {
	const maxName = 63 // the length of a DNS label, which most host names are
	if s == "" || len(s) > maxName {
		return fmt.Errorf("must have 1 to %d characters", maxName)
	}
	for _, r := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			return fmt.Errorf("may hold letters, digits, '.', '_' and '-', not %q", r)
		}
	}
	return nil
}

// loopback reports whether addr can be reached from this machine only. A name other than localhost is not trusted to.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true // not an address: refused by checkAddresses with a better word
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
