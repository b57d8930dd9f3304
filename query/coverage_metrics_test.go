package query

import (
	"strings"
	"testing"
	"time"

	"meshd/node"
)

func TestCoverageAsMetrics(t *testing.T) {
	src := &fakeSource{coverage: []node.Coverage{
		{Region: "eu", NodesExpected: 3, NodesHeard: 2, CompleteUntil: at, Age: 1500 * time.Millisecond, ClocksOff: 1, Lost: 7},
		{Region: "us", NodesExpected: 1},
	}}
	s, _ := newServer(t, src, nil)
	body := send(s, "GET", "/metrics").Body.String()
	for _, want := range []string{
		`meshd_region_nodes_expected{region="eu"} 3`, `meshd_region_nodes_heard{region="eu"} 2`, `meshd_region_age_seconds{region="eu"} 1.5`,
		`meshd_region_clocks_off{region="eu"} 1`, `meshd_region_lost_samples_total{region="eu"} 7`, `meshd_region_nodes_heard{region="us"} 0`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(body, `meshd_region_age_seconds{region="us"}`) {
		t.Error("an age that nobody knows is exported")
	}

	src.err = node.ErrClosed
	if body := send(s, "GET", "/metrics").Body.String(); strings.Contains(body, "meshd_region_nodes_heard{") {
		t.Error("a core that does not answer has coverage")
	} else if !strings.Contains(body, "meshd_http_requests_total") {
		t.Error("the other metrics are gone with it")
	}
}
