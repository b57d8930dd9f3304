package ask

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/mutant"
)

const (
	// takeRate is what a hub takes of another's history in a second, in bytes before they are packed, so that folds and queries keep
	// their pace at both: 400 MB, a week of 10,000 series, come in some minutes. takeBytes is what one answer brings: half a second.
	takeRate  = 2 << 20
	takeBytes = 1 << 20
	// settle is how long nothing is asked after publications were found to be gone: more of them are, of other streams.
	settle = 10 * time.Second
	// lookEvery is how often it looks for hubs to ask, and how far those are that take over themselves.
	lookEvery = 5 * time.Second
	// lonely is how long a hub waits for one of its region before it asks those of others for what they hold.
	lonely = 30 * time.Second
	// framed is how long what was published comes as frames, from every hub that has it.
	framed = 24 * time.Hour
)

// TakeoverConfig says who takes over, and into what. All fields but Logger are required.
type TakeoverConfig struct {
	Self    history.Owner    // this hub
	Inc     crdt.Incarnation // its process, whose windows nobody else tells
	Peers   Peers
	History *history.Store
	// Gaps returns how many publications this process was told are gone everywhere it asked.
	Gaps    func(context.Context) (uint64, error)
	Now     func() time.Time
	Metrics *Metrics
	Logger  *slog.Logger // nil is silent
}

// Takeover makes a hub's history whole (ADR 32). One whose disk is new, or that was told that publications are gone, lacks windows that
// lie in the chunks of others only. It takes them piece by piece from every hub of its region that it has a session with, and of
// other regions' hubs the totals if there is none. What it takes is joined, so that repeats, crashes and any order do no harm.
type Takeover struct {
	cfg     TakeoverConfig
	asker   *Asker
	started time.Time
	quiet   time.Time // nothing is asked before
	gaps    uint64
	state   history.Taking
	passed  map[string]bool // hubs of which all was taken while they were taking over themselves

	open  atomic.Bool  // state.Since is not 0
	lacks atomic.Int64 // state.Since, once it is known that something is lacking
	waits atomic.Bool  // all of the hubs there are was taken, and some of them are not whole
}

// NewTakeover reads how far it is. A disk on which nothing is said of it is new.
func NewTakeover(cfg TakeoverConfig) (*Takeover, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Takeover{
		cfg: cfg, asker: NewAsker(AskerConfig{Self: cfg.Self, Peers: cfg.Peers, Metrics: cfg.Metrics}),
		started: cfg.Now(), passed: map[string]bool{},
	}
	state, known, err := cfg.History.Taking()
	if err != nil {
		return nil, err
	}
	if t.state = state; !known {
		t.state.Since = t.started.UnixMilli()
		t.open.Store(true)
		return t, cfg.History.SetTaking(t.state)
	}
	t.open.Store(t.state.Since != 0)
	if t.state.Hub != "" || len(t.state.Done) > 0 { // it was at it
		t.lacks.Store(t.state.Since)
	}
	return t, nil
}

// Since returns before when windows may be missing here, in ms; 0 if it is not known that any are. A nil Takeover is that of a
// history which nothing is taken into.
func (t *Takeover) Since() int64 {
	if t == nil || mutant.On("new hubs answer as whole") {
		return 0
	}
	return t.lacks.Load()
}

// status is what a hub says of its own history.
func (t *Takeover) status() wholeness {
	switch {
	case t == nil || !t.open.Load():
		return isWhole
	case t.waits.Load():
		return isWaiting
	}
	return isTaking
}

// Run takes over until ctx ends.
func (t *Takeover) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := t.step(ctx); err != nil && ctx.Err() == nil {
			t.cfg.Logger.Warn("windows of before are not here yet, and are asked for again", "error", err)
		}
		pause(ctx, lookEvery)
	}
	return nil
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// step takes what can be had now. An error says that some of it could not.
func (t *Takeover) step(ctx context.Context) error {
	gaps, err := t.cfg.Gaps(ctx)
	if err != nil {
		return err
	}
	now := t.cfg.Now()
	if gaps > t.gaps && !mutant.On("gaps stay open") {
		t.gaps, t.quiet = gaps, now.Add(settle)
		if err := t.begin(now); err != nil {
			return err
		}
	}
	if t.state.Since == 0 || now.Before(t.quiet) {
		return nil
	}
	siblings := t.cfg.Peers.Hubs(t.cfg.Self.Region)
	if len(siblings) == 0 {
		if now.Sub(t.started) < lonely {
			return nil
		}
		return t.strangers(ctx)
	}
	open, waiting := 0, 0
	for _, h := range siblings {
		if slices.Contains(t.state.Done, name(h)) {
			continue
		}
		is, e := t.from(ctx, h, true)
		err = errors.Join(err, e)
		if is != isWhole || e != nil {
			open++
		}
		if is == isWaiting && e == nil {
			waiting++
		}
	}
	t.waits.Store(open > 0 && err == nil)
	if open > waiting {
		return err
	}
	return t.through()
}

