package archive

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"meshd/replay"
)

// errKilled ends a replay somewhere.
var errKilled = errors.New("killed")

// TestAReplayOfSomeMetricsGoesOnAfterAKill: it is ended again and again, by what keeps its position, and in the end the hub has these
// metrics as they were, and no others.
func TestAReplayOfSomeMetricsGoesOnAfterAKill(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	logDir := filepath.Join(t.TempDir(), "log")
	h := openHub(t, t.TempDir())
	stop := writing(t, h, func(context.Context) (replay.Log, error) { return embedded(t, logDir, false), nil })
	for range 40 {
		h.count(rng, 50)
	}
	h.whole()
	wants := func(name string) bool { return strings.HasPrefix(name, "m1") }
	want := map[string]string{}
	for series, value := range h.totals() {
		if strings.Contains(series, "m1") {
			want[series] = value
		}
	}
	stop()
	h.close()

	log := embedded(t, logDir, true)
	defer func() { _ = log.Close() }() // it was read only
	fresh := openHub(t, t.TempDir())
	defer fresh.close()
	var resume Resume
	kills := 0
	for {
		r := &Rebuild{Log: log, Into: fresh.node, Metrics: wants, Resume: resume, step: 1 << 10, Keep: func(at Resume) error {
			resume = Resume{Position: at.Position.Clone(), Ahead: at.Ahead, Before: at.Before}
			if kills < 5 {
				kills++
				return errKilled
			}
			return nil
		}}
		moved, err := r.Run(t.Context())
		if err == nil {
			if moved.Round != 1 || moved.Unnamed > 0 {
				t.Errorf("%+v: something is left out", moved)
			}
			break
		}
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
	}
	mustEqual(t, "totals", want, fresh.totals())
	if kills != 5 {
		t.Errorf("the replay was ended %d times", kills)
	}
}
