package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"meshd/history"
)

// Config is what a Server needs. Zero fields take the documented default.
type Config struct {
	// Source answers; required.
	Source Source
	// Registry is served at /metrics and gets the server's own metrics; required.
	Registry *prometheus.Registry
	// Members lists the mesh for /v1/members, in any order. nil: this node and the peers in Source's status.
	Members func(context.Context) ([]Member, error)
	// Certificates tells what the node shows and believes, for /v1/status. nil: it has no certificates.
	Certificates func() *Certificates
	// Targets lists what the node scrapes and what its region's other hubs do, sorted. nil: it scrapes nothing.
	Targets func() []Target
	// Ready tells why the node cannot serve (disk, sockets; never peers); nil error: it can. nil: always ready.
	Ready func() error
	// Operator serves /v1/remove and /v1/drop. nil: no such route.
	Operator Operator
	// Corrector serves /v1/corrections. nil: no such routes.
	Corrector Corrector
	// Replayer serves /v1/replay. nil: no such route.
	Replayer Replayer
	// State serves /v1/state: it writes all that the node holds, and ends early with an error or ctx. nil: no such route.
	State func(ctx context.Context, out io.Writer) error
	// Events serves /v1/events. nil: no such route.
	Events http.Handler
	// Settings serves /v1/config. nil: no such route.
	Settings Settings
	// History serves /api/v1 and totals over time. nil: no such routes.
	History history.Source
	// WindowsSince returns before when windows may be missing in History, in ms; 0 if none are. nil: none are.
	WindowsSince func() int64
	// OwnWindows names this node if History holds its windows only, as an edge's does: they then stand for its region, and
	// answers say so. Zero: History holds the totals of regions.
	OwnWindows history.Owner
	// Ask opens, for one request, the past of the mesh for a node that holds its own windows only: what others tell, and own, which is
	// History as it stands for them. nil: nobody is asked.
	Ask func(own history.Source) Past
	// Version is what /api/v1/status/buildinfo says of this program.
	Version string
	// TokenFile names a file with one token a line; requests must carry one of them. It is read again when it changes.
	// "": no check, which is for loopback only.
	TokenFile string
	// Timeout bounds one query; default 10 s. A node answers from memory: what takes longer will not come.
	Timeout time.Duration
	// Concurrent bounds the queries that run at once; default 8, because one of 100,000 rows takes about 100 MB.
	Concurrent int
}

func (c *Config) validate() error {
	switch {
	case c.Source == nil:
		return errors.New("query: Config.Source is missing")
	case c.Registry == nil:
		return errors.New("query: Config.Registry is missing")
	case c.Timeout < 0 || c.Concurrent < 0:
		return fmt.Errorf("query: Timeout %s and Concurrent %d must not be negative", c.Timeout, c.Concurrent)
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Concurrent == 0 {
		c.Concurrent = 8
	}
	if c.Members == nil {
		c.Members = func(ctx context.Context) ([]Member, error) {
			st, err := c.Source.Status(ctx)
			if err != nil {
				return nil, err
			}
			return membersOf(st), nil
		}
	}
	if c.Certificates == nil {
		c.Certificates = func() *Certificates { return nil }
	}
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	return nil
}

// Server is the node's HTTP API: an http.Handler. It starts no goroutine of its own outside Serve.
type Server struct {
	cfg      Config
	mux      *http.ServeMux
	cache    *cache
	large    chan struct{}         // the one question with very many groups
	needs    map[string]Role       // by pattern; the others need Read
	found    map[Role]http.Handler // mux, behind the checks that every request passes and the role that its route needs
	lost     http.Handler          // what no route takes, for everybody who has a token
	tokens   *tokenFile            // nil: no check
	running  chan struct{}
	waiting  chan struct{}
	replays  chan struct{} // the one part of a log that is being joined
	states   chan struct{} // the one caller who is told the state
	cut      prometheus.Counter
	ended    chan struct{} // closed by end, when the process ends: what takes long stops
	end      func()
	requests *prometheus.CounterVec
	refused  *prometheus.CounterVec
}

// waitingPerQuery queries may wait for each one that runs: at 10 ms each the last one waits 0.3 s, and a waiting one
// costs a goroutine and its connection's buffers, about 20 KB.
const waitingPerQuery = 32

// New returns a server with its routes mounted. It fails if the configuration is incomplete, the token file cannot be
// read, or the registry holds metrics of the same names.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.History != nil && cfg.OwnWindows != (history.Owner{}) {
		cfg.History = ownOnly{cfg.History, cfg.OwnWindows}
	}
	ended := make(chan struct{})
	s := &Server{
		ended: ended, end: sync.OnceFunc(func() { close(ended) }),
		cfg:     cfg,
		mux:     http.NewServeMux(),
		cache:   newCache(cfg.History),
		large:   make(chan struct{}, 1),
		replays: make(chan struct{}, 1),
		states:  make(chan struct{}, 1),
		needs:   map[string]Role{},
		found:   map[Role]http.Handler{},
		running: make(chan struct{}, cfg.Concurrent),
		waiting: make(chan struct{}, cfg.Concurrent*waitingPerQuery),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meshd_http_requests_total", Help: "HTTP requests answered, by route and status code.",
		}, []string{"route", "code"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meshd_http_refused_total", Help: "HTTP requests refused before they were looked at, by reason.",
		}, []string{"reason"}),
	}
	s.cut = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "meshd_http_states_cut_total", Help: "States told at /v1/state that ended early: the caller went away, or took too long.",
	})
	reloads := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "meshd_http_token_reload_failures_total",
		Help: "Times that the token file had changed and could not be read; the tokens before stay valid.",
	})
	for _, c := range append(s.cache.collectors(), s.requests, s.refused, s.cut, reloads, newCoverageMetrics(s)) {
		if err := cfg.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("query: register metrics: %w", err)
		}
	}
	if cfg.TokenFile != "" {
		var err error
		if s.tokens, err = openTokenFile(cfg.TokenFile, reloads); err != nil {
			return nil, err
		}
	}
	s.routes()
	if err := s.mountPrometheus(); err != nil {
		return nil, err
	}
	for _, role := range []Role{Read, Write, Admin} {
		s.found[role] = s.protect(role, s.mux)
	}
	s.lost = s.protect(0, http.HandlerFunc(s.noRoute))
	return s, nil
}

