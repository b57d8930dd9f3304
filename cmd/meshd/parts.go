package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/buffer"
	"meshd/cmd/meshd/internal/config"
	"meshd/gossip"
	"meshd/history"
	"meshd/ingest"
	"meshd/internal/archive"
	"meshd/internal/bridge"
	"meshd/internal/pki"
	"meshd/node"
	"meshd/query"
	"meshd/replay"
)

// parts are what a node is made of, opened and joined but not running.
type parts struct {
	store  *buffer.Store
	past   *history.Store
	node   *node.Node
	gossip *gossip.Gossip
	asks   bridge.Questions
	saved  *archive.Writer      // nil if there is no durable log
	events *archive.EventWriter // nil if no raw events are kept
	statsd *ingest.StatsD
	graph  *ingest.Graphite
	kafka  *ingest.Kafka    // nil if there are no rules
	logs   *ingest.Logs     // nil if there are no rules
	host   *ingest.Host     // nil if host metrics are off
	labels *ingest.Labeller // nil if there are no rules for labels
	scrape *ingest.Scraper  // nil if nothing is scraped
	http   *query.Server
	otlp   *ingest.OTLPgRPC // nil if off
	secure *tls.Config      // of the doors for HTTP and gRPC, nil without TLS
	counts *ingest.Metrics  // of the doors
}

// overlayShare of the memory budget is where windows that are not in chunks yet begin to be folded: an eighth, so that twice as
// much, where the node itself folds, is a quarter.
const overlayShare = 8

