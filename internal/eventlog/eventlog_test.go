package eventlog

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

var process = crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "edge-1", Inc: crdt.Incarnation{1, 2, 3}}

// genAmount draws what clients count: whole numbers, prices, and anything.
func genAmount(t *rapid.T) crdt.Fixed {
	switch rapid.IntRange(0, 3).Draw(t, "amount") {
	case 0:
		return crdt.FixedFromUint(1)
	case 1:
		f, err := crdt.ParseFixed(fmt.Sprintf("%d.%02d", rapid.IntRange(0, 1_000_000).Draw(t, "whole"), rapid.IntRange(0, 99).Draw(t, "cents")))
		if err != nil {
			t.Fatal(err)
		}
		return f
	case 2:
		return crdt.FixedFromUint(rapid.Uint64Range(0, 1<<63).Draw(t, "large"))
	}
	f, err := crdt.FixedFromFloat(rapid.Float64Range(0, 1e12).Draw(t, "float"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func genInc(t *rapid.T, kind crdt.Kind) crdt.Value {
	v := crdt.Value{Kind: kind}
	switch kind {
	case crdt.KindCounter:
		v.P = genAmount(t)
	case crdt.KindUpDown:
		v.P, v.N = genAmount(t), genAmount(t)
	case crdt.KindGauge:
		v.X = &crdt.Gauge{
			Time: crdt.HLCFrom(rapid.Int64Range(1, 2e12).Draw(t, "stamp"), 0), Value: rapid.Float64Range(-1e9, 1e9).Draw(t, "setting") + 0,
			Adjust: rapid.Bool().Draw(t, "adjust"), Dated: rapid.Bool().Draw(t, "dated"),
		}
	case crdt.KindDistribution:
		d := new(crdt.Distribution)
		for range rapid.IntRange(1, 2).Draw(t, "samples") {
			if err := d.Observe(rapid.Float64Range(-1e6, 1e6).Draw(t, "sample"), rapid.SampledFrom([]uint64{1, 1, 1, 3}).Draw(t, "weight")); err != nil {
				t.Fatal(err)
			}
		}
		v.X = d
	case crdt.KindUnique:
		u := new(crdt.Unique)
		u.InsertHash(rapid.Uint64().Draw(t, "hash"))
		v.X = u
	case crdt.KindObserved:
		o := new(crdt.Observed)
		if err := o.Put(crdt.Sample{Source: "s", Start: rapid.Int64Range(0, 1e12).Draw(t, "start"), Time: rapid.Int64Range(1, 2e12).Draw(t, "seen"), Value: genAmount(t)}); err != nil {
			t.Fatal(err)
		}
		v.X = o
	case crdt.KindHistogram:
		d, h := new(crdt.Distribution), new(crdt.Histograms)
		if err := errors.Join(d.Observe(rapid.Float64Range(0, 1e6).Draw(t, "sample"), 2), h.Put("s", 7, d)); err != nil {
			t.Fatal(err)
		}
		v.X = h
	default:
		t.Fatalf("no increments of %s", kind)
	}
	return v
}

func genEvents(t *rapid.T) []Event {
	kinds := []crdt.Kind{crdt.KindCounter, crdt.KindUpDown, crdt.KindGauge, crdt.KindDistribution, crdt.KindUnique, crdt.KindObserved, crdt.KindHistogram}
	events := make([]Event, rapid.IntRange(1, 60).Draw(t, "events"))
	number := uint64(0)
	for i := range events {
		e := &events[i]
		number += rapid.SampledFrom([]uint64{1, 1, 1, 5}).Draw(t, "step")
		e.Number, e.Time = number, rapid.Int64Range(0, 2e12).Draw(t, "time")
		e.Series = &crdt.Series{Name: rapid.SampledFrom([]string{"a", "b.c"}).Draw(t, "metric"), Kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
		for j := range rapid.IntRange(0, 3).Draw(t, "labels") {
			e.Series.Labels = append(e.Series.Labels, crdt.Label{Name: string(rune('p' + j)), Value: rapid.StringN(0, 5, 40).Draw(t, "value")})
		}
		switch rapid.IntRange(0, 3).Draw(t, "counted") {
		case 1:
			e.Dropped = true
		case 2: // as rules do: a label more, one less, another value
			c := &crdt.Series{Name: rapid.SampledFrom([]string{e.Series.Name, "overflow"}).Draw(t, "counted as"), Kind: e.Series.Kind}
			for _, l := range e.Series.Labels {
				switch rapid.IntRange(0, 2).Draw(t, "label") {
				case 0:
					c.Labels = append(c.Labels, l)
				case 1:
					c.Labels = append(c.Labels, crdt.Label{Name: l.Name, Value: rapid.StringN(0, 3, 9).Draw(t, "instead")})
				}
			}
			if rapid.Bool().Draw(t, "more") {
				c.Labels = append(c.Labels, crdt.Label{Name: "z", Value: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "more of it")})
			}
			if !c.Equal(e.Series) {
				e.Counted = c
			}
		}
		e.Inc = genInc(t, e.Series.Kind)
		switch rapid.IntRange(0, 2).Draw(t, "token") {
		case 1:
			e.Token = Token{Source: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "source"), Seq: rapid.Uint64Range(1, 1<<40).Draw(t, "seq")}
		case 2:
			e.Token = Token{Key: rapid.StringMatching(`[0-9a-f]{1,32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-fA]{12}`).Draw(t, "key")}
		}
		if err := e.Check(); err != nil {
			t.Fatal(err)
		}
	}
	return events
}

// describe writes an event out, with all that it says.
func describe(e *Event) string {
	return fmt.Sprintf("%d at %d: %s %x %d %+v, counted as %v", e.Number, e.Time, e.Series, e.Inc.AppendBinary(nil), gaugeFlags(&e.Inc), e.Token, e.CountedAs())
}

func mustEqual(t interface{ Fatalf(string, ...any) }, want, got []Event) {
	if len(want) != len(got) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range want {
		if w, g := describe(&want[i]), describe(&got[i]); w != g {
			t.Fatalf("event %d is\n%s, want\n%s", i, g, w)
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	var enc Encoder
	var dec Decoder
	rapid.Check(t, func(t *rapid.T) {
		events := genEvents(t)
		got, err := dec.Parse(enc.Append(nil, process, events))
		if err != nil {
			t.Fatal(err)
		}
		if got.Origin != process {
			t.Fatalf("of %v, want %v", got.Origin, process)
		}
		mustEqual(t, events, got.Events)
	})
}

func TestAmountsKeepTheirDecimals(t *testing.T) {
	for _, text := range []string{"0", "1", "0.1", "19.99", "0.000001", "123456.654321", "4398046511103.999999"} {
		f, err := crdt.ParseFixed(text)
		if err != nil {
			t.Fatal(err)
		}
		_, decimals, _ := strings.Cut(text, ".")
		m, ok := decimal(f, len(decimals))
		if back, fits := amount(m, len(decimals)); !ok || !fits || back != f {
			t.Errorf("%s: %d with %d decimals is %v, %t, %t", text, m, len(decimals), back, ok, fits)
		}
	}
	for _, text := range []string{"0.0000001", "4398046511104", "18446744073709551615"} {
		f, err := crdt.ParseFixed(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := decimal(f, mostDecimals); ok {
			t.Errorf("%s passes for a number of %d decimals", text, mostDecimals)
		}
	}
}

// golden is a batch that has every form.
func golden() []Event {
	counter := &crdt.Series{Name: "page.view", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "country", Value: "de"}, {Name: "page", Value: "/"}}}
	other := &crdt.Series{Name: "page.view", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "country", Value: "fr"}, {Name: "page", Value: "/"}}}
	sold := &crdt.Series{Name: "sold", Kind: crdt.KindUpDown}
	temp := &crdt.Series{Name: "temp", Kind: crdt.KindGauge}
	took := &crdt.Series{Name: "took", Kind: crdt.KindDistribution}
	price, _ := crdt.ParseFixed("19.99")
	d := new(crdt.Distribution)
	_ = d.Observe(0.25, 1) // in range
	one := crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}
	return []Event{
		{Number: 7, Time: 1_773_500_000_000, Series: counter, Inc: one, Token: Token{Source: "app", Seq: 41}},
		{Number: 8, Time: 1_773_500_000_020, Series: other, Inc: one, Token: Token{Source: "app", Seq: 42}},
		{Number: 9, Time: 1_773_500_000_040, Series: sold, Inc: crdt.Value{Kind: crdt.KindUpDown, N: price}},
		{Number: 11, Time: 1_773_500_000_060, Series: temp, Inc: crdt.Value{Kind: crdt.KindGauge, X: &crdt.Gauge{Time: crdt.HLCFrom(1_773_500_000_060, 0), Value: 21.5, Dated: true}}},
		{Number: 12, Time: 1_773_500_000_080, Series: took, Inc: crdt.Value{Kind: crdt.KindDistribution, X: d}, Token: Token{Key: "k-1"}},
		{Number: 13, Time: 1_773_500_000_100, Series: counter, Inc: one, Counted: &crdt.Series{
			Name: "page.view", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "country", Value: "de"}, {Name: "site", Value: "shop"}},
		}},
		{Number: 14, Time: 1_773_500_000_120, Series: other, Inc: one, Dropped: true},
	}
}