func (s *Server) routes() {
	s.mux.Handle("/v1/total", s.get(s.query(s.total)))
	s.mux.Handle("/v1/coverage", s.get(s.tellCoverage))
	s.mux.Handle("/v1/explain", s.get(s.query(s.explain)))
	s.mux.Handle("/v1/members", s.get(s.members))
	s.mux.Handle("/v1/status", s.get(s.status))
	s.mux.Handle("/healthz", s.get(s.health))
	s.mux.Handle("/readyz", s.get(s.ready))
	s.mux.Handle("/metrics", promhttp.HandlerFor(s.cfg.Registry, promhttp.HandlerOpts{Registry: s.cfg.Registry}))
	if s.cfg.Settings != nil {
		settings := s.allow(s.settings, http.MethodGet, http.MethodHead, http.MethodPut)
		s.mux.Handle("/v1/config", settings)
		s.Handle("PUT /v1/config", Admin, settings)
	}
	if s.cfg.Targets != nil {
		s.Handle("/v1/targets", Admin, s.get(s.targets))
	}
	if s.cfg.Operator != nil {
		s.Handle("/v1/remove", Admin, s.allow(s.remove, http.MethodPost))
		s.Handle("/v1/drop", Admin, s.allow(s.drop, http.MethodPost))
	}
	if s.cfg.Corrector != nil {
		s.mux.Handle("/v1/corrections", s.get(s.corrections))
		s.Handle("POST /v1/corrections/{id}/differences", Admin, s.allow(s.writeDifferences, http.MethodPost))
		s.Handle("POST /v1/corrections/{id}/settle", Admin, s.allow(s.settleDifferences, http.MethodPost))
		s.Handle("PUT /v1/corrections/{id}", Admin, s.allow(s.makeCorrection, http.MethodPut))
	}
	if s.cfg.Replayer != nil {
		s.Handle("/v1/replay", Admin, s.allow(s.replay, http.MethodPost))
	}
	if s.cfg.State != nil {
		s.Handle("GET /v1/state", Admin, http.HandlerFunc(s.state))
	}
	if s.cfg.Events != nil {
		s.Handle("/v1/events", Write, s.cfg.Events)
	}
}

// Handle mounts another handler behind the same token check and counters, for tokens with the role. Patterns are those of
// http.ServeMux; one that is taken panics, as there.
func (s *Server) Handle(pattern string, need Role, h http.Handler) {
	s.mux.Handle(pattern, h)
	s.needs[pattern] = need
}

// ServeHTTP answers one request and counts it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, route := s.mux.Handler(r)
	need, ok := s.needs[route]
	if !ok {
		need = Read
	}
	next := s.found[need]
	if route == "" {
		route, next = "none", s.lost
	}
	counted := &statusWriter{ResponseWriter: w, code: http.StatusOK}
	defer func() { s.requests.WithLabelValues(route, strconv.Itoa(counted.code)).Inc() }()
	next.ServeHTTP(counted, r)
}

// Serve answers on ln until ctx ends, then lets requests that run finish for up to 5 s. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       time.Minute, // an 8 MiB body over a line of 1.2 Mbit/s
		WriteTimeout:      time.Minute + s.cfg.Timeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10, // 32 conditions of 1 KiB, and room
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	select {
	case err := <-done:
		return fmt.Errorf("query: serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	s.end()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := srv.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close() // those that still run are cut off: the process ends
	}
	if ended := <-done; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// statusWriter remembers the status code for the counters.
type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach what the connection can do.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
