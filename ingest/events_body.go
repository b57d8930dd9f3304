package ingest

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"meshd/crdt"
	"meshd/node"
)

// request collects what the body of one request says.
type request struct {
	now    time.Time
	series map[string]*crdt.Series // by key: events of one series share it
	key    []byte

	seen    int
	items   []node.Item
	index   []int // of each item in the request
	clamped int

	rejections    []rejectedEvent // the first ones
	listing       int             // how many of them are kept
	rejectedTotal int
	rejected      [numReasons]int
	examples      *examples // of doors without answers
}

// read takes the body in. Its errors are of the type *httpError.
func (q *request) read(body []byte, contentType string) error {
	br := bufio.NewReader(bytes.NewReader(body))
	first, err := firstByte(br)
	switch mediaType, _, _ := mime.ParseMediaType(contentType); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return bodyError(err)
	case first == '[':
		return q.readArray(br)
	case mediaType == "application/json":
		return q.readObjects(json.NewDecoder(br), func(*json.Decoder) bool { return true })
	}
	return q.readLines(br)
}

// firstByte returns the first byte that is not white space, without reading it.
func firstByte(br *bufio.Reader) (byte, error) {
	for {
		b, err := br.ReadByte()
		if err != nil {
			return 0, err
		}
		switch b {
		case ' ', '\t', '\r', '\n':
			continue
		}
		return b, br.UnreadByte()
	}
}

func (q *request) readArray(br *bufio.Reader) error {
	dec := json.NewDecoder(br)
	if _, err := dec.Token(); err != nil {
		return bodyError(err)
	}
	if err := q.readObjects(dec, (*json.Decoder).More); err != nil {
		return err
	}
	if _, err := dec.Token(); err != nil {
		return bodyError(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return bodyError(cmp.Or(err, errors.New("something follows the array")))
	}
	return nil
}

// readObjects reads JSON values while more says so, or to the end of the body.
func (q *request) readObjects(dec *json.Decoder, more func(*json.Decoder) bool) error {
	for more(dec) {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return bodyError(err)
		}
		if err := q.take(raw); err != nil {
			return err
		}
	}
	return nil
}

// readLines reads one JSON value a line; empty lines are skipped. The length of a line is bounded by the body's.
func (q *request) readLines(br *bufio.Reader) error {
	for {
		line, err := br.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return bodyError(err)
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if err := q.takeLine(line); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// takeLine is take for a line, which need not be JSON.
func (q *request) takeLine(line []byte) error {
	if json.Valid(line) {
		return q.take(line)
	}
	index, err := q.next()
	if err != nil {
		return err
	}
	q.refuse(index, line, refuse(reasonSyntax, "the line is not one JSON value"))
	return nil
}

// next returns the index of the next event. It fails if there are too many.
func (q *request) next() (index int, err error) {
	index = q.seen
	if q.seen++; q.seen > maxItems {
		return 0, &httpError{
			http.StatusRequestEntityTooLarge, reasonTooLong,
			fmt.Sprintf("more than %d events: send fewer a request", maxItems),
		}
	}
	return index, nil
}

// take adds the event raw, valid JSON, to the request's items or to its rejections.
func (q *request) take(raw []byte) error {
	index, err := q.next()
	if err != nil {
		return err
	}
	ev, err := parseEvent(raw)
	if err != nil {
		q.refuse(index, raw, err)
		return nil
	}
	item, clamped, err := ev.item(q.now)
	if err != nil {
		q.refuse(index, raw, err)
		return nil
	}
	if clamped {
		q.clamped++
	}
	q.key = item.Series.AppendKey(q.key[:0])
	if known, ok := q.series[string(q.key)]; ok {
		item.Series = known
	} else {
		q.series[string(q.key)] = item.Series
	}
	q.items = append(q.items, item)
	q.index = append(q.index, index)
	return nil
}

// refuse rejects an event that reads so.
func (q *request) refuse(index int, raw []byte, err error) {
	q.examples.note(reasonOf(err), raw)
	q.reject(index, err)
}

func (q *request) reject(index int, err error) {
	q.rejectedTotal++
	q.rejected[reasonOf(err)]++
	if len(q.rejections) < q.listing {
		q.rejections = append(q.rejections, rejectedEvent{Index: index, Error: err.Error()})
	}
}

// listed returns the first rejections in the order of the request; never nil, so that it is a JSON array.
func (q *request) listed() []rejectedEvent {
	slices.SortFunc(q.rejections, func(a, b rejectedEvent) int { return cmp.Compare(a.Index, b.Index) })
	return append([]rejectedEvent{}, q.rejections[:min(len(q.rejections), maxRejections)]...)
}

// bodyError returns the answer to a body that is not what it claims to be.
func bodyError(err error) error {
	return &httpError{http.StatusBadRequest, reasonSyntax, "nothing was counted, the body is not JSON: " + err.Error()}
}
