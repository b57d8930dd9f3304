package query

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// The JSON of totals, appended by hand: a dashboard asks for some 10,000 results at once, and encoding/json takes four times as
// long over them. TestAppendedTotals holds that both write the same.

// appendTotalAnswer appends what json.Marshal makes of a.
func appendTotalAnswer(b []byte, a *TotalAnswer) ([]byte, error) {
	const resultBytes = 300 // a gauge's, about: growing as they come copies all of them twice
	n, bytes := len(a.Results), 0
	for i := range a.Periods {
		n += len(a.Periods[i].Results)
		if e := a.Periods[i].encoded; e != nil {
			bytes += len(e.json)
		}
	}
	b = slices.Grow(b, 1024+100*len(a.Periods)+n*resultBytes+bytes)
	b = appendResults(append(b, `{"results":`...), a.Results)
	if len(a.Periods) > 0 {
		b = append(b, `,"periods":[`...)
		for i := range a.Periods {
			p := &a.Periods[i]
			b = appendStamp(append(comma(b, i), `{"start":`...), p.Start)
			b = appendStamp(append(b, `,"end":`...), p.End)
			b = strconv.AppendBool(append(b, `,"complete":`...), p.Complete)
			if e := p.encoded; e != nil {
				if e.count > 0 {
					b = append(append(b, `,"results":`...), e.json...)
				}
			} else if len(p.Results) > 0 {
				b = appendResults(append(b, `,"results":`...), p.Results)
			}
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	for _, part := range []struct {
		name string
		v    any
		omit bool
	}{{"warnings", a.Warnings, len(a.Warnings) == 0}, {"coverage", a.Coverage, false}, {"error", a.Error, a.Error == ""}} {
		if part.omit {
			continue
		}
		text, err := json.Marshal(part.v)
		if err != nil {
			return nil, err
		}
		b = append(append(append(append(b, `,"`...), part.name...), `":`...), text...)
	}
	return append(b, '}'), nil
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

func appendResults(b []byte, rs []Result) []byte {
	if rs == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i := range rs {
		b = appendResult(comma(b, i), &rs[i])
	}
	return append(b, ']')
}

func appendResult(b []byte, r *Result) []byte {
	b = appendText(append(b, `{"metric":`...), r.Metric)
	b = appendText(append(b, `,"kind":`...), r.Kind)
	b = append(b, `,"labels":`...)
	if r.encoded != nil {
		b = append(b, r.encoded...)
	} else {
		b = appendLabelMap(b, r.Labels)
	}
	return append(appendAmount(b, &r.Amount), '}')
}

func appendLabelMap(b []byte, ls map[string]string) []byte {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(ls)) {
		b = appendText(append(appendText(comma(b, i), name), ':'), ls[name])
	}
	return append(b, '}')
}

// appendAmount appends the fields of an amount, each behind a comma.
func appendAmount(b []byte, a *Amount) []byte {
	b = appendNumber(append(b, `,"value":`...), a.Value)
	if a.ValueExact != "" {
		b = appendText(append(b, `,"value_exact":`...), a.ValueExact)
	}
	if u := a.UpDown; u != nil {
		b = appendNumber(append(b, `,"added":`...), u.Added)
		b = appendText(append(b, `,"added_exact":`...), u.AddedExact)
		b = appendNumber(append(b, `,"removed":`...), u.Removed)
		b = appendText(append(b, `,"removed_exact":`...), u.RemovedExact)
	}
	if s := a.Summary; s != nil {
		b = appendSummary(b, s)
	}
	if k := a.Sketch; k != nil {
		if len(k.Quantiles) > 0 {
			b = append(b, `,"quantiles":{`...)
			for i, q := range slices.Sorted(maps.Keys(k.Quantiles)) {
				b = appendNumber(append(appendText(comma(b, i), q), ':'), k.Quantiles[q])
			}
			b = append(b, '}')
		}
		b = strconv.AppendInt(append(b, `,"scale":`...), int64(k.Scale), 10)
	}
	if a.Elements != nil {
		b = append(b, `,"elements":[`...)
		for i, e := range *a.Elements {
			b = appendText(comma(b, i), e)
		}
		b = append(b, ']')
	}
	if a.RelativeError != 0 {
		b = appendNumber(append(b, `,"relative_error":`...), a.RelativeError)
	}
	return b
}

func appendSummary(b []byte, s *Summary) []byte {
	b = strconv.AppendUint(append(b, `,"count":`...), s.Count, 10)
	b = appendNumber(append(b, `,"sum":`...), s.Sum)
	if s.SumExact != "" {
		b = appendText(append(b, `,"sum_exact":`...), s.SumExact)
	}
	for _, x := range [...]struct {
		name string
		v    *float64
	}{{`,"min":`, s.Min}, {`,"max":`, s.Max}, {`,"avg":`, s.Avg}} {
		if b = append(b, x.name...); x.v == nil {
			b = append(b, "null"...)
		} else {
			b = appendNumber(b, *x.v)
		}
	}
	if s.Expected != nil {
		b = strconv.AppendUint(append(b, `,"expected":`...), *s.Expected, 10)
	}
	if s.Newest != nil {
		b = appendStamp(append(b, `,"newest":`...), *s.Newest)
	}
	return b
}

func appendStamp(b []byte, t Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	u := t.UTC()
	year, month, day := u.Date()
	if year < 0 || year > 9999 {
		return append(u.AppendFormat(append(b, '"'), timeLayout), '"')
	}
	hour, minute, second := u.Clock()
	b = appendDigits(append(b, '"'), year, 4)
	b = appendDigits(append(b, '-'), int(month), 2)
	b = appendDigits(append(b, '-'), day, 2)
	b = appendDigits(append(b, 'T'), hour, 2)
	b = appendDigits(append(b, ':'), minute, 2)
	b = appendDigits(append(b, ':'), second, 2)
	b = appendDigits(append(b, '.'), u.Nanosecond()/int(time.Millisecond), 3)
	return append(b, 'Z', '"')
}

// appendDigits appends the last n decimal digits of v, which is not negative.
func appendDigits(b []byte, v, n int) []byte {
	b = append(b, "0000"[:n]...)
	for i := len(b) - 1; n > 0; i, n, v = i-1, n-1, v/10 {
		b[i] = byte('0' + v%10)
	}
	return b
}

// appendNumber appends a finite number as encoding/json does.
func appendNumber(b []byte, f float64) []byte {
	abs := math.Abs(f)
	if whole := int64(f); abs < 1<<53 && float64(whole) == f && (whole != 0 || !math.Signbit(f)) { // most are
		return strconv.AppendInt(b, whole, 10)
	}
	if abs == 0 || abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); n >= 4 && b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' { // e-09 is e-9
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b
}

// appendText appends a string as encoding/json does.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // strings always can
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
