package ingest

import (
	"bytes"
	"context"
	"mime"
	"net/http"

	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"meshd/crdt"
)

// OTLP takes metrics of the OpenTelemetry protocol (opentelemetry-proto, version 1) over HTTP, as protobuf or JSON.
// OTLPgRPC puts it behind gRPC.
//
// How points map to kinds; job is the resource's service.namespace/service.name:
//
//	sum, delta, monotonic           counter
//	sum, delta                      updown
//	sum, cumulative, monotonic      observed: the source is the resource and the scope, its runs begin at the start time
//	sum, cumulative; gauge          gauge, with the label instance (service.instance.id)
//	histogram                       series NAME_bucket with le, NAME_count, NAME_sum, as sums of the same temporality
//	exponential histogram, delta    distribution
//	exponential histogram, cum.     histogram, with source and start
//	summary                         gauges with the label quantile; NAME_count and NAME_sum observed
//
// The labels of a series are the point's attributes and job. Other attributes of resource and scope only name the source:
// sources of one series are added. Exemplars, units, minima and maxima of explicit histograms are not kept.
//
// The answer comes when everything accepted is on disk: 200 with the number of points that were refused and the first
// reason (partial success). 503 with Retry-After: the node cannot take it now, nothing counted.
type OTLP struct {
	door  *Door
	meter *meter
}

// NewOTLP returns the handler behind d.
func NewOTLP(d *Door) *OTLP { return &OTLP{door: d, meter: d.metrics.meter("otlp")} }

// otlpRequest is an ExportMetricsServiceRequest: on the wire it is MetricsData, field for field. The collector's own
// package would bring a gateway along.
type otlpRequest = metricspb.MetricsData

// partialSuccess is the body of an answer: how many points did not count, and why the first one did not.
type partialSuccess struct {
	rejected int64
	message  string
}

// encode returns an ExportMetricsServiceResponse.
func (p partialSuccess) encode() []byte {
	if p.rejected == 0 {
		return nil
	}
	var inner []byte
	inner = protowire.AppendTag(inner, 1, protowire.VarintType)
	inner = protowire.AppendVarint(inner, uint64(p.rejected))
	inner = protowire.AppendTag(inner, 2, protowire.BytesType)
	inner = protowire.AppendString(inner, p.message)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner)
}

// json returns an ExportMetricsServiceResponse as the JSON mapping of protobuf has it: 64-bit numbers are strings.
func (p partialSuccess) json() any {
	type inner struct {
		Rejected int64  `json:"rejectedDataPoints,string"`
		Message  string `json:"errorMessage"`
	}
	if p.rejected == 0 {
		return struct{}{}
	}
	return struct {
		PartialSuccess inner `json:"partialSuccess"`
	}{inner{p.rejected, p.message}}
}

// export counts the points of a request.
func (o *OTLP) export(ctx context.Context, req *otlpRequest) (partialSuccess, error) {
	p := otlpPoints{points: newPoints(crdt.HLCFrom(o.door.now().UnixMilli(), 0)), meter: o.meter}
	if err := p.request(req); err != nil {
		return partialSuccess{}, err
	}
	res, err := o.door.send(ctx, o.meter, p.items)
	if err != nil {
		return partialSuccess{}, err
	}
	p.settle(o.meter, res.Rejected)
	return partialSuccess{rejected: int64(len(p.rejected)), message: p.first}, nil
}

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// ServeHTTP implements http.Handler.
func (o *OTLP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.meter.packets.Inc()
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	answer, err := o.serve(w, r, mediaType)
	if err != nil {
		o.fail(w, mediaType, err)
		return
	}
	if mediaType == typeJSON {
		writeJSON(w, http.StatusOK, answer.json())
		return
	}
	w.Header().Set("Content-Type", typeProtobuf)
	_, _ = w.Write(answer.encode()) // a client that is gone learns by its retry
}

// fail answers with a google.rpc.Status. A full disk is a 503 here: senders drop what gets any other 5xx.
func (o *OTLP) fail(w http.ResponseWriter, mediaType string, err error) {
	he := failure(w, o.meter, err)
	if he.code == http.StatusInsufficientStorage {
		he.code = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "60") // an operator has to act
	}
	if mediaType == typeJSON {
		writeJSON(w, he.code, map[string]string{"message": he.text})
		return
	}
	b := protowire.AppendTag(nil, 2, protowire.BytesType)
	w.Header().Set("Content-Type", typeProtobuf)
	w.WriteHeader(he.code)
	_, _ = w.Write(protowire.AppendString(b, he.text))
}

func (o *OTLP) serve(w http.ResponseWriter, r *http.Request, mediaType string) (partialSuccess, error) {
	switch {
	case r.Method != http.MethodPost:
		return partialSuccess{}, errNotPost
	case mediaType != typeProtobuf && mediaType != typeJSON:
		return partialSuccess{}, &httpError{
			http.StatusUnsupportedMediaType, reasonSyntax, "Content-Type must be " + typeProtobuf + " or " + typeJSON,
		}
	}
	b, err := o.door.readBody(w, r, o.meter)
	if err != nil {
		return partialSuccess{}, err
	}
	defer b.release()
	req := new(otlpRequest)
	if mediaType == typeJSON {
		if bytes.Count(b.bytes, []byte("{")) > maxOTLPObjects {
			return partialSuccess{}, errTooMany()
		}
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b.bytes, req)
		if err != nil {
			err = badOTLP(err)
		}
	} else {
		err = unmarshalOTLP(b.bytes, req)
	}
	if err != nil {
		return partialSuccess{}, err
	}
	return o.export(r.Context(), req)
}

// unmarshalOTLP reads a request. Its errors answer the request as a whole.
func unmarshalOTLP(b []byte, req *otlpRequest) error {
	if messagesIn(b, 0) > maxOTLPMessages {
		return errTooMany()
	}
	if err := proto.Unmarshal(b, req); err != nil {
		return badOTLP(err)
	}
	return nil
}

// An empty message takes two bytes on the wire and a hundred in memory: a body of 8 MiB could ask for half a gigabyte. So
// messages are counted before they are read: 8,000 points of 10 attributes, what collectors send at once, are 100,000.
const (
	maxOTLPMessages = 400_000
	maxOTLPObjects  = 2 * maxOTLPMessages // in JSON, where an attribute is two
)

// messagesIn counts the messages in one of a level: the request 0, resource 1, scope 2, metric 3, data 4, point 5. Texts
// of the levels count too; what is cut short is left to who reads it.
func messagesIn(b []byte, level int) (n int) {
	const points = 5
	for r := (protoReader{b: b}); r.next() && n <= maxOTLPMessages; {
		if r.typ != protowire.BytesType {
			continue
		}
		n++
		if level < points {
			n += messagesIn(r.bytes, level+1)
		}
	}
	return n
}

// badOTLP returns the answer to a body that is not a request.
func badOTLP(err error) error {
	return &httpError{http.StatusBadRequest, reasonSyntax, "nothing was counted, the body is not an ExportMetricsServiceRequest: " + err.Error()}
}
