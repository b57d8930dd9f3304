//go:build slow

package bubble

import (
	"bytes"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// kept are the messages that came to a machine.
type kept struct {
	mu  sync.Mutex
	all [][]byte
}

func (k *kept) note(msg []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, bytes.Clone(msg))
}

// measureDictionary logs what compression would take off the messages of a metered line: each alone, each with a dictionary of
// all that came in the first half of the time, and, as no dictionary could be better, each with the messages right before it.
func (k *kept) measureDictionary(t *testing.T) {
	const history = 64 << 10
	half := len(k.all) / 2
	first := bytes.Join(k.all[:half], nil)
	first = first[max(0, len(first)-history):]
	shared := dictionary(t, first)
	alone := dictionary(t, nil)
	var plain, byItself, trained, best int
	before := first
	for _, msg := range k.all[half:] {
		plain += len(msg)
		byItself += min(len(msg), len(alone.EncodeAll(msg, nil)))
		trained += min(len(msg), len(shared.EncodeAll(msg, nil)))
		best += min(len(msg), len(dictionary(t, before).EncodeAll(msg, nil)))
		before = append(before, msg...)
		before = before[max(0, len(before)-history):]
	}
	saved := func(n int) float64 { return 100 * (1 - float64(n)/float64(plain)) }
	t.Logf("  zstd takes off %d bytes: alone %.1f%%, with a dictionary of the first half %.1f%%, with what came before %.1f%%",
		plain, saved(byItself), saved(trained), saved(best))
}

// dictionary returns an encoder that knows content.
func dictionary(t *testing.T, content []byte) *zstd.Encoder {
	t.Helper()
	opts := []zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true)}
	if len(content) > 0 {
		opts = append(opts, zstd.WithEncoderDictRaw(1, content))
	}
	e, err := zstd.NewWriter(nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
