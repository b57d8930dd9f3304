package wire

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Answer is one part of the answer to a Query. The first has the coverage, the last a state other than AnswerGoesOn: without
// that one, what came is not whole.
type Answer struct {
	State   AnswerState
	Text    string           // for people: why not, if it is not whole
	Regions []RegionCoverage // in the first part: what the hub knows of each region, read before what follows
	Body    []byte           // see Ask; it aliases what was parsed
	Since   int64            // in the first part: the hub may lack windows before this, ms; 0: it lacks none
}

// AnswerState says whether the answer goes on, and how it ended.
type AnswerState uint8

// The states. Their numbers are part of the protocol.
const (
	AnswerGoesOn AnswerState = 0
	AnswerWhole  AnswerState = 1
	AnswerBusy   AnswerState = 2 // too many questions at once: ask another hub, or later
	AnswerTooBig AnswerState = 3 // more than one of the limits: ask for less
	AnswerLate   AnswerState = 4 // the time was over
	AnswerFailed AnswerState = 5 // the hub could not read what it has
)

const answerFields = 5

// AppendAnswer appends a. It refuses what ParseAnswer would refuse. On error dst is returned unchanged.
func AppendAnswer(dst []byte, a *Answer) ([]byte, error) {
	w := newWriter(nil)
	if a.State > AnswerFailed {
		w.fail(ErrInvalid, "state %d", a.State)
	}
	w.array(answerFields)
	w.uint(uint64(a.State))
	w.text("text", a.Text, MaxTextBytes)
	w.limit("regions", len(a.Regions), MaxRegions)
	w.array(len(a.Regions))
	for i := range a.Regions {
		w.regionCoverage(&a.Regions[i])
	}
	w.bytes(a.Body)
	w.int(a.Since)
	body, err := w.done()
	if err == nil && len(body) > MaxAnswerBytes {
		err = fmt.Errorf("%w: %d bytes, want at most %d", ErrLimit, len(body), MaxAnswerBytes)
	}
	if err != nil {
		return dst, fmt.Errorf("wire: append answer: %w", err)
	}
	out, ok := compress(binary.AppendUvarint(append(dst, typeAnswer|typeCompressed), uint64(len(body))), body, 0)
	if !ok {
		out = append(append(out[:len(dst)], typeAnswer), body...)
	}
	return out, nil
}

// ParseAnswer reads one part of an answer, the whole of b.
func ParseAnswer(b []byte) (*Answer, error) {
	a, err := parseAnswer(b)
	if err != nil {
		return nil, fmt.Errorf("wire: parse answer: %w", err)
	}
	return a, nil
}

func parseAnswer(b []byte) (*Answer, error) {
	if len(b) > MaxAnswerBytes+1 {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrLimit, len(b), MaxAnswerBytes+1)
	}
	if len(b) == 0 || b[0]&^typeCompressed != typeAnswer {
		return nil, fmt.Errorf("%w: not an answer", ErrMalformed)
	}
	body := b[1:]
	if b[0]&typeCompressed != 0 {
		size, n := binary.Uvarint(body)
		if n <= 0 {
			return nil, fmt.Errorf("%w: body size", ErrMalformed)
		}
		var err error
		if body, err = decompress(nil, body[n:], size, MaxAnswerBytes); err != nil {
			return nil, err
		}
	}
	var a Answer
	r := newReader(body)
	extra := r.array(answerFields)
	a.State, a.Text = AnswerState(r.small("state", math.MaxUint8)), r.text("text", MaxTextBytes)
	if n := r.list("regions", MaxRegions, regionCoverageBytesMin); n > 0 {
		a.Regions = make([]RegionCoverage, n)
	}
	for i := range a.Regions {
		r.regionCoverage(&a.Regions[i])
	}
	a.Body, a.Since = r.raw(), r.int()
	r.skip(extra)
	if err := r.end(); err != nil {
		return nil, err
	}
	if a.State > AnswerFailed {
		return nil, fmt.Errorf("%w: state %d", ErrInvalid, a.State)
	}
	return &a, nil
}
