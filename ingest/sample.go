package ingest

import (
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"

	"meshd/crdt"
	"meshd/node"
)

// sample is one measurement of one series: what the parser of every protocol ends in. Which of its fields count
// depends on the kind of the series.
type sample struct {
	amount crdt.Fixed // counter, updown: at most crdt.MaxSample
	minus  bool       // updown: amount goes to N

	value  float64 // gauge: the setting; distribution: the sample
	adjust bool    // gauge: value is added to the last setting
	stamp  crdt.HLC
	dated  bool // stamp is the client's

	weight float64 // distribution: how many samples this one stands for, at least 1

	hash uint64 // unique: hashOf the value
}

// maxAhead is how far ahead of this node's clock a client's time may be.
const maxAhead = 10 * time.Minute

// stampAt returns a client's time, in milliseconds, as a stamp. One that is too far ahead of now, or before 1970, is
// replaced by now: it is not dated.
func stampAt(ms int64, now crdt.HLC) (stamp crdt.HLC, dated bool) {
	if ms <= 0 || ms > now.Millis()+maxAhead.Milliseconds() {
		return now, false
	}
	return crdt.HLCFrom(ms, 0), true
}

// hashOf is the hash under which every protocol counts distinct values: xxHash64 of their bytes.
func hashOf(value []byte) uint64 { return xxhash.Sum64(value) }

// grow adds the sample to the increment v, whose kind is that of the series. carry holds the fraction of a weight
// that previous samples left over: weights are whole in a cell, and their sum is exact to the last whole one. When
// it fails v is as it was.
func (s *sample) grow(v *crdt.Value, carry *float64) error {
	switch v.Kind {
	case crdt.KindCounter, crdt.KindUpDown:
		return s.growAmount(v)
	case crdt.KindGauge:
		return s.growGauge(v)
	case crdt.KindDistribution:
		return s.growDistribution(v, carry)
	case crdt.KindUnique:
		if v.X == nil {
			v.X = new(crdt.Unique)
		}
		v.X.(*crdt.Unique).InsertHash(s.hash)
		return nil
	case crdt.KindSet, crdt.KindObserved, crdt.KindRollup, crdt.KindHistogram:
	}
	return fmt.Errorf("ingest: %w: no sample grows a %s", crdt.ErrKind, v.Kind)
}

func (s *sample) growAmount(v *crdt.Value) error {
	part := &v.P
	if s.minus {
		part = &v.N
	}
	sum, ok := part.Add(s.amount)
	if !ok || crdt.MaxCell.Less(sum) {
		return fmt.Errorf("ingest: %w: more than 2^64 in one increment", crdt.ErrLimit)
	}
	*part = sum
	return nil
}

// growGauge is crdt.Value.Grow for one setting, without allocating it.
func (s *sample) growGauge(v *crdt.Value) error {
	g, ok := v.X.(*crdt.Gauge)
	if !ok {
		v.X = &crdt.Gauge{Time: s.stamp, Value: s.value, Adjust: s.adjust, Dated: s.dated && !s.adjust}
		return nil
	}
	if g.Late(&crdt.Gauge{Time: s.stamp, Value: s.value, Adjust: s.adjust, Dated: s.dated}) {
		return nil
	}
	value, adjust := s.value, false
	if s.adjust {
		value, adjust = g.Value+s.value, g.Adjust
	}
	if value-value != 0 {
		return fmt.Errorf("ingest: %w: gauge value beyond float64", crdt.ErrRange)
	}
	g.Time, g.Value, g.Adjust, g.Dated = max(g.Time, s.stamp), value, adjust, s.dated && !s.adjust
	return nil
}

func (s *sample) growDistribution(v *crdt.Value, carry *float64) error {
	weight := s.weight + *carry
	whole := uint64(weight)
	d, ok := v.X.(*crdt.Distribution)
	if !ok {
		d = new(crdt.Distribution)
	}
	if err := d.Observe(s.value, whole); err != nil {
		return err
	}
	v.X, *carry = d, weight-float64(whole)
	return nil
}

// newSeries returns the series that a client names. Labels of the client's named node or region give way to those
// that meshd adds: they become exported_node and exported_region. It takes labels over.
func newSeries(name string, kind crdt.Kind, labels []crdt.Label) (*crdt.Series, error) {
	for i, l := range labels {
		if l.Name == "node" || l.Name == "region" {
			labels[i].Name = "exported_" + l.Name
		}
	}
	s := &crdt.Series{Name: name, Kind: kind, Labels: crdt.SortLabels(labels)}
	if err := s.Check(); err != nil {
		return nil, err
	}
	return s, nil
}

// newItem returns one sample of one series as an item of a batch. It takes labels over.
func newItem(name string, kind crdt.Kind, labels []crdt.Label, s sample) (it node.Item, err error) {
	if it.Series, err = newSeries(name, kind, labels); err != nil {
		return it, err
	}
	it.Inc = crdt.Bottom(kind)
	return it, s.grow(&it.Inc, new(float64))
}
