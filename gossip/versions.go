package gossip

import (
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// Versions is a range of protocol versions.
type Versions struct{ Lowest, Highest uint8 }

// spoken is what this build speaks.
func spoken() Versions { return Versions{wire.MinVersion, wire.Version} }

// with returns the version that a session with a peer speaks: the highest that both ends know, which both work out alike;
// 0 if there is none.
func (v Versions) with(p *preface) uint8 {
	common, ok := p.Speaks(&preface{Version: v.Highest, MinVersion: v.Lowest})
	if !ok && !mutant.On("versions apart let in") {
		return 0
	}
	return common
}
