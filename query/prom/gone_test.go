package prom

import (
	"net/url"
	"testing"
)

// TestAGaugeEndsBySilence: what nobody sets any more, of a scraped target that is gone for one, is there for as long as its last sample counts and
// then no more, while counters go on; asked for as of then, it is there.
func TestAGaugeEndsBySilence(t *testing.T) {
	const last = epoch + 9*60_000 + 6_000 // of temperature
	const minute = 60_000
	api := newAPI(t, everyKind(t), last+24*60*minute, nil)
	for _, row := range []struct {
		what, expr string
		at         int64
		series     int
	}{
		{"gauge, four minutes silent", "temperature", last + 4*minute, 1},
		{"gauge, six minutes silent", "temperature", last + 6*minute, 0},
		{"gauge, a day silent", "temperature", last + 24*60*minute, 0},
		{"gauge, looked back at for a day", "last_over_time(temperature[2d])", last + 24*60*minute, 1},
		{"counter, a day silent", `{"http.requests",method="POST"}`, last + 24*60*minute, 1},
	} {
		got := ask(t, api, "/api/v1/query", url.Values{"query": {row.expr}, "time": {seconds(row.at)}})
		if got.Status != "success" || len(got.Data.Result) != row.series {
			t.Errorf("%s: %s, %d series, want %d", row.what, got.Status, len(got.Data.Result), row.series)
		}
	}
}
