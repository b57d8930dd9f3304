package query

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// RenderMembers writes the mesh as a table, one node a line.
func RenderMembers(w io.Writer, a *MembersAnswer) error {
	rows := [][]string{{"REGION", "NODE", "ROLE", "STATE", "ADDR", "RTT", "CLOCK"}}
	for i := range a.Members {
		m := &a.Members[i]
		rtt, clock := "-", "-"
		if m.State == stateAlive {
			rtt, clock = millisText(m.RTTMs), signedMillisText(m.ClockOffsetMs)
		}
		rows = append(rows, []string{printable(m.Region), printable(m.Node), dash(m.Role), m.State, dash(printable(m.Addr)), rtt, clock})
	}
	return table(w, rows)
}

func millisText(ms float64) string { return strconv.FormatFloat(ms, 'f', 1, 64) + " ms" }

func signedMillisText(ms float64) string { return fmt.Sprintf("%+.1f ms", ms) }

// RenderStatus writes a node's own view of itself, its peers, and every counter of refusals and losses that is not zero.
func RenderStatus(w io.Writer, a *StatusAnswer) error {
	disk := humanize.IBytes(a.Disk.FreeBytes) + " free, " + humanize.IBytes(a.Disk.ReserveBytes) + " kept free, " + humanize.IBytes(a.Disk.LogBytes) + " used"
	if a.Disk.Full {
		disk = "FULL, writes are refused: " + disk
	}
	rows := [][]string{
		{"node", fmt.Sprintf("%s in region %s of mesh %s, %s, version %s", a.Node, a.Region, a.Mesh, a.Role, dash(a.Version))},
		{"started", dash(startedText(a.Started))},
		{"incarnation", dash(a.Incarnation)},
		{"series", fmt.Sprintf("%d, from %d live and %d cold origins", a.Series, a.Origins, a.Cold)},
		{"written", fmt.Sprintf("up to %d, on disk up to %d", a.Head, a.Committed)},
		{"config", configText(&a.Config)},
		{"disk", disk},
		{"line", a.Line.text()},
	}
	rows = append(rows, a.Archive.rows()...)
	rows = append(rows, a.Events.rows()...)
	rows = append(rows, certificateRows(a.Certificates)...)
	rows = append(rows, scrapeRows(a.Scrape)...)
	for _, q := range a.Quarantine {
		rows = append(rows, []string{"refused", printable(fmt.Sprintf("%d frames of %s: %s", q.Frames, q.Origin, q.Reason))})
	}
	for _, name := range slices.Sorted(maps.Keys(a.Counters)) {
		if n := a.Counters[name]; n > 0 {
			rows = append(rows, []string{name, strconv.FormatUint(n, 10)})
		}
	}
	if err := table(w, rows); err != nil || len(a.Peers) == 0 {
		return err
	}
	peers := [][]string{{"PEER", "ROLE", "UP", "RTT", "CLOCK", "SENT", "RECEIVED", "BEHIND", "CONFIG"}}
	for i := range a.Peers {
		p := &a.Peers[i]
		up, rtt, clock := "no", "-", "-"
		if p.Up {
			up, rtt, clock = "yes", millisText(p.RTTMs), signedMillisText(p.ClockOffsetMs)
		}
		peers = append(peers, []string{
			printable(p.Region + "/" + p.Node), dash(p.Role), up, rtt, clock,
			strconv.FormatUint(p.SentFrames, 10), strconv.FormatUint(p.RecvFrames, 10), strconv.FormatUint(p.Behind, 10), strconv.FormatUint(p.Config, 10),
		})
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	return table(w, peers)
}

// certificateLabels name a certificate by what it is to the node.
var certificateLabels = map[string]string{"own": "certificate", "authority": "authority", "peer": "first peer's"}

// certificateRows are the node's own certificate, its authority's and of the peers' the one that ends first.
func certificateRows(c *Certificates) (rows [][]string) {
	if c == nil {
		return nil
	}
	seen := make(map[string]bool)
	for i := range c.List {
		one := &c.List[i]
		if seen[one.Of] {
			continue
		}
		seen[one.Of] = true
		text := "until " + one.Until.UTC().Format(timeLayout)
		if one.Of != "own" {
			text += " (" + printable(one.Name) + ")"
		}
		if one.Alarm != "" {
			text += ": " + strings.ToUpper(one.Alarm)
		}
		rows = append(rows, []string{certificateLabels[one.Of], text})
	}
	rows = append(rows, []string{"revoked", strconv.Itoa(c.Revoked) + " certificates"})
	if c.Error != "" {
		rows = append(rows, []string{"ERROR", printable(c.Error)})
	}
	return rows
}

// configText names the configuration of the mesh that a node has.
func configText(c *ConfigState) string {
	text := fmt.Sprintf("version %d by %s at %s", c.Version, printable(c.Author), startedText(c.Made))
	switch {
	case c.Version == 0:
		return "none: defaults"
	case c.Unread:
		return text + ", which this version of meshd cannot read: upgrade it"
	}
	return text
}

func startedText(t Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeLayout)
}

// RenderExplain writes for each series and region the value, the rule that gave it and the cells behind it.
func RenderExplain(w io.Writer, a *ExplainAnswer) error {
	if len(a.Series) == 0 {
		if _, err := fmt.Fprintln(w, "nothing counted matches"); err != nil {
			return err
		}
	}
	for i := range a.Series {
		s := &a.Series[i]
		if _, err := fmt.Fprintf(w, "%s %s\n", s.Kind, printable(s.Metric)+labelsText(s.Labels)); err != nil {
			return err
		}
		rows := [][]string{{"  REGION", "ORIGIN", "SEQ", "COVERED", "VALUE", "NOTE"}}
		for j := range s.Answers {
			r := &s.Answers[j]
			rows = append(rows, []string{"  " + printable(r.Region), "total", "", "", valueText(&r.Amount), r.Rule})
			for k := range r.Inputs {
				in := &r.Inputs[k]
				rows = append(rows, []string{
					"", printable(in.Origin), strconv.FormatUint(in.Seq, 10), strconv.FormatUint(in.Covered, 10),
					valueText(&in.Amount), printable(in.Note),
				})
			}
		}
		if err := table(w, rows); err != nil {
			return err
		}
	}
	return renderCoverage(w, &a.Coverage)
}

// labelsText writes {name="value",...}, sorted; "" if there are none.
func labelsText(labels map[string]string) string {
	if len(labels) == 0 {
		return ""
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, name+"="+strconv.Quote(labels[name]))
	}
	return "{" + strings.Join(parts, ",") + "}"
}
