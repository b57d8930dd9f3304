package ingest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"meshd/crdt"
)

// describe writes a value so that tables can name it.
func describe(v crdt.Value) string {
	switch x := v.X.(type) {
	case nil:
		if v.Kind == crdt.KindUpDown {
			return "+" + v.P.String() + " -" + v.N.String()
		}
		return v.P.String()
	case *crdt.Gauge:
		s := strconv.FormatFloat(x.Value, 'g', -1, 64)
		if x.Adjust {
			return "by " + s
		}
		return s
	case *crdt.Distribution:
		return strconv.FormatUint(x.Count(), 10) + " sum " + x.Sum().String()
	case *crdt.Unique:
		return "about " + strconv.Itoa(int(math.Round(x.Estimate())))
	}
	if o, ok := v.X.(*crdt.Observed); ok {
		var runs []string
		for s := range o.Samples() {
			source, _, _ := strings.Cut(s.Source, "/") // the hash behind it says nothing here
			runs = append(runs, fmt.Sprintf("%s@%d=%v", source, s.Start, s.Value))
		}
		return strings.Join(runs, " ")
	}
	if h, ok := v.X.(*crdt.Histograms); ok {
		d := h.Total()
		return strconv.FormatUint(d.Count(), 10) + " sum " + d.Sum().String()
	}
	return "?"
}

func TestStatsDLines(t *testing.T) {
	long := strings.Repeat("n", crdt.MaxMetricBytes)
	for _, tc := range []struct {
		name, packet, series, want string
	}{
		{"count", "hits:1|c", "counter:hits", "1"},
		{"count of a fraction", "hits:0.1|c", "counter:hits", "0.10000000000000142108547152020037174224853515625"},
		{"count with plus", "hits:+3|c", "counter:hits", "3"},
		{"count with exponent", "hits:25e-2|c", "counter:hits", "0.25"},
		{"count of minus zero", "hits:-0|c", "counter:hits", "0"},
		{"count with rate", "hits:1|c|@0.1", "counter:hits", "10"},
		{"count with a rate that divides nothing", "hits:3|c|@0.3", "counter:hits", "10"},
		{"count at the largest sample", "hits:9223372036854775808|c", "counter:hits", "9223372036854775808"},
		{"count beyond 19 digits", "hits:1.00000000000000000000000|c", "counter:hits", "1"},
		{"count both ways", "level:-2|c", "updown:level", "+0 -2"},
		{"count both ways up", "level:2|c|@0.5", "updown:level", "+4 -0"},
		{"count both ways by prefix", "pool.a:-1|c", "updown:pool.a", "+0 -1"},
		{"gauge", "temp:21.5|g", "gauge:temp", "21.5"},
		{"gauge up", "temp:+3|g", "gauge:temp", "by 3"},
		{"gauge down", "temp:-3|g", "gauge:temp", "by -3"},
		{"gauge set, then down", "temp:0|g\ntemp:-3|g", "gauge:temp", "-3"},
		{"gauge twice", "temp:1:2|g", "gauge:temp", "2"},
		{"timer", "t:12.5|ms", "distribution:t", "1 sum 12.5"},
		{"histogram", "t:1|h", "distribution:t", "1 sum 1"},
		{"distribution", "t:1|d", "distribution:t", "1 sum 1"},
		{"distribution below zero", "t:-4|d", "distribution:t", "1 sum -4"},
		{"timer with rate", "t:2|ms|@0.1", "distribution:t", "10 sum 20"},
		{"fractions of weights are carried", "t:1|ms|@0.4\nt:1|ms|@0.4", "distribution:t", "5 sum 5"},
		{"packed values", "t:1:2:3|ms", "distribution:t", "3 sum 6"},
		{"packed values with rate", "t:1:2:3|ms|@0.5", "distribution:t", "6 sum 12"},
		{"packed counts", "hits:1:2|c", "counter:hits", "3"},
		{"set", "users:alice|s\nusers:bob|s\nusers:alice|s", "unique:users", "about 2"},
		{"a set's value holds colons", "users:a:b|s\nusers:a:c|s", "unique:users", "about 2"},
		{"tags", "hits:1|c|#b:2,a:1", `counter:hits{a="1",b="2"}`, "1"},
		{"tag without value", "hits:1|c|#flag", `counter:hits{flag="true"}`, "1"},
		{"tag with empty value", "hits:1|c|#a:", `counter:hits{a=""}`, "1"},
		{"tag value with colon", "hits:1|c|#url:http://x", `counter:hits{url="http://x"}`, "1"},
		{"empty tags", "hits:1|c|#,a:1,,", `counter:hits{a="1"}`, "1"},
		{"no tags", "hits:1|c|#", "counter:hits", "1"},
		{"tag given twice", "hits:1|c|#a:1,a:2", `counter:hits{a="2"}`, "1"},
		{"tags of our own", "hits:1|c|#node:x,region:y", `counter:hits{exported_node="x",exported_region="y"}`, "1"},
		{"tags before rate", "hits:1|c|#a:1|@0.5", `counter:hits{a="1"}`, "2"},
		{"container", "hits:1|c|@0.5|#a:1|c:in-123", `counter:hits{a="1"}`, "2"},
		{"timestamp", "hits:1|c|#a:1|T1656581400", `counter:hits{a="1"}`, "1"},
		{"external data and cardinality", "hits:1|c|e:it-false,cn-x|card:low", "counter:hits", "1"},
		{"carriage return", "hits:1|c\r\n", "counter:hits", "1"},
		{"several lines", "a:1|c\n\nhits:2|c\nhits:3|c\n", "counter:hits", "5"},
		{"spellings of one series", "hits:1|c|#a:1,b:2\nhits:2|c|#b:2,a:1", `counter:hits{a="1",b="2"}`, "3"},
		{"name with dots and spaces", "a.b c:1|c", "counter:a.b c", "1"},
		{"longest name", long + ":1|c", "counter:" + long, "1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDoor(t, 100, "level", "pool.*")
			if refused := d.send(t, tc.packet); len(refused) > 0 {
				t.Fatalf("refused for %v", refused)
			}
			if got := describe(d.node.value(tc.series)); got != tc.want {
				t.Errorf("%s is %s, want %s (have %v)", tc.series, got, tc.want, d.node.series)
			}
		})
	}
}

