package ingest

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"meshd/crdt"
)

// Influx takes InfluxDB's line protocol, as the write endpoints of its versions 1 and 2 do:
//
//	measurement[,tag=value...] field=value[,field=value...] [timestamp]
//
// Each field is a gauge named measurement.field, or measurement for a field named value, stamped with the timestamp, in
// the precision that the request names, or at arrival: the protocol does not say what counts up. Tags are labels. true
// is 1, false 0; strings are counted in meshd_ingest_ignored_total and not kept. Databases, buckets, organizations and
// retention policies have no meaning here.
//
// A line counts whole or not at all. The answer is 204 when the good lines are on disk; the header X-Influxdb-Error
// says how many were refused and why the first was. 400: nothing counted, since no line was good. 503 with Retry-After:
// the node cannot take it now.
type Influx struct {
	door  *Door
	meter *meter
}

// NewInflux returns the handler behind d.
func NewInflux(d *Door) *Influx { return &Influx{door: d, meter: d.metrics.meter("influx")} }

// influxPrecisions are the units of timestamps by the names that versions 1 and 2 have for them.
var influxPrecisions = map[string]time.Duration{
	"": time.Nanosecond, "n": time.Nanosecond, "ns": time.Nanosecond, "u": time.Microsecond, "us": time.Microsecond, "µ": time.Microsecond,
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
}

// ServeHTTP implements http.Handler.
func (in *Influx) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in.meter.packets.Inc()
	p, err := in.serve(w, r)
	if err == nil && p.seen > 0 && len(p.rejected) == p.seen {
		err = &httpError{http.StatusBadRequest, reasonNone, "no line was good; the first: " + p.first} // counted line by line
	}
	if err != nil {
		he := failure(w, in.meter, err)
		writeJSON(w, he.code, map[string]string{"code": "invalid", "message": he.text, "error": he.text})
		return
	}
	if len(p.rejected) > 0 {
		w.Header().Set("X-Influxdb-Error", headerText(p.rejectedText("lines")))
	}
	w.WriteHeader(http.StatusNoContent)
}

// headerText returns a text that a header can hold.
func headerText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, clip(s, 500))
}

func (in *Influx) serve(w http.ResponseWriter, r *http.Request) (*influxPoints, error) {
	if r.Method != http.MethodPost {
		return nil, errNotPost
	}
	unit, known := influxPrecisions[r.URL.Query().Get("precision")]
	if !known {
		return nil, &httpError{http.StatusBadRequest, reasonSyntax, "precision must be one of ns, us, ms, s, m, h"}
	}
	b, err := in.door.readBody(w, r, in.meter)
	if err != nil {
		return nil, err
	}
	defer b.release()
	p := &influxPoints{points: newPoints(crdt.HLCFrom(in.door.now().UnixMilli(), 0)), unit: unit}
	for p.dec = lineprotocol.NewDecoderWithBytes(b.bytes); p.dec.Next(); {
		if err := p.take(p.line); err != nil {
			return nil, err
		}
	}
	res, err := in.door.send(r.Context(), in.meter, p.items)
	if err != nil {
		return nil, err
	}
	p.settle(in.meter, res.Rejected)
	in.meter.ignored.WithLabelValues("string").Add(float64(p.texts))
	return p, nil
}

// influxPoints turns lines into items.
type influxPoints struct {
	*points
	dec  *lineprotocol.Decoder
	unit time.Duration

	labels []crdt.Label // of the line
	names  []string     // of its series
	values []float64    // of those
	texts  int          // fields that are strings
}

// line reads one line.
func (p *influxPoints) line() error {
	p.labels, p.names, p.values = p.labels[:0], p.names[:0], p.values[:0]
	measurement, err := p.dec.Measurement()
	if err != nil {
		return influxError(err)
	}
	name := string(measurement)
	for {
		key, value, err := p.dec.NextTag()
		if err != nil {
			return influxError(err)
		}
		if key == nil {
			break
		}
		if len(p.labels) == crdt.MaxLabels {
			return refuse(reasonTooLong, "more than %d tags", crdt.MaxLabels)
		}
		p.labels = append(p.labels, crdt.Label{Name: string(key), Value: string(value)})
	}
	if err := p.fields(name); err != nil {
		return err
	}
	at, err := p.time()
	if err != nil {
		return err
	}
	for i, v := range p.values {
		inc, err := p.gauge(v, at)
		if err != nil {
			return err
		}
		s, err := newSeries(p.names[i], crdt.KindGauge, append([]crdt.Label(nil), p.labels...))
		if err != nil {
			return err
		}
		p.add(s, inc, at)
	}
	return nil
}

// maxInfluxFields bounds the series that one line makes: plugins of Telegraf send up to 200.
const maxInfluxFields = 1000

// fields reads the line's fields.
func (p *influxPoints) fields(measurement string) error {
	for {
		key, value, err := p.dec.NextField()
		if err != nil {
			return influxError(err)
		}
		if key == nil {
			return nil
		}
		name := measurement
		if string(key) != "value" {
			name += "." + string(key)
		}
		v := 0.0
		switch value.Kind() {
		case lineprotocol.Float:
			v = value.FloatV()
		case lineprotocol.Int:
			v = float64(value.IntV())
		case lineprotocol.Uint:
			v = float64(value.UintV())
		case lineprotocol.Bool:
			if value.BoolV() {
				v = 1
			}
		default:
			p.texts++
			continue
		}
		if len(p.values) == maxInfluxFields {
			return refuse(reasonTooLong, "more than %d fields", maxInfluxFields)
		}
		p.names, p.values = append(p.names, name), append(p.values, v)
	}
}

// time returns the line's timestamp in milliseconds, 0 if it has none.
func (p *influxPoints) time() (int64, error) {
	text, err := p.dec.TimeBytes()
	if err != nil {
		return 0, influxError(err)
	}
	if len(text) == 0 {
		return 0, nil
	}
	d, form := parseDecimal(text)
	if form != shortNumber || d.exp != 0 || d.neg || d.man > 1<<63-1 {
		return 0, refuse(reasonRange, "timestamp %.64s: want a whole number of units since 1970", text)
	}
	if p.unit < time.Millisecond {
		return int64(d.man / uint64(time.Millisecond/p.unit)), nil
	}
	per := uint64(p.unit / time.Millisecond)
	if d.man > (1<<63-1)/per {
		return 0, refuse(reasonRange, "timestamp %.64s is out of range", text)
	}
	return int64(d.man * per), nil
}

func influxError(err error) error {
	reason := reasonSyntax
	if errors.Is(err, lineprotocol.ErrValueOutOfRange) {
		reason = reasonRange
	}
	return refuse(reason, "%v", err)
}
