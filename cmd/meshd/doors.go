package main

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/cmd/meshd/internal/config"
	"meshd/history"
	"meshd/ingest"
	"meshd/query"
	"meshd/web"
)

// openDoors opens what applications and people talk to.
func (p *parts) openDoors(cfg *config.Config, log *slog.Logger, registry *prometheus.Registry) error {
	metrics, err := ingest.NewMetrics(registry)
	if err != nil {
		return err
	}
	p.counts = metrics
	to, err := p.openLabels(cfg, metrics, log)
	if err != nil {
		return err
	}
	if cfg.ArchiveEvents != "off" {
		if to, err = ingest.NewRecorder(cfg.ArchiveEventsMatch, to); err != nil {
			return fmt.Errorf("--archive-events-match: %w", err)
		}
	}
	door, err := ingest.NewDoor(to, metrics)
	if err != nil {
		return err
	}
	if err := p.openSockets(cfg, to, metrics, log); err != nil {
		return err
	}
	if cfg.SourceLimit > 0 {
		sources := ingest.NewSources(cfg.SourceLimit)
		door.Limit(sources)
		p.statsd.Limit(sources)
		p.graph.Limit(sources)
	}
	if cfg.Logs != "" {
		if p.logs, err = openLogs(cfg, to, metrics, log); err != nil {
			return fmt.Errorf("--logs: %w", err)
		}
	}
	if cfg.Kafka != "" {
		if p.kafka, err = openKafka(cfg, to, metrics, log); err != nil {
			return fmt.Errorf("--kafka: %w", err)
		}
	}
	if cfg.HostMetrics {
		p.host = ingest.NewHost(ingest.HostConfig{Submit: to, Metrics: metrics, Logger: log})
	}
	if cfg.Scrape != "" {
		if p.scrape, err = openScrape(cfg, door, memberList(p.node, p.gossip), log); err != nil {
			return fmt.Errorf("--scrape: %w", err)
		}
	}
	return p.openHTTP(cfg, door, registry)
}

// openSockets opens the doors without answers.
func (p *parts) openSockets(cfg *config.Config, to ingest.Submitter, metrics *ingest.Metrics, log *slog.Logger) (err error) {
	if p.statsd, err = ingest.NewStatsD(ingest.StatsDConfig{
		Addr: cfg.StatsD, Sockets: cfg.StatsDSockets, TCP: cfg.StatsDTCP, Unix: cfg.StatsDUnix, UnixStream: cfg.StatsDStream, UpDown: cfg.StatsDUpDown,
		Submit: to, Metrics: metrics, Logger: log,
	}); err != nil {
		return err
	}
	p.graph, err = ingest.NewGraphite(ingest.GraphiteConfig{Addr: cfg.Graphite, Submit: to, Metrics: metrics, Logger: log})
	return err
}

// openHTTP makes the API with the doors that are behind it, and OTLP's over gRPC.
func (p *parts) openHTTP(cfg *config.Config, door *ingest.Door, registry *prometheus.Registry) (err error) {
	var own history.Owner
	var since func() int64
	if p.asks.Takeover != nil {
		since = p.asks.Takeover.Since
	}
	var asks func(history.Source) query.Past
	if p.asks.Asker != nil {
		own = history.Owner{Region: cfg.Region, Node: cfg.Node}
		asks = func(own history.Source) query.Past { return p.asks.Asker.Open(own) }
	}
	var targets func() []query.Target
	if p.scrape != nil {
		targets = targetList(p.scrape)
	}
	if p.http, err = query.New(query.Config{
		Source: p.node, History: p.past, OwnWindows: own, Ask: asks, WindowsSince: since, Version: version, Settings: p.node, Operator: p.node, Corrector: p.node, Replayer: p.node, State: tellState(cfg, p, since),
		Registry: registry, Members: memberList(p.node, p.gossip), Certificates: certificateList(p.gossip), Targets: targets,
		Events: ingest.NewEvents(door), TokenFile: cfg.HTTPTokenFile,
	}); err != nil {
		return err
	}
	if cfg.HTTPTLSCert != "" {
		if p.secure, err = query.NewServerTLS(cfg.HTTPTLSCert, cfg.HTTPTLSKey, registry); err != nil {
			return fmt.Errorf("--http-tls-cert: %w", err)
		}
	}
	page, err := web.New()
	if err != nil {
		return err
	}
	p.http.Handle("GET /{$}", query.Read, page)
	p.http.Handle("GET /page/", query.Read, page)
	otlp := ingest.NewOTLP(door)
	p.http.Handle("/v1/metrics", query.Write, otlp)
	p.http.Handle("/api/v1/otlp/v1/metrics", query.Write, otlp)
	p.http.Handle("/api/v1/write", query.Write, ingest.NewRemoteWrite(door, cfg.ReplicaLabels))
	p.http.Handle("/v1/client/", query.Write, ingest.NewClients(door))
	influx := ingest.NewInflux(door)
	p.http.Handle("/write", query.Write, influx)
	p.http.Handle("/api/v2/write", query.Write, influx)
	if cfg.OTLPgRPC != "off" {
		p.otlp, err = ingest.NewOTLPgRPC(cfg.OTLPgRPC, otlp, p.secure, p.http.AllowsWrite)
	}
	return err
}

// openLogs reads the rules. How far logs were read stands beside the tokens that make sure of it.
func openLogs(cfg *config.Config, to ingest.Submitter, metrics *ingest.Metrics, log *slog.Logger) (*ingest.Logs, error) {
	rules, err := ingest.LoadLogRules(cfg.Logs)
	if err != nil {
		return nil, err
	}
	return ingest.NewLogs(ingest.LogsConfig{
		Rules: rules, Positions: filepath.Join(cfg.Data, "log-positions.json"), Submit: to, Metrics: metrics, Logger: log,
	})
}

// openKafka reads the rules. A node is known to its group by its name, so that it gets its partitions back after a restart.
func openKafka(cfg *config.Config, to ingest.Submitter, metrics *ingest.Metrics, log *slog.Logger) (*ingest.Kafka, error) {
	rules, err := ingest.LoadKafkaRules(cfg.Kafka)
	if err != nil {
		return nil, err
	}
	instance := cfg.Mesh + "." + cfg.Region + "." + cfg.Node
	return ingest.NewKafka(ingest.KafkaConfig{Rules: rules, Instance: instance, Submit: to, Metrics: metrics, Logger: log})
}
