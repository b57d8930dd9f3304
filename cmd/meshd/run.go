package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/cluster"
	"meshd/cmd/meshd/internal/config"
	"meshd/cmd/meshd/internal/filter"
)

const runUsage = `usage: meshd run [flags]

Runs a node until SIGINT or SIGTERM. Every flag is also a key of the --config file (region: eu) and a variable
(MESHD_REGION=eu); a flag goes before a variable, a variable before the file.

`

// runNode is `meshd run`.
func runNode(args []string, out io.Writer) error {
	cfg, err := config.Load(args, os.Environ())
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprint(out, runUsage, config.Usage())
		return nil
	}
	if err != nil {
		return usagef("%w", err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel}))
	slog.SetDefault(log) // libraries that use the standard logger
	limitMemory(cfg.Memory)

	s, err := openSockets(cfg)
	if err != nil {
		return err
	}
	defer s.close() // what the parts closed already stays closed
	p, err := openParts(cfg, s, log)
	if err != nil {
		return err
	}
	log.Info("meshd runs", "version", version, "mesh", cfg.Mesh, "region", cfg.Region, "node", cfg.Node, "role", cfg.Role,
		"listen", s.mesh.LocalAddr(), "http", s.http.Addr(), "statsd", cfg.StatsD, "data", cfg.Data, "security", security(cfg))
	return errors.Join(runActors(log, p.actors(cfg, s)), p.store.Close())
}

// security is how the start line describes who can reach the node.
func security(cfg *config.Config) string {
	switch {
	case cfg.Secure():
		return "certificates"
	case cfg.Insecure:
		return "none: --insecure lets anybody in"
	default:
		return "none: loopback only without certificates"
	}
}

// sockets are what must be had before anything else is opened, so that a busy port costs nothing.
type sockets struct {
	mesh   net.PacketConn
	filter *filter.Conn // around mesh in a demo, else nil
	http   net.Listener
	otlp   net.Listener // a second one for HTTP, nil if off
}

func openSockets(cfg *config.Config) (*sockets, error) {
	l, err := net.Listen("tcp", cfg.HTTP)
	if err != nil {
		return nil, listenError("--http", cfg.HTTP, err)
	}
	udp, err := net.ListenPacket("udp", cfg.Listen)
	if err != nil {
		l.Close()
		return nil, listenError("--listen", cfg.Listen, err)
	}
	s := &sockets{mesh: udp, http: l}
	if cfg.OTLPHTTP != "off" {
		if s.otlp, err = net.Listen("tcp", cfg.OTLPHTTP); err != nil {
			s.close()
			return nil, listenError("--otlp-http", cfg.OTLPHTTP, err)
		}
	}
	if cfg.DemoChild {
		s.filter = filter.New(udp)
		s.mesh = s.filter
	}
	return s, nil
}

func (s *sockets) close() {
	s.mesh.Close()
	s.http.Close()
	if s.otlp != nil {
		s.otlp.Close()
	}
}

// listenError names the flag whose address cannot be had.
func listenError(flag, addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s %s: address is in use: stop the program that has it, or choose another with %s", flag, addr, flag)
	}
	return fmt.Errorf("%s %s: %w", flag, addr, err)
}

// followDemo is the actor of a demo's child.
func followDemo(s *sockets) func(context.Context) error {
	return func(ctx context.Context) error {
		ended := make(chan error, 1)
		go func() { ended <- cluster.Follow(os.Stdin, os.Stdout, s.filter.Block) }() // a read that only the parent can end
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// newRegistry holds the metrics of one node, the process' own among them.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	own := collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(
		collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^(/cpu/classes/(gc/)?total:cpu-seconds|/cpu/classes/idle:cpu-seconds|/gc/heap/live:bytes)$`)},
	))
	r.MustRegister(own, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
