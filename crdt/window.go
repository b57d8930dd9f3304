package crdt

// Widths of the windows that every writer keeps beside its fine ones, and how far from the writer's clock an event may
// be and still have a window. Milliseconds.
const (
	MinuteMillis = 60_000
	HourMillis   = 60 * MinuteMillis

	// FineMillis is the usual width of fine windows. Others are 1 s to 60 s and divide a minute, so that a wider window is
	// a whole number of fine ones.
	FineMillis = 10_000

	MaxEarlyMillis = 10 * MinuteMillis
	MaxLateMillis  = 7 * 24 * HourMillis
)

// WindowAt returns the window of a width that a time is in. Windows are aligned to the Unix epoch, before it too.
func WindowAt(ms, width int64) Window {
	start := ms - ms%width
	if start > ms {
		start -= width
	}
	return Window{Start: start, Width: width}
}

// End returns the time at which the window is over: the first that is not in it.
func (w Window) End() int64 { return w.Start + w.Width }

// FineWidth reports whether fine windows may be so wide.
func FineWidth(ms int64) bool {
	return ms >= 1000 && ms <= MinuteMillis && ms%1000 == 0 && MinuteMillis%ms == 0
}

// Windowed reports whether windows are kept of what is counted on a series of kind k. A set is what is in it now: it
// has no amount that would belong to a time.
func (k Kind) Windowed() bool { return k.Valid() && k != KindSet && k != KindRollup }

// WindowKind returns the kind of the window cells of a series of kind k: of a gauge they describe its samples.
func (k Kind) WindowKind() Kind {
	if k == KindGauge {
		return KindRollup
	}
	return k
}

// Sample returns what one write of a gauge adds to a window: a description of one sample. Its Stamp, like that of all
// that is combined of such, is the number of samples, so that of two copies the one that knows of more stays.
func (g *Gauge) Sample() Value {
	r := new(Rollup)
	r.AddGauge(g)
	r.StampCount()
	return Value{Kind: KindRollup, X: r}
}

// StampCount makes the number of samples the stamp.
func (r *Rollup) StampCount() { r.Stamp = HLC(r.Count) }

// AddWindow adds to a window what is in o, of the same window and series and counted apart from it. ErrLimit,
// ErrRange, ErrKind: v is unchanged or of no use.
func (v *Value) AddWindow(o *Value) error {
	if err := v.Combine(o); err != nil {
		return err
	}
	if r, ok := v.X.(*Rollup); ok {
		r.StampCount()
	}
	return nil
}
