package query

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"meshd/node"
)

func TestWithheldIsIncomplete(t *testing.T) {
	whole := []node.Coverage{{Region: "eu", NodesExpected: 1, NodesHeard: 1, CompleteUntil: time.Unix(1, 0)}}
	for _, tc := range []struct {
		withheld string
		enough   demand
		complete bool
		short    bool
	}{
		{"", demand{share: 1, maxAge: time.Hour}, true, false},
		{"only a.*", demand{}, false, false},
		{"only a.*", demand{share: 0.1}, false, true},
		{"only a.*", demand{maxAge: time.Hour}, false, true},
	} {
		c := newCoverage(whole, tc.withheld, &selection{})
		if short := c.shortOf(tc.enough); c.Complete != tc.complete || (short != "") != tc.short || c.Withheld != tc.withheld {
			t.Errorf("%q, %+v: complete %v, short %q", tc.withheld, tc.enough, c.Complete, short)
		}
	}
	if code := statusOf(fmt.Errorf("node: x: %w", node.ErrNotHeld)); code != http.StatusMisdirectedRequest {
		t.Errorf("what is not held is answered with %d", code)
	}
}
