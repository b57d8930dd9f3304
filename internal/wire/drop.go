package wire

import (
	"fmt"

	"meshd/crdt"
)

// Drops says which series operators dropped. Records are joined: of each matcher the highest generation counts.
type Drops struct{ Drops []Drop }

// Drop raises the generation of the series that it matches: cells of lower ones are refused by everybody.
type Drop struct {
	Metric string       // name; * is any run of characters, ? is one
	Labels []crdt.Label // each has to match, sorted by name; values as Metric
	Gen    uint32       // from 1
}

const (
	dropsFields   = 1
	dropFields    = 3
	dropBytesMin  = 1 + 2 + 1 + 1
	labelFields   = 2
	labelBytesMin = 1 + 2
)

func (m *Drops) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.limit("drops", len(m.Drops), MaxDrops)
	w.array(dropsFields)
	w.array(len(m.Drops))
	for i := range m.Drops {
		w.drop(&m.Drops[i])
	}
	return w.done()
}

func (w *writer) drop(d *Drop) {
	if err := d.Check(); err != nil {
		w.keep(err)
	}
	w.array(dropFields)
	w.string(d.Metric)
	w.array(len(d.Labels))
	for _, l := range d.Labels {
		w.array(labelFields)
		w.string(l.Name)
		w.string(l.Value)
	}
	w.uint(uint64(d.Gen))
}

// Check reports what no series can match, or cannot be ordered: too long, labels not sorted, no generation.
func (d *Drop) Check() error {
	s := crdt.Series{Name: d.Metric, Kind: crdt.KindCounter, Labels: d.Labels}
	if err := s.Check(); err != nil {
		return fmt.Errorf("%w: drop: %w", ErrInvalid, err)
	}
	if d.Gen == 0 {
		return fmt.Errorf("%w: drop of %s without a generation", ErrInvalid, d.Metric)
	}
	return nil
}

func parseDrops(b []byte) (*Drops, error) {
	var m Drops
	r := newReader(b)
	extra := r.array(dropsFields)
	if n := r.list("drops", MaxDrops, dropBytesMin); n > 0 {
		m.Drops = make([]Drop, n)
	}
	for i := range m.Drops {
		m.Drops[i] = r.drop()
	}
	r.skip(extra)
	return &m, r.end()
}

func (r *reader) drop() (d Drop) {
	extra := r.array(dropFields)
	d.Metric = r.text("metric", crdt.MaxMetricBytes)
	if n := r.list("labels", crdt.MaxLabels, labelBytesMin); n > 0 {
		d.Labels = make([]crdt.Label, n)
	}
	for i := range d.Labels {
		more := r.array(labelFields)
		d.Labels[i] = crdt.Label{Name: r.text("label", crdt.MaxLabelBytes), Value: r.text("label value", crdt.MaxValueBytes)}
		r.skip(more)
	}
	d.Gen = r.uint32("generation")
	r.skip(extra)
	if r.err == nil {
		r.keepAs(d.Check())
	}
	return d
}
