package wire

import (
	"testing"

	"pgregory.net/rapid"
)

func drawStored(t *rapid.T) *StoredProgress {
	m := drawMark(t)
	return &StoredProgress{Origin: m.Origin, Progress: m.Progress, Cold: rapid.Bool().Draw(t, "cold"), Dropped: rapid.Bool().Draw(t, "dropped"), AtMs: rapid.Int64().Draw(t, "at")}
}

func TestStoredProgressRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkRecord(t, drawStored(t), AppendStoredProgress, ParseStoredProgress) })
}

func TestStoredProgressRefused(t *testing.T) {
	_, err := AppendStoredProgress(nil, &StoredProgress{})
	wantError(t, err, ErrInvalid)
	_, err = ParseStoredProgress(nil)
	wantError(t, err, ErrMalformed)
	_, err = ParseStoredProgress([]byte{Version + 1})
	wantError(t, err, ErrVersion)
}
