package ingest

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"meshd/crdt"
)

// rwType is the type of a metric as remote write 2.0 numbers them.
type rwType uint8

const (
	rwTypeNone           rwType = 0
	rwTypeCounter        rwType = 1
	rwTypeGauge          rwType = 2
	rwTypeHistogram      rwType = 3
	rwTypeGaugeHistogram rwType = 4
	rwTypeSummary        rwType = 5
	rwTypeInfo           rwType = 6
	rwTypeStateSet       rwType = 7
)

// rwKindOf returns the kind of a series of floats.
func rwKindOf(name string, t rwType) crdt.Kind {
	sums := strings.HasSuffix(name, "_count") || strings.HasSuffix(name, "_sum")
	observed := false
	switch t {
	case rwTypeCounter:
		observed = true
	case rwTypeHistogram:
		observed = sums || strings.HasSuffix(name, "_bucket")
	case rwTypeSummary:
		observed = sums
	case rwTypeGauge, rwTypeGaugeHistogram, rwTypeInfo, rwTypeStateSet:
	default:
		observed = sums || strings.HasSuffix(name, "_total") || strings.HasSuffix(name, "_bucket")
	}
	if observed {
		return crdt.KindObserved
	}
	return crdt.KindGauge
}

// rwForm says what the samples of a series are.
type rwForm uint8

const (
	rwFloats rwForm = iota
	rwNative
)

// rwKey are the bytes that a series is found by: its form, its type, then names and values of labels as they were sent,
// each behind its length.
type rwKey []byte

func (k rwKey) reset(form rwForm, t rwType) rwKey { return append(k[:0], byte(form), byte(t)) }

func (k rwKey) append(text []byte) rwKey {
	return append(binary.AppendUvarint(k, uint64(len(text))), text...)
}

// labels returns the metric's name and the other labels. Labels without a value are none.
func (k rwKey) labels(drop []string) (name string, ls []crdt.Label, err error) {
	cut := func() string {
		n, size := binary.Uvarint(k)
		text := string(k[size : size+int(n)])
		k = k[size+int(n):]
		return text
	}
	for k = k[2:]; len(k) > 0; {
		l := crdt.Label{Name: cut(), Value: cut()}
		switch {
		case !utf8.ValidString(l.Name) || !utf8.ValidString(l.Value):
			return "", nil, refuse(reasonUTF8, "label %.64q is not UTF-8", l.Name)
		case l.Name == "":
			return "", nil, refuse(reasonTag, "a label without a name")
		case l.Name == "__name__" && name != "", slices.ContainsFunc(ls, func(o crdt.Label) bool { return o.Name == l.Name }):
			return "", nil, refuse(reasonTag, "label %.64q is given twice", l.Name)
		case l.Name == "__name__":
			name = l.Value
		case l.Value == "" || slices.Contains(drop, l.Name):
		case len(ls) == crdt.MaxLabels:
			return "", nil, refuse(reasonTooLong, "more than %d labels", crdt.MaxLabels)
		default:
			ls = append(ls, l)
		}
	}
	if name == "" {
		return "", nil, refuse(reasonName, "the label __name__ is missing or empty")
	}
	return name, ls, nil
}

// rwCacheBytes bounds the cache: some 50,000 series of usual size. At the bound it is emptied: what is sent again is
// found again.
const rwCacheBytes = 32 << 20

// rwSeriesCache knows the series of what was sent before, so that a sample of a known one costs a lookup.
type rwSeriesCache struct {
	drop []string // labels

	mu    sync.RWMutex
	known map[string]*crdt.Series
	bytes int // of known, about
}

func newRWSeriesCache(drop []string) *rwSeriesCache {
	return &rwSeriesCache{drop: drop, known: make(map[string]*crdt.Series)}
}

// find returns the series that a key names.
func (c *rwSeriesCache) find(k rwKey) (*crdt.Series, error) {
	c.mu.RLock()
	s := c.known[string(k)]
	c.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	name, ls, err := k.labels(c.drop)
	if err != nil {
		return nil, err
	}
	kind := crdt.KindHistogram
	if rwForm(k[0]) == rwFloats {
		kind = rwKindOf(name, rwType(k[1]))
	}
	if s, err = newSeries(name, kind, ls); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes += 300 + 2*len(k); c.bytes > rwCacheBytes { // the key, and the same texts in the series
		clear(c.known)
		c.bytes = 300 + 2*len(k)
	}
	c.known[string(k)] = s
	return s, nil
}
