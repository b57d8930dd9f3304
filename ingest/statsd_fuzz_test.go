package ingest

import (
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"meshd/crdt"
)

// The reference reads a line the slow way: split, regular expressions, rational numbers.

var (
	numberShape = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?0*([0-9]{1,3}))?$`)
	fieldShape  = regexp.MustCompile(`(?s)^(@.*|#.*|T[0-9]{1,12}|c:.*|e:.*|card:.*)$`)
)

func referenceNumber(s string) (*big.Rat, bool) {
	m := numberShape.FindStringSubmatch(s)
	if m == nil || len(s) > maxNumberBytes {
		return nil, false
	}
	if e, err := strconv.Atoi("0" + m[3]); err != nil || e > maxExponent {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

func significantDigits(number string) int {
	mantissa, _, _ := strings.Cut(strings.ToLower(number), "e")
	return len(strings.TrimLeft(strings.ReplaceAll(mantissa, ".", ""), "+-0"))
}

func rateInRange(rate *big.Rat) bool {
	f, _ := rate.Float64()
	return f >= 1e-6 && f <= 1
}

// referenceLine returns the series that a line counts in and the total it leaves there.
func referenceLine(t *testing.T, text string) (series, total string, ok bool) {
	name, rest, ok := strings.Cut(text, ":")
	parts := strings.Split(rest, "|")
	if !ok || len(parts) < 2 || !utf8.ValidString(name) {
		return "", "", false
	}
	kind, ok := map[string]crdt.Kind{
		"c": crdt.KindCounter, "g": crdt.KindGauge, "ms": crdt.KindDistribution, "h": crdt.KindDistribution,
		"d": crdt.KindDistribution, "s": crdt.KindUnique,
	}[parts[1]]
	if !ok {
		return "", "", false
	}
	rate, tags := big.NewRat(1, 1), ""
	for _, f := range parts[2:] {
		if !fieldShape.MatchString(f) {
			return "", "", false
		}
		switch f[0] {
		case '@':
			if rate, ok = referenceNumber(f[1:]); !ok || !rateInRange(rate) || f[1] == '-' || significantDigits(f[1:]) > 19 {
				return "", "", false
			}
		case '#':
			tags = f[1:]
		}
	}
	s := &crdt.Series{Name: name, Kind: kind}
	for tag := range strings.SplitSeq(tags, ",") {
		k, v, found := strings.Cut(tag, ":")
		switch {
		case tag == "":
			continue
		case !found:
			v = "true"
		}
		if k == "node" || k == "region" {
			k = "exported_" + k
		}
		s.Labels = append(s.Labels, crdt.Label{Name: k, Value: v})
	}
	if len(s.Labels) > crdt.MaxLabels || !utf8.ValidString(tags) {
		return "", "", false
	}
	if s.Labels = crdt.SortLabels(s.Labels); s.Check() != nil {
		return "", "", false
	}
	total, ok = referenceValues(t, kind, parts[0], rate)
	return s.String(), total, ok
}

func referenceValues(t *testing.T, kind crdt.Kind, values string, rate *big.Rat) (string, bool) {
	v := crdt.Bottom(kind)
	if kind == crdt.KindUnique {
		u := new(crdt.Unique)
		u.InsertHash(hashOf([]byte(values)))
		v.X = u
		return describe(v), values != "" && len(values) <= crdt.MaxValueBytes && utf8.ValidString(values)
	}
	rateFloat, _ := rate.Float64()
	carry := 0.0
	for text := range strings.SplitSeq(values, ":") {
		r, ok := referenceNumber(text)
		if !ok {
			return "", false
		}
		f, _ := r.Float64()
		s := sample{value: f, weight: 1 / rateFloat}
		switch kind {
		case crdt.KindCounter:
			amount, ok := exactAmount(text, rate.RatString())
			if !ok {
				return "", false
			}
			a, err := crdt.ParseFixed(amount)
			if err != nil {
				t.Fatal(err)
			}
			if s.amount = a; r.Sign() < 0 && !a.IsZero() {
				return "", false
			}
		case crdt.KindGauge:
			s.adjust = strings.ContainsAny(text[:1], "+-")
		default:
			if f < -1<<63 || f > 1<<63 {
				return "", false
			}
		}
		if f-f != 0 && kind != crdt.KindCounter || s.grow(&v, &carry) != nil {
			return "", false
		}
	}
	return describe(v), true
}

func FuzzStatsDLine(f *testing.F) {
	for _, seed := range []string{
		"hits:1|c", "hits:3|c|@0.3|#a:1,flag,b:x:y|c:id|T1656581400|e:x|card:low", "temp:+3|g", "temp:-0|g", "t:1:2:3.5|ms|@0.4",
		"users:a:b|s", "hits:1e-3|c", "hits:.5|c|@1e-6", "x:1|c|#node:a,region:b", "hits:12345678901234567890.5|c", "t:1.|d", "\xff:1|c",
		"hits:1|c|#é:ü", "_x:1|c", "hits:0e-400|c", "hits:1|c|@0.0000010000000000000000000", "hits:1|c|@.100000000000000000000",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "\n\r") || strings.HasPrefix(text, "_e{") || strings.HasPrefix(text, "_sc|") || text == "" {
			return
		}
		series, total, ok := referenceLine(t, text)
		d := newDoor(t, 100)
		refused := d.send(t, text)
		if ok != (len(refused) == 0) {
			t.Fatalf("%q: reference takes it: %v, refused for %v", text, ok, refused)
		}
		if !ok {
			if len(d.node.items) > 0 && !slices.Contains(refused, reasonRange) {
				t.Fatalf("%q is refused and counts: %v", text, d.node.series)
			}
			return
		}
		if got := describe(d.node.value(series)); got != total {
			t.Fatalf("%q: %s is %s, want %s (have %v)", text, series, got, total, d.node.series)
		}
	})
}

// FuzzStatsDPacket: whatever the bytes, every line is counted, ignored or refused.
func FuzzStatsDPacket(f *testing.F) {
	f.Add(steadyPacket)
	f.Add([]byte("\n\r\n_e{1,1}:a|b\n:::|||\n_sc|a|0"))
	for _, input := range malformedInputs(f, "statsd") {
		f.Add([]byte(input))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		d := newDoor(t, 100)
		d.parser.packet(packet, 1)
		var refused uint64
		for _, n := range d.parser.tally.rejected {
			refused += n
		}
		y := d.parser.tally
		if sum := refused + y.events + y.checks; sum > y.lines || sum < y.lines && y.samples == 0 {
			t.Fatalf("%d lines: %d refused, %d events, %d checks, %d samples", y.lines, refused, y.events, y.checks, y.samples)
		}
		if got := d.flush.pending(); got != y.samples {
			t.Fatalf("%d samples pending, want %d", got, y.samples)
		}
	})
}
