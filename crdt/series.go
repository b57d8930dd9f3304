package crdt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a series' definition. They bound what one series may cost every node that hears of it.
const (
	MaxMetricBytes = 200
	MaxLabels      = 32
	MaxLabelBytes  = 200  // label name
	MaxValueBytes  = 1024 // label value
)

// Label is one name and value. Names are unique within a series.
type Label struct{ Name, Value string }

// Series names what is counted. Two series with one name and different kinds are different series. Labels are
// sorted by name. Gen is the generation that a drop record raises: cells of lower generations are refused.
type Series struct {
	Name   string
	Kind   Kind
	Gen    uint32
	Labels []Label
}

// RollupLabel is the label by which a sum says that it lacks labels: no client may use it. Its value tells which, and how
// it was made; series of one metric that differ in it are the same counts, told in two ways.
const RollupLabel = "meshd.rollup"

// ErrSeries is wrapped by every refusal of a series definition.
var ErrSeries = errors.New("bad series")

// Check reports why the series cannot be accepted: a limit exceeded, labels not sorted or repeated, invalid UTF-8.
func (s *Series) Check() error {
	switch {
	case s.Name == "" || len(s.Name) > MaxMetricBytes:
		return fmt.Errorf("crdt: %w: metric name of %d bytes, want 1 to %d", ErrSeries, len(s.Name), MaxMetricBytes)
	case !utf8.ValidString(s.Name):
		return fmt.Errorf("crdt: %w: metric name %q is not UTF-8", ErrSeries, s.Name)
	case !s.Kind.Valid() || s.Kind == KindRollup:
		return fmt.Errorf("crdt: %w: %s is not a series kind", ErrSeries, s.Kind)
	case len(s.Labels) > MaxLabels && len(s.Labels) > MaxLabels+s.reserved():
		return fmt.Errorf("crdt: %w: %d labels, want at most %d", ErrSeries, len(s.Labels), MaxLabels)
	}
	for i, l := range s.Labels {
		switch {
		case l.Name == "" || len(l.Name) > MaxLabelBytes:
			return fmt.Errorf("crdt: %w: label name of %d bytes, want 1 to %d", ErrSeries, len(l.Name), MaxLabelBytes)
		case len(l.Value) > MaxValueBytes:
			return fmt.Errorf("crdt: %w: value of label %s has %d bytes, want at most %d", ErrSeries, l.Name, len(l.Value), MaxValueBytes)
		case !utf8.ValidString(l.Name) || !utf8.ValidString(l.Value):
			return fmt.Errorf("crdt: %w: label %q is not UTF-8", ErrSeries, l.Name)
		case i > 0 && s.Labels[i-1].Name >= l.Name:
			return fmt.Errorf("crdt: %w: labels %s and %s are repeated or not sorted", ErrSeries, s.Labels[i-1].Name, l.Name)
		}
	}
	return nil
}

// reserved returns how many labels a series has that no client gave it.
func (s *Series) reserved() (n int) {
	for _, name := range []string{RollupLabel, CorrectionLabel, CorrectionNodeLabel} {
		if s.Get(name) != "" {
			n++
		}
	}
	return n
}

// SortLabels puts labels in canonical order. Of repeated names the last one given wins.
func SortLabels(ls []Label) []Label {
	slices.SortStableFunc(ls, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	out := ls[:0]
	for _, l := range ls {
		if n := len(out); n > 0 && out[n-1].Name == l.Name {
			out[n-1] = l
			continue
		}
		out = append(out, l)
	}
	return out
}

// Get returns the value of the label name, or "".
func (s *Series) Get(name string) string {
	for _, l := range s.Labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// AppendKey appends bytes that are equal for two series exactly when the series are equal: kind, generation, then
// name, label names and values, each behind its length.
func (s *Series) AppendKey(dst []byte) []byte {
	dst = append(dst, byte(s.Kind))
	dst = binary.AppendUvarint(dst, uint64(s.Gen))
	dst = appendString(dst, s.Name)
	for _, l := range s.Labels {
		dst = appendString(dst, l.Name)
		dst = appendString(dst, l.Value)
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// String returns kind:name{label="value",...} for people.
func (s *Series) String() string {
	var b strings.Builder
	b.WriteString(s.Kind.String() + ":" + s.Name)
	for i, l := range s.Labels {
		b.WriteString([]string{"{", ","}[min(i, 1)])
		fmt.Fprintf(&b, "%s=%q", l.Name, l.Value)
	}
	if len(s.Labels) > 0 {
		b.WriteByte('}')
	}
	return b.String()
}
