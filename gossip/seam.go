package gossip

import "meshd/internal/wire"

// Everything this package takes from wire: what is said before the first message. Messages themselves are bytes here.
type (
	preface = wire.Preface
	refusal = wire.Refusal
	hubs    = wire.Hubs
	hub     = wire.Hub
)

// maxHubs is how many hubs one answer names, those of the asker's region first.
const maxHubs = wire.MaxHubs
