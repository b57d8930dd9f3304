package short

import (
	"fmt"
	"strings"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

func (w *World) logf(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%6d  %s\n", w.now-began, fmt.Sprintf(format, args...))
	}
}

// describe shows a message for people.
func describe(d *node.Decoded) string {
	var b strings.Builder
	switch m := d.Msg.(type) {
	case *wire.Hello:
		b.WriteString("hello")
		for _, h := range m.Own {
			fmt.Fprintf(&b, " %s to %d", h.Inc.Short(), h.Head[crdt.StreamLifetime])
		}
	case *wire.Marks:
		b.WriteString("marks")
		for i := range m.Marks {
			p := m.Marks[i].Progress[crdt.StreamLifetime]
			fmt.Fprintf(&b, " %s %d/%d/%d", m.Marks[i].Origin, p.Cursor, p.Owed, p.Covered)
		}
	case *wire.FrameMsg:
		describeFrame(&b, d.Frame)
	case *wire.Push:
		b.WriteString("totals ")
		describeFrame(&b, d.Frame)
		for i := range m.Yours {
			y := &m.Yours[i]
			fmt.Fprintf(&b, " yours %s whole=%t", y.Inc.Short(), y.Whole)
			for j := range y.Cells {
				fmt.Fprintf(&b, " [%d]%s", y.Cells[j].Index, describeValue(&y.Cells[j].Value))
			}
		}
	case *wire.Freeze:
		fmt.Fprintf(&b, "states, with hubs %v,", m.Hubs)
		for i := range m.Nodes {
			n := &m.Nodes[i]
			fmt.Fprintf(&b, " %s forgot=%d/%x frozen=[", n.Node, n.Forgotten, n.Sum)
			for _, inc := range n.Frozen {
				b.WriteString(inc.Short() + " ")
			}
			fmt.Fprintf(&b, "]=%x", n.Print)
		}
	case *wire.Forgotten:
		fmt.Fprintf(&b, "record of %s, part %d of %d, %d incarnations", m.Node, m.Part, m.Parts, len(m.Incs))
	default:
		fmt.Fprintf(&b, "%T", m)
	}
	return b.String()
}

func describeFrame(b *strings.Builder, f *wire.Frame) {
	fmt.Fprintf(b, "frame %s (%d,%d] of %d:", f.Origin, f.From, f.To, f.Head)
	for i := range f.Defs {
		fmt.Fprintf(b, " #%d is %s", f.Defs[i].Ref, f.Defs[i].Series.Name)
	}
	for i := range f.Cells {
		fmt.Fprintf(b, " #%d=%s@%d", f.Cells[i].Ref, describeValue(&f.Cells[i].Value), f.Cells[i].Seq)
	}
}

func describeValue(v *crdt.Value) string {
	if d, ok := v.X.(*crdt.Distribution); ok {
		return fmt.Sprintf("{%d samples, +%s -%s}", d.Count(), d.Sum().P, d.Sum().N)
	}
	if v.Kind == crdt.KindUpDown {
		return fmt.Sprintf("+%s-%s", v.P, v.N)
	}
	return v.P.String()
}