func TestStatsDRefusals(t *testing.T) {
	for _, tc := range []struct {
		name, line string
		want       reason
	}{
		{"no colon", "hits|c", reasonSyntax},
		{"no type", "hits:1", reasonSyntax},
		{"empty name", ":1|c", reasonName},
		{"name too long", strings.Repeat("n", crdt.MaxMetricBytes+1) + ":1|c", reasonTooLong},
		{"name not UTF-8", "h\xff:1|c", reasonUTF8},
		{"empty type", "hits:1|", reasonType},
		{"unknown type", "hits:1|q", reasonType},
		{"type with more", "hits:1|cc", reasonType},
		{"empty value", "hits:|c", reasonNumber},
		{"value of words", "hits:one|c", reasonNumber},
		{"hexadecimal value", "hits:0x1p4|c", reasonNumber},
		{"digit separators", "hits:1_000|c", reasonNumber},
		{"not a number", "temp:NaN|g", reasonNumber},
		{"infinity", "temp:inf|g", reasonNumber},
		{"value with space", "hits: 1|c", reasonNumber},
		{"only a sign", "temp:-|g", reasonNumber},
		{"only a point", "temp:.|g", reasonNumber},
		{"only an exponent", "temp:e3|g", reasonNumber},
		{"exponent beyond the limit", "temp:0e1000000000|g", reasonNumber},
		{"number too long", "hits:" + strings.Repeat("1", maxNumberBytes+1) + "|c", reasonNumber},
		{"negative count", "hits:-1|c", reasonNegative},
		{"count beyond 2^63", "hits:9223372036854775809|c", reasonRange},
		{"count beyond 2^63 by its rate", "hits:9223372036854775808|c|@0.5", reasonRange},
		{"gauge beyond float64", "temp:1e309|g", reasonRange},
		{"distribution beyond 2^63", "t:1e19|d", reasonRange},
		{"second of packed values", "t:1:x:3|ms", reasonNumber},
		{"last of packed values", "t:1:2:|ms", reasonNumber},
		{"rate zero", "hits:1|c|@0", reasonRate},
		{"rate above one", "hits:1|c|@1.1", reasonRate},
		{"negative rate", "hits:1|c|@-0.1", reasonRate},
		{"rate of words", "hits:1|c|@often", reasonRate},
		{"rate too small", "hits:1|c|@1e-7", reasonRate},
		{"empty field", "hits:1|c||#a:1", reasonSyntax},
		{"unknown field", "hits:1|c|?", reasonSyntax},
		{"tag without name", "hits:1|c|#:v", reasonTag},
		{"tags not UTF-8", "hits:1|c|#a:\xff", reasonUTF8},
		{"too many tags", "hits:1|c|#a" + strings.Repeat(",a", crdt.MaxLabels), reasonTooLong},
		{"tag name too long", "hits:1|c|#" + strings.Repeat("a", crdt.MaxLabelBytes+1), reasonTooLong},
		{"tag value too long", "hits:1|c|#a:" + strings.Repeat("a", crdt.MaxValueBytes+1), reasonTooLong},
		{"empty set value", "users:|s", reasonNumber},
		{"set value not UTF-8", "users:\xff|s", reasonUTF8},
		{"set value too long", "users:" + strings.Repeat("a", crdt.MaxValueBytes+1) + "|s", reasonTooLong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDoor(t, 100)
			refused := d.send(t, "before:1|c\n"+tc.line+"\nafter:1|c")
			if len(refused) != 1 || refused[0] != tc.want {
				t.Fatalf("refused for %v, want %v", refused, tc.want)
			}
			if len(d.node.items) != 2 {
				t.Errorf("%d series counted, want only the lines before and after: %v", len(d.node.items), d.node.series)
			}
			if got := metric(t, d.reg, "rejected_total", "protocol", "statsd", "reason", tc.want.String()); got != 1 {
				t.Errorf("rejected_total{reason=%q} is %v, want 1", tc.want, got)
			}
			if got := metric(t, d.reg, "lines_total", "protocol", "statsd"); got != 3 {
				t.Errorf("lines_total is %v, want 3", got)
			}
		})
	}
}

func TestEventsAndServiceChecksAreIgnoredAndCounted(t *testing.T) {
	d := newDoor(t, 100)
	if refused := d.send(t, "_e{5,4}:title|text|#a:b\n_sc|Redis|2|m:timed out\n_sc|Redis|0\n_own:1|c"); len(refused) > 0 {
		t.Fatalf("refused for %v", refused)
	}
	if e, c := metric(t, d.reg, "ignored_total", "type", "event"), metric(t, d.reg, "ignored_total", "type", "service_check"); e != 1 || c != 2 {
		t.Errorf("ignored %v events and %v service checks, want 1 and 2", e, c)
	}
	if got := d.node.counter("counter:_own"); got != "1" || len(d.node.items) != 1 {
		t.Errorf("_own is %s in %d items, want 1 in 1", got, len(d.node.items))
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := make(map[string]bool)
	for r := range numReasons {
		if name := r.String(); seen[name] || (name == "") != (r == reasonNone) {
			t.Errorf("reason %d is named %q", r, name)
		} else {
			seen[name] = true
		}
	}
}
