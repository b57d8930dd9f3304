package node

import (
	"context"
	"reflect"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
)

// coreStatus is what the core knows of itself.
func (c *Core) status(st *Status, link func(id uint64) (rtt, offset time.Duration, addr string)) {
	st.Region, st.Node, st.Role = c.cfg.Region, c.cfg.Node, string(c.cfg.Role)
	st.Incarnation = c.cfg.Inc.String()
	st.Series = c.live.Len()
	st.Origins = len(c.mine)
	if c.hub != nil {
		st.Series = c.hub.region.Total.Len()
		st.Origins = c.hub.region.Len() + len(c.hub.entries.Origins())
		st.Cold = c.hub.cold.index.len
	}
	head := c.live.Progress[crdt.StreamLifetime].Cursor
	st.Head, st.Committed = head, head
	if c.pending != nil {
		st.Head += uint64(len(c.pending.own))
	}
	cfg := c.Config()
	st.Config = ConfigStatus{Version: cfg.Version, Author: cfg.Author, Made: cfg.Made, Unread: cfg.Unread}
	for _, s := range c.ordered() {
		p := PeerStatus{
			Region: s.peer.Region, Node: s.peer.Node, Role: string(s.peer.Role), Up: true, Since: time.UnixMilli(c.toWall(s.since)),
			SentFrames: s.framesOut, RecvFrames: s.framesIn, Config: s.config.has.Version,
		}
		p.RTT, p.ClockOffset, p.Addr = link(s.id)
		if m := s.marks[c.own]; len(c.direct(s)) > 0 && c.direct(s)[0].Origin == c.own {
			p.Behind = head - min(head, m.Covered)
		}
		st.Peers = append(st.Peers, p)
	}
	st.Quarantine = c.Quarantine()
	st.Line = c.lineStatus()
	st.Archive, st.Events = c.ArchiveStatus(), c.EventsStatus()
	st.Counters = c.Counts.each()
}

// each returns the counters by name.
func (k *Counters) each() map[string]uint64 {
	v := reflect.ValueOf(*k)
	out := make(map[string]uint64, v.NumField())
	for i := range v.NumField() {
		out[v.Type().Field(i).Name] = v.Field(i).Uint()
	}
	return out
}

// Status says what the node is and how it fares.
func (n *Node) Status(ctx context.Context) (*Status, error) {
	st := &Status{Mesh: n.cfg.Mesh, Version: n.cfg.Version, Started: n.started}
	if err := n.ask(ctx, func(Time) { n.core.status(st, n.cfg.Transport.Link) }); err != nil {
		return nil, err
	}
	free, reserve, used := n.cfg.Store.Free()
	n.mu.Lock()
	st.Disk = DiskStatus{Full: n.full || free < reserve, FreeBytes: free, ReserveBytes: reserve, LogBytes: used}
	n.mu.Unlock()
	return st, nil
}

// collector exports the core's counters.
type collector struct{ n *Node }

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(&collector{&Node{}}, ch)
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	own := func(name, help string, kind prometheus.ValueType, v float64) {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("meshd_core_"+name, help, nil, nil), kind, v)
	}
	own("slow_steps_total", "Steps of the core that took longer than 2 s.", prometheus.CounterValue, float64(c.n.dog.slow.Load()))
	own("step_seconds", "How long the step that runs has run, 0 if none does.", prometheus.GaugeValue, c.n.dog.busy().Seconds())
	own("parse_waits_total", "Messages that waited because too many were in hand.", prometheus.CounterValue, float64(c.n.gate.waited.Load()))
	var counts Counters // zero for Describe, which has no core to ask
	var line LineStatus
	var archive ArchiveStatus
	var events EventsStatus
	if c.n.calls != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if c.n.ask(ctx, func(Time) {
			counts, line, archive, events = c.n.core.Counts, c.n.core.lineStatus(), c.n.core.ArchiveStatus(), c.n.core.EventsStatus()
		}) != nil {
			return
		}
	}
	own("flush_interval_seconds", "How long the time between two flushes is now.", prometheus.GaugeValue, line.Interval.Seconds())
	own("line_bytes_total", "Bytes that the line carried both ways; 0 if nobody counts them.", prometheus.CounterValue, float64(line.Carried))
	own("budget_bytes", "Bytes that the line may carry in the time of its budget; 0: any.", prometheus.GaugeValue, float64(line.Budget.Bytes))
	own("budget_spent_bytes", "Bytes that the line carried in the current time of its budget.", prometheus.GaugeValue, float64(line.Spent))
	own("budget_left_bytes", "Bytes that the line may carry at once; below 0: overspent.", prometheus.GaugeValue, float64(line.Left))
	own("archive_lag_records", "Records of the log that the durable log lacks.", prometheus.GaugeValue, float64(archive.Records))
	own("archive_lag_bytes", "Bytes in them.", prometheus.GaugeValue, float64(archive.Bytes))
	own("archive_lag_seconds", "How long ago the durable log had everything.", prometheus.GaugeValue, float64(archive.AgeMs)/1000)
	own("events_waiting_bytes", "Bytes of raw events that the log for them lacks.", prometheus.GaugeValue, float64(events.Bytes))
	for name, v := range counts.each() {
		d := prometheus.NewDesc("meshd_core_"+snake(name)+"_total", "Count of "+snake(name)+" in the core.", nil, nil)
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
}

// snake turns FramesIn into frames_in.
func snake(s string) string {
	var out []byte
	for i, r := range []byte(s) {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				out = append(out, '_')
			}
			r += 'a' - 'A'
		}
		out = append(out, r)
	}
	return string(out)
}