// openParts opens the parts from the bottom up. On an error it closes what it opened.
func openParts(cfg *config.Config, s *sockets, log *slog.Logger) (_ *parts, err error) {
	registry := newRegistry()
	p := &parts{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	var identity *pki.Identity
	if cfg.Secure() {
		if identity, err = pki.Load(cfg.TLSCA, cfg.TLSCert, cfg.TLSKey); err != nil {
			return nil, err
		}
	}
	if p.store, err = buffer.Open(buffer.Config{
		Dir: cfg.Data, Mesh: cfg.Mesh, Region: cfg.Region, Node: cfg.Node, MemoryBytes: cfg.Memory,
		Logger: log, Registerer: registry,
	}); err != nil {
		return nil, fmt.Errorf("--data %s: %w", cfg.Data, err)
	}
	if identity != nil {
		if err = identity.Remember(filepath.Join(cfg.Data, "revoked.txt")); err != nil {
			return nil, err
		}
	}
	all, rules, err := cfg.Kept()
	if err != nil {
		return nil, err
	}
	if p.past, err = history.Open(history.Config{
		KV: bridge.Windows{Store: p.store}, Now: time.Now, Retention: all, Rules: rules, OverlayBytes: cfg.Memory / overlayShare,
		Logger: log, Registerer: registry,
	}); err != nil {
		return nil, fmt.Errorf("--data %s: %w", cfg.Data, err)
	}
	if err = p.openMesh(cfg, s, identity, log, registry); err != nil {
		return nil, err
	}
	return p, p.openDoors(cfg, log, registry)
}

// openMesh makes the node and its transport under one identity, drawn for this process.
func (p *parts) openMesh(cfg *config.Config, s *sockets, identity *pki.Identity, log *slog.Logger, registry prometheus.Registerer) (err error) {
	patterns, _ := cfg.Patterns()
	core := node.CoreConfig{
		Region: cfg.Region, Node: cfg.Node, Role: node.Role(cfg.Role), Inc: node.NewIncarnation(),
		Window: cfg.Window.Milliseconds(), Flush: cfg.Flush.Milliseconds(), OneFeed: cfg.Link == string(gossip.Metered), Downlink: patterns, Budget: cfg.Budget,
	}
	if cfg.Archive != "off" {
		core.ArchiveBytes = cfg.ArchiveBacklog
	}
	if cfg.ArchiveEvents != "off" {
		core.EventBytes = cfg.ArchiveEventsBacklog
	}
	rand.Read(core.Nonce[:])
	var meter *gossip.Meter
	var carried func() uint64
	if cfg.Budget != (node.Budget{}) || cfg.Link == string(gossip.Metered) {
		meter = &gossip.Meter{}
		carried = meter.Bytes
	}
	b := &bridge.Bridge{}
	if p.node, err = node.New(node.Config{
		Mesh: cfg.Mesh, Version: version, Core: core, Store: bridge.Disk{Store: p.store}, History: bridge.History{Store: p.past}, Transport: b, Logger: log, Registerer: registry,
		Meter: carried,
	}); err != nil {
		return err
	}
	if cfg.Archive != "off" {
		if p.saved, err = p.openArchive(cfg, log, registry); err != nil {
			return err
		}
	}
	if cfg.ArchiveEvents != "off" {
		if p.events, err = p.openEvents(cfg, log, registry); err != nil {
			return err
		}
	}
	self := history.Owner{Region: cfg.Region, Node: cfg.Node}
	if p.asks, err = b.Questions(bridge.QuestionsConfig{
		Role: gossip.Role(cfg.Role), Self: self, Inc: core.Inc, History: p.past, Store: p.past, Node: p.node, Now: time.Now, Registerer: registry, Logger: log,
	}); err != nil {
		return err
	}
	if p.gossip, err = gossip.New(gossip.Config{
		Mesh: cfg.Mesh, Region: cfg.Region, Node: cfg.Node, Role: gossip.Role(cfg.Role), Inc: core.Inc, Nonce: core.Nonce,
		Conn: s.mesh, Link: gossip.Link(cfg.Link), Meter: meter, Advertise: cfg.Advertise, Join: cfg.Join, HTTPAddr: s.http.Addr().String(),
		TLS: identity, Insecure: cfg.Insecure, Handler: b, Asked: p.asks.Asked, Logger: log, Registerer: registry,
	}); err != nil {
		return err
	}
	b.Node, b.Gossip = p.node, p.gossip
	return nil
}

// openArchive makes what copies the disk into the durable log. That itself is opened when it can be had: it may be away.
func (p *parts) openArchive(cfg *config.Config, log *slog.Logger, registry prometheus.Registerer) (*archive.Writer, error) {
	open, err := opener(cfg, cfg.Archive, log)
	if err != nil {
		return nil, err
	}
	return archive.NewWriter(archive.Config{
		Open: open, Name: cfg.Archive, Disk: bridge.Disk{Store: p.store}, Node: p.node, Region: cfg.Region, Dir: cfg.Data,
		Logger: log, Registerer: registry,
	})
}

// openEvents makes what copies raw events into their log.
func (p *parts) openEvents(cfg *config.Config, log *slog.Logger, registry prometheus.Registerer) (*archive.EventWriter, error) {
	open, err := opener(cfg, cfg.ArchiveEvents, log)
	if err != nil {
		return nil, err
	}
	return archive.NewEventWriter(archive.EventsConfig{
		Open: open, Name: cfg.ArchiveEvents, Disk: bridge.Disk{Store: p.store}, Node: p.node, Logger: log, Registerer: registry,
	})
}

// opener returns what opens a log to append to.
func opener(cfg *config.Config, location string, log *slog.Logger) (func(context.Context) (replay.Log, error), error) {
	at, err := replay.ParseLocation(location)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (replay.Log, error) {
		return at.Open(ctx, replay.Options{Mesh: cfg.Mesh, FreeSpace: buffer.FreeSpace, Warn: func(err error) {
			log.Warn("the durable log is not as it should be, and is used all the same", "log", location, "err", err)
		}})
	}, nil
}

// close releases parts that never ran.
func (p *parts) close() error {
	var errs []error
	if p.statsd != nil {
		errs = append(errs, p.statsd.Close())
	}
	if p.graph != nil {
		errs = append(errs, p.graph.Close())
	}
	if p.otlp != nil {
		errs = append(errs, p.otlp.Close())
	}
	if p.gossip != nil {
		errs = append(errs, p.gossip.Close())
	}
	if p.past != nil {
		p.past.Close()
	}
	if p.store != nil {
		errs = append(errs, p.store.Close())
	}
	return errors.Join(errs...)
}

// actors lists what runs, in the order in which it ends: first the doors, so that nothing new comes in and what came
// is committed; then the node; then its sessions. The store is closed after all of them.
func (p *parts) actors(cfg *config.Config, s *sockets) []actor {
	list := []actor{{"garbage collector", paceCollector}}
	if cfg.DemoChild {
		list = append(list, actor{"demo", followDemo(s)})
	}
	if p.host != nil {
		list = append(list, actor{"host metrics", p.host.Run})
	}
	if p.labels != nil {
		list = append(list, actor{"labels", p.labels.Run})
	}
	if p.scrape != nil {
		list = append(list, actor{"scrape", p.scrape.Run})
	}
	if p.kafka != nil {
		list = append(list, actor{"kafka", p.kafka.Run})
	}
	if p.logs != nil {
		list = append(list, actor{"logs", p.logs.Run})
	}
	if p.otlp != nil {
		list = append(list, actor{"otlp", p.otlp.Run})
	}
	if s.otlp != nil {
		list = append(list, actor{"otlp over http", func(ctx context.Context) error { return p.http.Serve(ctx, p.guard(s.otlp)) }})
	}
	if p.asks.Takeover != nil {
		list = append(list, actor{"takeover", p.asks.Takeover.Run})
	}
	if p.saved != nil {
		list = append(list, actor{"archive", p.saved.Run})
	}
	list = append(list,
		actor{"statsd", p.statsd.Run},
		actor{"graphite", p.graph.Run},
		actor{"http", func(ctx context.Context) error { return p.http.Serve(ctx, p.guard(s.http)) }},
	)
	if p.events != nil { // it ends when nothing comes in any more
		list = append(list, actor{"events", p.events.Run})
	}
	return append(list,
		actor{"node", p.node.Run},
		actor{"history", p.past.Run},
		actor{"gossip", p.gossip.Run},
	)
}
