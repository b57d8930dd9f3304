package ingest

import (
	"net/http"

	"google.golang.org/protobuf/encoding/protowire"
)

// rwSeries is one time series of a message. Its slices are used again for the next one.
type rwSeries struct {
	typ        rwType
	refs       []uint32 // 2.0: of names and values in the symbols
	labels     [][]byte // 1.0: names and values
	samples    []rwSample
	histograms [][]byte // messages
	exemplars  int
	created    int64 // 2.0 up to its third candidate: the start of all samples
}

type rwSample struct {
	value     float64
	at, start int64 // ms; start is 0 if unknown
}

func (s *rwSeries) reset() {
	s.typ, s.exemplars, s.created = rwTypeNone, 0, 0
	s.refs, s.labels, s.samples, s.histograms = s.refs[:0], s.labels[:0], s.samples[:0], s.histograms[:0]
}

var errBadMessage = &httpError{
	http.StatusBadRequest, reasonSyntax, "nothing was counted, the body is not the protobuf message that its Content-Type says",
}

// version1 reads a prometheus.WriteRequest. Its errors answer the request as a whole.
func (p *rwPoints) version1(body []byte) error {
	r := protoReader{b: body}
	for r.next() {
		if r.num != 1 { // metadata of families: they come alone, too late to say what a series is
			continue
		}
		if !p.series.parse1(r.message()) {
			return errBadMessage
		}
		if !p.series.small() {
			return errTooMany()
		}
		if err := p.takeSeries(func(form rwForm) error {
			p.key = p.key.reset(form, rwTypeNone)
			for _, text := range p.series.labels {
				p.key = p.key.append(text)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if r.bad {
		return errBadMessage
	}
	return nil
}

// version2 reads an io.prometheus.write.v2.Request: first the symbols, which may come after what refers to them.
func (p *rwPoints) version2(body []byte) error {
	var symbols [][]byte
	r := protoReader{b: body}
	for r.next() {
		if r.num == 4 {
			symbols = append(symbols, r.message())
		}
		if len(symbols) > maxRWSymbols {
			return errTooMany()
		}
	}
	if r.bad {
		return errBadMessage
	}
	for r = (protoReader{b: body}); r.next(); {
		if r.num != 5 {
			continue
		}
		if !p.series.parse2(r.message()) {
			return errBadMessage
		}
		if !p.series.small() {
			return errTooMany()
		}
		if err := p.takeSeries(func(form rwForm) error {
			p.key = p.key.reset(form, p.series.typ)
			if len(p.series.refs)%2 == 1 {
				return refuse(reasonTag, "%d references to labels: want pairs of name and value", len(p.series.refs))
			}
			for _, ref := range p.series.refs {
				if uint64(ref) >= uint64(len(symbols)) {
					return refuse(reasonTag, "a label refers to symbol %d of %d", ref, len(symbols))
				}
				p.key = p.key.append(symbols[ref])
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if r.bad {
		return errBadMessage
	}
	return nil
}

// parse1 reads a prometheus.TimeSeries and reports whether it is one.
func (s *rwSeries) parse1(b []byte) bool {
	s.reset()
	r := protoReader{b: b}
	for r.next() && s.small() {
		switch r.num {
		case 1:
			l := protoReader{b: r.message()}
			var name, value []byte
			for l.next() {
				switch l.num {
				case 1:
					name = l.message()
				case 2:
					value = l.message()
				}
			}
			r.bad = r.bad || l.bad
			s.labels = append(s.labels, name, value)
		case 2:
			r.bad = !s.sample(r.message()) || r.bad
		case 3:
			s.exemplars++
		case 4:
			s.histograms = append(s.histograms, r.message())
		}
	}
	return !r.bad
}

// parse2 reads an io.prometheus.write.v2.TimeSeries and reports whether it is one.
func (s *rwSeries) parse2(b []byte) bool {
	s.reset()
	r := protoReader{b: b}
	for r.next() && s.small() {
		switch r.num {
		case 1:
			s.refs = protoList(&r, s.refs, protowire.VarintType, readUint32)
		case 2:
			r.bad = !s.sample(r.message()) || r.bad
		case 3:
			s.histograms = append(s.histograms, r.message())
		case 4:
			s.exemplars++
		case 5:
			for m := (protoReader{b: r.message()}); m.next(); {
				if m.num == 1 {
					s.typ = rwType(min(m.varint(), 255))
				}
			}
		case 6:
			s.created = int64(r.varint())
		}
	}
	return !r.bad
}

// Parts of a message that cost more here than on the wire, where an empty one takes two bytes. Beyond these a message is
// too large, as one of too many samples is.
const (
	maxRWSymbols = 500_000 // 12 MB
	maxRWLabels  = 1_000   // of a series, before the limit that refuses it alone
)

// small reports whether a series has no more parts than any can have.
func (s *rwSeries) small() bool {
	return len(s.samples)+len(s.histograms) <= maxItems && len(s.labels)/2 <= maxRWLabels && len(s.refs)/2 <= maxRWLabels
}

// sample reads a Sample, which 2.0 has given a third field.
func (s *rwSeries) sample(b []byte) bool {
	var out rwSample
	r := protoReader{b: b}
	for r.next() {
		switch r.num {
		case 1:
			out.value = r.double()
		case 2:
			out.at = int64(r.varint())
		case 3:
			out.start = int64(r.varint())
		}
	}
	s.samples = append(s.samples, out)
	return !r.bad
}

// rwHistogram is a Histogram, equal in both versions but for the start.
type rwHistogram struct {
	native       // as integers
	float        bool
	floatCounts  [2]float64 // of all samples and of zeros
	positive     []float64  // counts of a float histogram
	negative     []float64
	customValues []float64
	gauge        bool
	at, start    int64
}

func (h *rwHistogram) parse(b []byte) bool {
	r := protoReader{b: b}
	for r.next() {
		switch r.num {
		case 1:
			h.Count = r.varint()
		case 2:
			h.float, h.floatCounts[0] = true, r.double()
		case 3:
			h.Sum = r.double()
		case 4:
			h.Schema = int32(r.zigzag())
		case 5:
			h.ZeroThreshold = r.double()
		case 6:
			h.ZeroCount = r.varint()
		case 7:
			h.float, h.floatCounts[1] = true, r.double()
		case 8:
			h.NegativeSpans = appendSpan(&r, h.NegativeSpans)
		case 9:
			h.NegativeBuckets = protoList(&r, h.NegativeBuckets, protowire.VarintType, readZigzag)
		case 10:
			h.negative = protoList(&r, h.negative, protowire.Fixed64Type, readDouble)
		case 11:
			h.PositiveSpans = appendSpan(&r, h.PositiveSpans)
		case 12:
			h.PositiveBuckets = protoList(&r, h.PositiveBuckets, protowire.VarintType, readZigzag)
		case 13:
			h.positive = protoList(&r, h.positive, protowire.Fixed64Type, readDouble)
		case 14:
			const gaugeHint = 3
			h.gauge = r.varint() == gaugeHint
		case 15:
			h.at = int64(r.varint())
		case 16:
			h.customValues = protoList(&r, h.customValues, protowire.Fixed64Type, readDouble)
		case 17:
			h.start = int64(r.varint())
		}
	}
	return !r.bad
}

func appendSpan(r *protoReader, spans []span) []span {
	var s span
	m := protoReader{b: r.message()}
	for m.next() {
		switch m.num {
		case 1:
			s.Offset = int32(m.zigzag())
		case 2:
			s.Length = uint32(m.varint())
		}
	}
	r.bad = r.bad || m.bad
	return append(spans, s)
}