// TestGoldenBatch: these bytes are on people's disks.
func TestGoldenBatch(t *testing.T) {
	raw := new(Encoder).Append(nil, process, golden())
	file := filepath.Join("testdata", "batch_v2.hex")
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(raw); got != strings.TrimSpace(string(want)) {
		t.Errorf("%s has other bytes; now they are\n%s", file, got)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(want)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := new(Decoder).Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, golden(), got.Events)
}

func TestWhatIsNoBatchIsRefused(t *testing.T) {
	raw := new(Encoder).Append(nil, process, golden())
	for n := range raw {
		if _, err := new(Decoder).Parse(raw[:n]); !errors.Is(err, ErrBytes) {
			t.Fatalf("%d of %d bytes: %v", n, len(raw), err)
		}
	}
	if _, err := new(Decoder).Parse(append(slices.Clone(raw), 0)); !errors.Is(err, ErrBytes) {
		t.Errorf("a byte behind the end: %v", err)
	}
	raw[0] = 3
	if _, err := new(Decoder).Parse(raw); !errors.Is(err, ErrBytes) {
		t.Errorf("another version: %v", err)
	}
}

func TestBatchesAreCut(t *testing.T) {
	small := Event{Series: &crdt.Series{Name: "a", Kind: crdt.KindCounter}}
	if n := Cut(slices.Repeat([]Event{small}, 10)); n != 10 {
		t.Errorf("%d of 10 small events", n)
	}
	large := Event{Series: &crdt.Series{Name: "a", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "l", Value: strings.Repeat("x", 1<<10)}}}}
	if n := Cut(slices.Repeat([]Event{large}, 10_000)); n*large.Size() > MaxBytes || (n+1)*large.Size() <= MaxBytes {
		t.Errorf("%d events of %d bytes make a batch", n, large.Size())
	}
	if n := Cut(slices.Repeat([]Event{small}, MaxEvents+5)); n > MaxEvents {
		t.Errorf("%d events", n)
	}
	large.Token.Key = strings.Repeat("k", MaxBytes)
	if n := Cut([]Event{large, large}); n != 1 {
		t.Errorf("%d of two events that are too large", n)
	}
}

