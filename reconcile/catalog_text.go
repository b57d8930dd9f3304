package reconcile

import (
	"strings"

	"meshd/crdt"
)

// A catalog never forgets a series before its process ends, so what belongs to series lies side by side in blocks: a million
// series are a few thousand objects to the collector, and not ten million.
const (
	pageSeries = 64
	// Blocks of labels and of bytes of text: each is twice the one before, up to the greatest.
	firstLabels, mostLabels = 16, 1024
	firstText, mostText     = 512, 32 << 10
	// maxWords bounds the texts that are kept once for all series that have them: names of metrics and labels, and beside them values.
	// What a map of them takes, 1 MB, is what 50 bytes of text save for each of 20,000 series.
	maxWords = 16_384
)

// texts are the names and labels of a catalog's series.
type texts struct {
	names, values map[string]string // some that were kept, as many as maxWords each
	labels        []crdt.Label      // free ones of the last block, behind those in use
	blockLabels   int               // how many the last block had
	block         strings.Builder   // never grown: strings are parts of it
}

func newTexts() texts { return texts{names: map[string]string{}, values: map[string]string{}} }

// keep returns a series whose texts are the catalog's own.
func (x *texts) keep(s *crdt.Series) crdt.Series {
	own := crdt.Series{Name: x.word(x.names, s.Name), Kind: s.Kind, Gen: s.Gen, Labels: x.room(len(s.Labels))}
	for i, l := range s.Labels {
		own.Labels[i] = crdt.Label{Name: x.word(x.names, l.Name), Value: x.word(x.values, l.Value)}
	}
	return own
}

// room returns so many labels.
func (x *texts) room(n int) []crdt.Label {
	if n == 0 {
		return nil
	}
	if n > len(x.labels) {
		x.blockLabels = min(max(2*x.blockLabels, firstLabels), mostLabels)
		x.labels = make([]crdt.Label, max(n, x.blockLabels))
	}
	out := x.labels[:n:n]
	x.labels = x.labels[n:]
	return out
}

// word returns a copy of s, the same for equal ones as long as there is room to remember them.
func (x *texts) word(known map[string]string, s string) string {
	if w, ok := known[s]; ok {
		return w
	}
	w := x.text(s)
	if len(known) < maxWords {
		known[w] = w
	}
	return w
}

func (x *texts) text(s string) string {
	if len(s) > mostText/8 {
		return strings.Clone(s)
	}
	if size := x.block.Cap(); size-x.block.Len() < len(s) {
		x.block = strings.Builder{}
		x.block.Grow(max(len(s), min(max(2*size, firstText), mostText)))
	}
	from := x.block.Len()
	x.block.WriteString(s)
	return x.block.String()[from:]
}
