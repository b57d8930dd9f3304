package ingest

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"strconv"

	"meshd/crdt"
)

// RemoteWrite takes Prometheus remote write 1.0 and 2.0 (prometheus.io/docs/specs/prw).
//
// How samples map to kinds. 2.0 says the type of a series; 1.0 does not, nor does 2.0 always: then the name decides,
// alone, so that all receivers agree:
//
//	counter; without a type NAME_total, NAME_count, NAME_sum, NAME_bucket   observed
//	series of classic histograms and summaries, but for quantiles          observed
//	all others                                                             gauge, stamped with the sample's time
//	native histogram                                                       histogram
//	native histogram with custom buckets (schema -53)                      observed NAME_bucket with le, NAME_count, NAME_sum
//
// The labels name the source, so receivers of one sender, and both of a pair of senders that scrape the same targets,
// agree: the labels that tell such a pair apart are dropped. A run begins at the start timestamp that 2.0 has, or
// at an unknown one.
//
// Stale markers and values that are not finite are accepted and not kept, exemplars and metadata as well; they count as
// written, since a sender could do nothing about them. Float histograms count if all their counts are whole.
//
// Bad samples do not touch the others. 2.0 answers 400 if any was refused, as it must, with the numbers of those that
// were written; 1.0 answers 200 and says why, because its senders take 400 for the end of the whole request.
type RemoteWrite struct {
	door   *Door
	meter  *meter
	series *rwSeriesCache
}

// NewRemoteWrite returns the handler behind d. replicaLabels are dropped from all series.
func NewRemoteWrite(d *Door, replicaLabels []string) *RemoteWrite {
	return &RemoteWrite{door: d, meter: d.metrics.meter("remote_write"), series: newRWSeriesCache(replicaLabels)}
}

// rwVersion is the version of a message.
type rwVersion uint8

const (
	rwVersion1 rwVersion = 1
	rwVersion2 rwVersion = 2
)

// rwWritten is what became of the parts of a request.
type rwWritten struct {
	samples, histograms, exemplars int
	refused                        int
	why                            string
}

// ServeHTTP implements http.Handler.
func (rw *RemoteWrite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rw.meter.packets.Inc()
	version, written, err := rw.serve(w, r)
	if version == rwVersion2 {
		for name, n := range map[string]int{"Samples": written.samples, "Histograms": written.histograms, "Exemplars": written.exemplars} {
			w.Header().Set("X-Prometheus-Remote-Write-"+name+"-Written", strconv.Itoa(n))
		}
	}
	switch {
	case err != nil:
		he := failure(w, rw.meter, err)
		http.Error(w, he.text, he.code)
	case written.refused == 0:
		w.WriteHeader(http.StatusNoContent)
	default:
		code := http.StatusBadRequest
		if version == rwVersion1 {
			code = http.StatusOK
		}
		http.Error(w, fmt.Sprintf("%d samples were refused and the others written; the first: %s", written.refused, written.why), code)
	}
}

func (rw *RemoteWrite) serve(w http.ResponseWriter, r *http.Request) (version rwVersion, _ rwWritten, err error) {
	if r.Method != http.MethodPost {
		return 0, rwWritten{}, errNotPost
	}
	if version, err = rwVersionOf(r.Header.Get("Content-Type")); err != nil {
		return 0, rwWritten{}, err
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "snappy" {
		return 0, rwWritten{}, &httpError{http.StatusUnsupportedMediaType, reasonSyntax, fmt.Sprintf("Content-Encoding is %.32q: want snappy", e)}
	}
	b, err := rw.door.readEncoded(w, r, rw.meter, unsnappy)
	if err != nil {
		return version, rwWritten{}, err
	}
	defer b.release()
	written, err := rw.write(r.Context(), version, b.bytes)
	return version, written, err
}

// rwVersionOf reads the content type, which says which message the body is.
func rwVersionOf(contentType string) (rwVersion, error) {
	if contentType == "" {
		return rwVersion1, nil
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err == nil && mediaType == typeProtobuf {
		switch params["proto"] {
		case "", "prometheus.WriteRequest":
			return rwVersion1, nil
		case "io.prometheus.write.v2.Request":
			return rwVersion2, nil
		}
	}
	return 0, &httpError{
		http.StatusUnsupportedMediaType, reasonSyntax, fmt.Sprintf(
			"Content-Type is %.100q: want %s, with proto=io.prometheus.write.v2.Request or prometheus.WriteRequest", contentType, typeProtobuf),
	}
}

// write counts the samples of a message.
func (rw *RemoteWrite) write(ctx context.Context, version rwVersion, body []byte) (rwWritten, error) {
	p := rwPoints{points: newPoints(crdt.HLCFrom(rw.door.now().UnixMilli(), 0)), cache: rw.series, ignored: map[string]int{}}
	read := p.version1
	if version == rwVersion2 {
		read = p.version2
	}
	if err := read(body); err != nil {
		return rwWritten{}, err
	}
	res, err := rw.door.send(ctx, rw.meter, p.items)
	if err != nil {
		return rwWritten{}, err
	}
	p.settle(rw.meter, res.Rejected)
	p.ignored["exemplar"] = p.exemplars
	for what, n := range p.ignored {
		rw.meter.ignored.WithLabelValues(what).Add(float64(n))
	}
	return p.written(), nil
}
