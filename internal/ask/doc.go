// Package ask is questions between nodes: an edge holds its own windows only (ADR 23), and asks a hub of its region for the others
// when somebody asks it. What comes is history's own encoding; what is not on a hub's disk yet the edge adds of its own,
// joined and never summed. An edge that no hub answers goes on with its own windows, and says so.
//
// Asker is the one end, Answerer the other. Neither asks on: who is asked answers from its disk, so that no question goes around.
// Programs join them with the transport as package bridge does.
package ask
