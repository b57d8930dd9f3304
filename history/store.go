package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"meshd/crdt"

	"github.com/prometheus/client_golang/prometheus"
)

// KV is the disk: an ordered map that commits all of a batch or nothing, durably. It is safe for concurrent use.
type KV interface {
	// Get returns the value under key, which may be kept, or nil if there is none.
	Get(key []byte) ([]byte, error)
	// Scan calls fn for every key with the prefix, ascending. The slices are valid during the call only.
	Scan(prefix []byte, fn func(key, value []byte) error) error
	// Keys calls fn for every key with the prefix that is not below from, ascending, without reading values.
	Keys(prefix, from []byte, fn func(key []byte) error) error
	// Commit makes all of ops true at once and durable. It keeps nothing of ops.
	Commit(ops []Op) error
}

// Op sets a key, or deletes it.
type Op struct {
	Key, Value []byte
	Delete     bool
}

// Cell is one window of one series as its writer published it: an absolute value.
type Cell struct {
	Series *crdt.Series
	Window crdt.Window
	Value  crdt.Value
}

// Key names a window of a series.
type Key struct {
	Series *crdt.Series
	Window crdt.Window
}

// Config of a Store.
type Config struct {
	KV  KV               // all keys that begin with "h/" are the Store's
	Now func() time.Time // wall clock: retention

	Retention Retention // how long each width is kept; see its fields
	Rules     []Rule    // the first that names a series counts

	// OverlayBytes bounds the published windows that are not in chunks yet, about. A window takes a byte or two once many of its
	// series are together, 150 before: 2.3 KB for a gauge in two hours, all three widths. Beyond the bound a fold begins, at twice
	// as much Apply waits for it. 0 is 32 MiB, an eighth of the default memory budget: 14,000 gauges for the time between two folds.
	OverlayBytes int64
	// FoldEvery is how long windows stay in memory alone (their frames are on disk) if the bound allows it. Each fold
	// writes the chunk of every series that has new windows again, so half the time is twice the writing. 0 is 2 h.
	FoldEvery time.Duration

	Logger     *slog.Logger          // nil is silent
	Registerer prometheus.Registerer // nil is no metrics
}

const (
	defaultOverlay   = 32 << 20
	defaultFoldEvery = 2 * time.Hour
	// hardOverlay times the bound is where Apply folds by itself: nothing is refused, and nothing grows without end. (On a full
	// disk no fold succeeds; but nothing comes either that was not made durable there first.)
	hardOverlay = 2
)

// Store keeps closed windows: in chunks on disk, and over them, in memory, those that were published since. It is a
// Source. All methods are safe for concurrent use.
type Store struct {
	cfg Config
	met *metrics

	mu      sync.RWMutex
	tables  tables
	changes changes
	keep    retentions
	dirty   []ref  // overlays that no fold is at
	overlay int64  // bytes in memory, about
	applied uint64 // highest tag
	folded  uint64 // every cell with a tag up to this is in chunks
	codec   codec  // for overlays, under mu

	folding sync.Mutex // one fold or expiry at a time
	fold    codec      // under folding
	wake    chan struct{}
}

var (
	_ Searcher = (*Store)(nil)
	_ Marked   = (*Store)(nil)
)

// codec is what reads and writes chunks; it is not safe for concurrent use.
type codec struct {
	enc encoder
	dec decoder
}

// Open reads the tables of series, owners and what is kept. The caller then applies again every published frame with a
// tag above Folded, in any order.
func Open(cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.OverlayBytes = cmp.Or(cfg.OverlayBytes, defaultOverlay)
	cfg.FoldEvery = cmp.Or(cfg.FoldEvery, defaultFoldEvery)
	keep, err := newRetentions(cfg.Retention, cfg.Rules)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	s := &Store{cfg: cfg, keep: keep, wake: make(chan struct{}, 1)}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("history: open: %w", err)
	}
	if s.met, err = newMetrics(s, cfg.Registerer); err != nil {
		return nil, fmt.Errorf("history: register metrics: %w", err)
	}
	return s, nil
}

// Close ends the metrics. What is in memory stays in the frames that brought it.
func (s *Store) Close() { s.met.unregister() }

// SetRetention changes what is kept, as a mesh's configuration does. Nothing comes back that was dropped.
func (s *Store) SetRetention(r Retention, rules []Rule) error {
	keep, err := newRetentions(r, rules)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = keep
	s.changes.all()
	return nil
}

// Errors of Apply, for counting.
var (
	ErrWindow = errors.New("history: no window of a series: a width of 1 s to 1 d that divides a day, a start after 1970")
	ErrOwner  = errors.New("history: only nodes and regions have windows")
)

// Apply joins published cells. The caller has made them durable under tag, a number of its own that never falls, and keeps
// them until Folded reaches it. Repeats and any order do no harm: values are absolute. The Store keeps the series and the values,
// which must not change afterwards.
//
// Cells of class node belong to one incarnation and are added to those of others when they are read; those of class region
// are totals, joined over the hubs that say them. A cell that is none is refused, counted and named in the error; the
// others are joined.
func (s *Store) Apply(tag uint64, from crdt.Origin, cells []Cell) error {
	err := s.apply(tag, from, cells)
	s.mu.RLock()
	size := s.overlay
	s.mu.RUnlock()
	if size > hardOverlay*s.cfg.OverlayBytes {
		return errors.Join(err, s.Fold(context.Background()))
	}
	if size > s.cfg.OverlayBytes {
		select {
		case s.wake <- struct{}{}:
		default: // it is to fold already
		}
	}
	return err
}

func (s *Store) apply(tag uint64, from crdt.Origin, cells []Cell) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied = max(s.applied, tag)
	if from.Class != crdt.ClassNode && from.Class != crdt.ClassRegion {
		s.met.refused("owner", len(cells))
		return fmt.Errorf("%w: %s", ErrOwner, from)
	}
	o := s.tables.owner(from)
	s.changes.begin()
	for i := range cells {
		c := &cells[i]
		if e := checkWindow(c.Window); e != nil {
			s.met.refused("window", 1)
			err = cmp.Or(err, e)
			continue
		}
		e := checkKind(c)
		if e == nil {
			p := s.tables.pair(c.Series, o)
			s.changes.mark(p.series.bucket, c.Window.Start)
			grown, fresh, err := p.tier(c.Window.Width).add(&s.codec, c)
			if s.overlay += grown; fresh != nil {
				s.dirty = append(s.dirty, ref{pair: p, overlay: fresh})
			}
			e = err
		}
		if e != nil {
			s.met.refused("value", 1)
			err = cmp.Or(err, fmt.Errorf("history: %s: %w", c.Series, e))
		}
	}
	s.met.applied(len(cells))
	return err
}

// checkKind refuses a value of another kind than all windows of its series have.
func checkKind(c *Cell) error {
	want := c.Series.Kind
	if want == crdt.KindGauge {
		want = crdt.KindRollup
	}
	if c.Value.Kind != want {
		return fmt.Errorf("%w: %s, want %s", crdt.ErrKind, c.Value.Kind, want)
	}
	return nil
}

// Crowded reports whether there is little room in memory before a fold begins by itself.
func (s *Store) Crowded() bool { return s.OverlaySize() > s.cfg.OverlayBytes/4*3 }

// Full reports whether the next cells may have to wait in Apply for a fold: a quarter of the bound is left for those that are on their way.
func (s *Store) Full() bool { return s.OverlaySize() > s.cfg.OverlayBytes*(4*hardOverlay-1)/4 }

// Folded returns the tag up to which every applied cell is in chunks.
func (s *Store) Folded() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.folded
}
