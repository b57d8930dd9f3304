package simulate

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
)

// Render writes the result for people.
func (r *Result) Render(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "mesh\t%d nodes in %d regions, %d hubs each\n", r.Nodes, r.Regions, r.HubsEach)
	fmt.Fprintf(t, "virtual time\t%gs with writes and %d faults, in %.1fs\n", r.DurationS, r.Faults, r.WallS)
	fmt.Fprintf(t, "counted\t%s, the median node answers %s\n", humanize.CommafWithDigits(r.Total, 3), humanize.CommafWithDigits(r.Answered, 3))
	fmt.Fprintf(t, "work\t%s events, %s requests, %s checked reads\n", comma(r.Events), comma(r.Requests), comma(r.Reads))
	for _, l := range r.Links {
		fmt.Fprintf(t, "%s\t%s in %s messages\n", l.Class, humanize.Bytes(uint64(l.Bytes)), humanize.Comma(l.Messages))
	}
	fmt.Fprintf(t, "staleness\t%d ms median, %d ms p99, %d ms at most\n", r.Staleness.P50, r.Staleness.P99, r.Staleness.Max)
	c := &r.Convergence
	fmt.Fprintf(t, "an update seen\tp99 %d ms by all nodes, %d ms by hubs; by the last node %d ms median, %d ms p99 (%d followed)\n",
		c.PairsP99Ms, c.HubsP99Ms, c.LastP50Ms, c.LastP99Ms, c.Updates)
	fmt.Fprintf(t, "after the heal\tall equal and exact within %d ms\n", r.ConvergedMs)
	if len(r.Violations) > 0 {
		fmt.Fprintf(t, "BROKEN\t%s at %d ms: %s\n", r.Violations[0].Rule, r.Violations[0].AtMs, r.Violations[0].What)
	}
	fmt.Fprintf(t, "trace hash\t%s\nagain with\t%s\n", r.TraceHash, r.Replay)
	return t.Flush()
}

func comma(n int) string { return humanize.Comma(int64(n)) }

// Or returns the mesh with what it leaves open taken from another.
func (m Mesh) Or(o *Mesh) Mesh {
	m.Nodes, m.Regions, m.Hubs = cmp.Or(m.Nodes, o.Nodes), cmp.Or(m.Regions, o.Regions), cmp.Or(m.Hubs, o.Hubs)
	m.Duration, m.Flush, m.Every = cmp.Or(m.Duration, o.Duration), cmp.Or(m.Flush, o.Flush), cmp.Or(m.Every, o.Every)
	m.Loss, m.Series, m.Change = cmp.Or(m.Loss, o.Loss), cmp.Or(m.Series, o.Series), cmp.Or(m.Change, o.Change)
	return m
}
