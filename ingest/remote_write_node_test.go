package ingest

import (
	"fmt"
	"net/http"
	"testing"

	"meshd/crdt"
	"meshd/internal/nodetest"
	"meshd/node"
)

// BenchmarkRemoteWriteNode is the whole way of a counter's sample, from the snappy body to the cells of a node, but for
// the disk's own time.
func BenchmarkRemoteWriteNode(b *testing.B) {
	n, stop := nodetest.Start(b, node.Config{
		Mesh: "default", Core: node.CoreConfig{Region: "eu", Node: "eu-1", Role: node.RoleHub, Inc: crdt.Incarnation{1}, Nonce: [16]byte{2}},
		Logger: discard(),
	})
	defer stop()
	m, _ := newTestMetrics(b)
	rw := NewRemoteWrite(newTestDoor(b, n, m), nil)
	const samples, bodies = 2000, 8
	var sent [bodies][]byte
	for j := range sent {
		req := new(writer2)
		for i := range samples {
			req.add(rwTypeCounter, []string{"__name__", "http_requests_total", "instance", "host:9100", "path", fmt.Sprint(i)}, sample2(float64(i+j), int64(1000+j), 900))
		}
		sent[j] = req.message()
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if w := postRemoteWrite(rw, contentType2, sent[i%bodies]); w.Code != http.StatusNoContent {
			b.Fatal(w.Body)
		}
	}
	b.ReportMetric(float64(b.N)*samples/b.Elapsed().Seconds(), "samples/s")
}
