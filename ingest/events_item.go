package ingest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"meshd/crdt"
	"meshd/node"
)

// maxTokenBytes bounds sources and idempotency keys: the node remembers them.
const maxTokenBytes = 256

// eventFields are the keys of an event.
var eventFields = []string{"event", "value", "ts", "type", "labels", "source", "seq", "idempotency_key"}

// event is one object of a request before its fields are judged.
type event struct {
	name, typ, source, key string
	value                  []byte // as written: points into the body
	ts                     int64  // ms, 0 if absent
	seq                    uint64
	labels                 []crdt.Label
	given                  uint // bit i: eventFields[i] is present
	plain                  bool // value is what it says, not JSON
}

func (e *event) give(key string) { e.given |= 1 << slices.Index(eventFields, key) }

func (e *event) has(key string) bool { return e.given>>slices.Index(eventFields, key)&1 == 1 }

func refuse(r reason, format string, args ...any) error {
	return &refusal{reason: r, text: fmt.Sprintf(format, args...)}
}

// parseEvent reads one event from raw, which is valid JSON. Unlike encoding/json it takes keys as they are written,
// each at most once, and refuses keys that it does not know: a misspelt one would lose data without a word.
func parseEvent(raw []byte) (*event, error) {
	if !utf8.Valid(raw) {
		return nil, refuse(reasonUTF8, "not UTF-8")
	}
	e := new(event)
	for f, err := range jsonFields(raw) {
		if err != nil {
			return nil, refuse(reasonSyntax, "event: %v", err)
		}
		field := slices.Index(eventFields, f.key)
		if field < 0 {
			return nil, refuse(reasonSyntax, "unknown key %.64q: an event has %s", f.key, strings.Join(eventFields, ", "))
		}
		if e.given>>field&1 == 1 {
			return nil, refuse(reasonSyntax, "key %q is given twice", f.key)
		}
		e.given |= 1 << field
		if err := e.set(f.key, f.value); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// set reads the value of a known key.
func (e *event) set(key string, value []byte) (err error) {
	switch key {
	case "event":
		e.name, err = jsonString(value)
	case "value":
		e.value = value
	case "ts":
		if e.ts, err = strconv.ParseInt(string(value), 10, 64); err != nil {
			return refuse(reasonSyntax, "ts %.64q: want a whole number of milliseconds since 1970", value)
		}
	case "type":
		e.typ, err = jsonString(value)
	case "labels":
		return e.setLabels(value)
	case "source":
		e.source, err = jsonString(value)
	case "seq":
		if e.seq, err = strconv.ParseUint(string(value), 10, 64); err != nil {
			return refuse(reasonSyntax, "seq %.64q: want a whole number from 1", value)
		}
	case "idempotency_key":
		e.key, err = jsonString(value)
	}
	if err != nil {
		return refuse(reasonSyntax, "%s: %v", key, err)
	}
	return nil
}

func (e *event) setLabels(raw []byte) error {
	for f, err := range jsonFields(raw) {
		if err != nil {
			return refuse(reasonSyntax, "labels: %v", err)
		}
		if len(e.labels) == crdt.MaxLabels {
			return refuse(reasonTooLong, "more than %d labels", crdt.MaxLabels)
		}
		value, err := jsonString(f.value)
		if err != nil {
			return refuse(reasonSyntax, "label %.64q: %v", f.key, err)
		}
		e.labels = append(e.labels, crdt.Label{Name: f.key, Value: value})
	}
	return nil
}

// item returns what the event counts. clamped: its stamp was too far ahead and was replaced by now.
func (e *event) item(now time.Time) (it node.Item, clamped bool, err error) {
	kind, err := e.kind()
	if err != nil {
		return it, false, err
	}
	token, err := e.token()
	if err != nil {
		return it, false, err
	}
	s, err := e.sample(kind)
	if err != nil {
		return it, false, err
	}
	s.stamp = crdt.HLCFrom(now.UnixMilli(), 0)
	if e.ts != 0 && kind == crdt.KindGauge {
		s.stamp, s.dated = stampAt(e.ts, s.stamp)
		clamped = !s.dated
	}
	it, err = newItem(e.name, kind, e.labels, s)
	it.Token = token
	if kind != crdt.KindGauge { // which has it in itself
		it.At = e.ts
	}
	return it, clamped, err
}

func (e *event) kind() (crdt.Kind, error) {
	if e.name == "" {
		return 0, refuse(reasonName, "event, the metric's name, is missing or empty")
	}
	if e.has("ts") && e.ts <= 0 {
		return 0, refuse(reasonRange, "ts is %d, want milliseconds since 1970", e.ts)
	}
	switch e.typ {
	case "", "count":
		return crdt.KindCounter, nil
	case "updown":
		return crdt.KindUpDown, nil
	case "gauge":
		return crdt.KindGauge, nil
	case "length":
		return crdt.KindDistribution, nil
	case "unique":
		return crdt.KindUnique, nil
	}
	return 0, refuse(reasonType, "unknown type %.64q: want count, updown, gauge, length or unique", e.typ)
}

func (e *event) token() (node.Token, error) {
	numbered, keyed := e.has("source") || e.has("seq"), e.has("idempotency_key")
	switch {
	case numbered && keyed:
		return node.Token{}, refuse(reasonToken, "both source with seq and idempotency_key are given: want one")
	case numbered && (e.source == "" || e.seq == 0):
		return node.Token{}, refuse(reasonToken, "source and seq go together: a name and a number from 1")
	case keyed && e.key == "":
		return node.Token{}, refuse(reasonToken, "idempotency_key is empty")
	case max(len(e.source), len(e.key)) > maxTokenBytes:
		return node.Token{}, refuse(reasonToken, "source or idempotency_key is longer than %d bytes", maxTokenBytes)
	}
	return node.Token{Source: e.source, Seq: e.seq, Key: e.key}, nil
}

// sample reads value: a number, a decimal in a string (as value_exact is in answers), or for uniques any string.
func (e *event) sample(kind crdt.Kind) (s sample, err error) {
	text := []byte("1")
	if e.has("value") {
		if text, err = e.text(); err != nil {
			return s, err
		}
	} else if kind == crdt.KindUnique || kind == crdt.KindGauge {
		return s, refuse(reasonNumber, "value is missing: %s has no default", e.typ)
	}
	if kind == crdt.KindUnique {
		if len(text) == 0 || len(text) > crdt.MaxValueBytes {
			return s, refuse(reasonTooLong, "value has %d bytes, want 1 to %d", len(text), crdt.MaxValueBytes)
		}
		return sample{hash: hashOf(text)}, nil
	}
	d, form := parseDecimal(text)
	if form == notNumber {
		return s, refuse(reasonNumber, "value %.64q is not a decimal number of up to %d characters", text, maxNumberBytes)
	}
	ok := false
	switch kind {
	case crdt.KindCounter, crdt.KindUpDown:
		s.amount, ok = amountOf(text, d, form, one)
		s.minus = d.neg && !s.amount.IsZero()
		if s.minus && kind == crdt.KindCounter {
			return s, refuse(reasonNegative, "a count of %.64s: only type updown goes down", text)
		}
	default:
		s.value, ok = floatOf(text, d, form)
		s.weight = 1
	}
	if !ok {
		return s, refuse(reasonRange, "value %.64s is out of range", text)
	}
	return s, nil
}

// text returns the characters of value: a string's contents, a number as it was written.
func (e *event) text() ([]byte, error) {
	if e.plain {
		return e.value, nil
	}
	if e.value[0] == '"' {
		s, err := jsonString(e.value)
		if err != nil {
			return nil, refuse(reasonSyntax, "value: %v", err)
		}
		return []byte(s), nil
	}
	if _, form := parseDecimal(e.value); form == notNumber {
		return nil, refuse(reasonNumber, "value %.64q is neither a number nor a string", e.value)
	}
	return e.value, nil
}