// begin takes over from the beginning: something is known to be gone.
func (t *Takeover) begin(now time.Time) error {
	t.passed = map[string]bool{}
	t.waits.Store(false)
	t.state = history.Taking{Since: now.UnixMilli()}
	t.open.Store(true)
	t.lacks.Store(t.state.Since)
	return t.cfg.History.SetTaking(t.state)
}

// through ends it: what any hub of the region has is here.
func (t *Takeover) through() error {
	if err := t.cfg.History.SetTaking(history.Taking{}); err != nil {
		return err
	}
	if t.lacks.Load() != 0 {
		t.cfg.Logger.Info("the windows of before are here", "after", t.cfg.Now().Sub(time.UnixMilli(t.state.Since)).Round(time.Second))
	}
	t.state = history.Taking{}
	t.open.Store(false)
	t.lacks.Store(0)
	t.waits.Store(false)
	return nil
}

// strangers takes totals from a hub of every other region. They are not all: it goes on looking for a hub of its own.
func (t *Takeover) strangers(ctx context.Context) error {
	var err error
	seen := map[string]bool{}
	for _, h := range t.cfg.Peers.Hubs("") { // nearest first
		if h.Region == t.cfg.Self.Region || seen[h.Region] {
			continue
		}
		seen[h.Region] = true
		if !slices.ContainsFunc(t.state.Done, func(done string) bool { return regionOf(done) == h.Region }) {
			_, e := t.from(ctx, h, false)
			err = errors.Join(err, e)
		}
	}
	if err == nil && len(seen) > 0 {
		t.lacks.Store(0)
	}
	return err
}

// from takes all that a hub has, and says how whole that was. What a hub has that takes over itself is taken once, and again when
// it is whole.
func (t *Takeover) from(ctx context.Context, h Hub, nodes bool) (wholeness, error) {
	is, spans, err := t.asker.spans(ctx, h)
	if err != nil || t.passed[name(h)] && is != isWhole {
		return is, err
	}
	if err := t.pass(ctx, h, nodes, spans); err != nil {
		return is, err
	}
	if is == isWhole || !nodes || mutant.On("half a history is whole") {
		t.state.Done = append(t.state.Done, name(h))
		is = isWhole
	}
	t.passed[name(h)] = true
	t.state.Hub, t.state.Span, t.state.After = "", history.Span{}, history.Place{}
	return is, t.keep()
}

// pass takes the spans that a hub has, from where the last pass over it ended.
func (t *Takeover) pass(ctx context.Context, h Hub, nodes bool, spans []history.Span) error {
	slices.SortFunc(spans, history.Span.Compare)
	for _, sp := range spans {
		after := history.Place{}
		if t.state.Hub == name(h) {
			if c := sp.Compare(t.state.Span); c < 0 {
				continue
			} else if c == 0 {
				after = t.state.After
			}
		}
		for t.cfg.History.Keeps(sp) {
			n, last, err := t.some(ctx, h, nodes, sp, after)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			after = last
			t.state.Hub, t.state.Span, t.state.After = name(h), sp, after
			if t.cfg.History.Crowded() {
				if err := t.keep(); err != nil {
					return err
				}
			}
			pause(ctx, time.Duration(n)*time.Second/takeRate)
		}
	}
	return ctx.Err()
}

// keep makes durable what was taken, and then how far that is.
func (t *Takeover) keep() error {
	if mutant.On("taken before it is durable") {
		return t.cfg.History.SetTaking(t.state)
	}
	if err := t.cfg.History.Fold(context.Background()); err != nil { // it ends by itself, and what is half done is done again
		return err
	}
	return t.cfg.History.SetTaking(t.state)
}

// some takes one answer of pieces, and returns its size and the last of them.
func (t *Takeover) some(ctx context.Context, h Hub, nodes bool, sp history.Span, after history.Place) (bytes int, last history.Place, err error) {
	oldest := t.state.Since - framed.Milliseconds()
	counts := t.cfg.Metrics.taken
	bytes, last, err = t.asker.pieces(ctx, h, nodes, sp, after, func(p *history.Piece) error {
		if !t.mayTell(nodes, p) {
			counts.WithLabelValues(takenRefused).Add(float64(len(p.Points)))
			return nil
		}
		news, err := t.cfg.History.Take(p)
		if err != nil {
			return err
		}
		counts.WithLabelValues(takenNews).Add(float64(news))
		counts.WithLabelValues(takenHeld).Add(float64(len(p.Points) - news))
		if news > 0 && p.Points[0].Window.Start < oldest {
			t.lacks.Store(t.state.Since)
		}
		return nil
	})
	return bytes, last, err
}

// mayTell reports whether a hub may tell a piece: of single nodes those of its own region, as with publications.
func (t *Takeover) mayTell(sibling bool, p *history.Piece) bool {
	if mutant.On("strangers tell of nodes") {
		return true
	}
	return p.From.Class == crdt.ClassRegion || sibling && p.OfNodes(t.cfg.Self.Region) && p.From.Inc != t.cfg.Inc
}
