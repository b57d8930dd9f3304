// Package reconcile decides what of the cells goes to whom, and what the cells that are here add up to.
//
// A Replica is this process' copy of the cells of one origin: it applies frames, and builds frames for a peer that
// says how far it got. A Region adds up the node origins of one region into the entry that a hub exports. Entries
// hold what the hubs of all regions exported and answer with the maximum of each monotone part. Pairs are how an
// edge answers for its own region at once, with what its hub does not know yet.
//
// The package is pure: no goroutine, clock, channel or randomness. It is called from node's core loop only and
// nothing in it is safe for concurrent use. It never decides what is durable: node applies what is committed.
package reconcile