// TestClicksAreSmall: issue 7 wants click events with five labels in at most 12 bytes. `meshd bench events` measures it on disk.
func TestClicksAreSmall(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	one := crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}
	var events []Event
	at := int64(1_773_500_000_000)
	for i := range 10_000 {
		at += int64(rng.ExpFloat64() * 10)
		s := &crdt.Series{Name: "click", Kind: crdt.KindCounter}
		for j, of := range []int{200, 50, 3, 6, 20} {
			s.Labels = append(s.Labels, crdt.Label{Name: string(rune('a' + j)), Value: fmt.Sprintf("value-%d", int(float64(of)*rng.Float64()*rng.Float64()))})
		}
		events = append(events, Event{Number: uint64(i + 1), Time: at, Series: s, Inc: one})
	}
	small := func(what string) {
		perEvent := float64(len(new(Encoder).Append(nil, process, events))) / float64(len(events))
		t.Logf("%.2f bytes a click, %s", perEvent, what)
		if perEvent > 6 {
			t.Errorf("%.2f bytes a click, %s", perEvent, what)
		}
	}
	small("counted as received")
	for i := range events { // a country for each of the 200 values of a label, as a table has it
		c := *events[i].Series
		c.Labels = append(slices.Clone(c.Labels), crdt.Label{Name: "country", Value: fmt.Sprint(crc32.ChecksumIEEE([]byte(c.Labels[0].Value)) % 12)})
		events[i].Counted = &c
	}
	small("with a label that a rule looked up")
}

func FuzzParse(f *testing.F) {
	f.Add(new(Encoder).Append(nil, process, golden()))
	f.Add([]byte{formVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		var dec Decoder
		got, err := dec.Parse(b)
		if err != nil {
			if !errors.Is(err, ErrBytes) {
				t.Fatalf("%v does not wrap ErrBytes", err)
			}
			return
		}
		for i := range got.Events {
			if err := got.Events[i].Check(); err != nil {
				t.Fatal(err)
			}
		}
		again, err := dec.Parse(new(Encoder).Append(nil, got.Origin, got.Events))
		if err != nil {
			t.Fatalf("what was read does not come back: %v", err)
		}
		mustEqual(t, got.Events, again.Events)
	})
}
