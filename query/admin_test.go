package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/node"
)

// orders remembers what it was asked, and refuses what is called bad.
type orders struct{ got []string }

func (o *orders) RemoveNode(_ context.Context, region, name string) error {
	o.got = append(o.got, "remove "+region+"/"+name)
	if name == "bad" {
		return fmt.Errorf("%w: no such node", node.ErrRemove)
	}
	return nil
}

func (o *orders) DropSeries(_ context.Context, metric string, labels []crdt.Label) error {
	o.got = append(o.got, fmt.Sprint("drop ", metric, labels))
	if metric == "bad" {
		return fmt.Errorf("%w: ask a hub", node.ErrDrop)
	}
	return nil
}

func TestOrdersOfOperators(t *testing.T) {
	o := &orders{}
	s, err := New(Config{Source: &fakeSource{}, Registry: prometheus.NewRegistry(), Operator: o})
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(s)
	defer ts.Close()
	c, err := NewClient(ts.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if a, err := c.Remove(ctx, "eu", "till-7"); err != nil || a.Removed != (RemovedNode{"eu", "till-7"}) {
		t.Errorf("remove: %+v, %v", a, err)
	}
	if a, err := c.Drop(ctx, "http.*", []string{"z=1", "code=5??"}); err != nil || a.Dropped.Metric != "http.*" || a.Dropped.Match["code"] != "5??" {
		t.Errorf("drop: %+v, %v", a, err)
	}
	refused := func(err error, says string) {
		t.Helper()
		var status *StatusError
		if !errors.As(err, &status) || status.Code != http.StatusBadRequest || !strings.Contains(status.Text, says) {
			t.Errorf("%v, want a refusal that says %q", err, says)
		}
	}
	_, err = c.Remove(ctx, "eu", "bad")
	refused(err, "no such node")
	_, err = c.Drop(ctx, "bad", nil)
	refused(err, "ask a hub")
	_, err = c.Drop(ctx, "m", []string{"code"})
	refused(err, "not a condition")
	if want := "[remove eu/till-7 drop http.*[{code 5??} {z 1}] remove eu/bad drop bad[]]"; fmt.Sprint(o.got) != want {
		t.Errorf("asked %v, want %s", o.got, want)
	}
	if r, err := ts.Client().Get(ts.URL + "/v1/drop?metric=m"); err != nil || r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET /v1/drop: %v, %v", r, err)
	} else if err := r.Body.Close(); err != nil {
		t.Error(err)
	}
}
