// Package bubble is the second tier of meshd's simulations: whole nodes, with the driver, Serf, quic-go and Badger as
// they ship, inside a testing/synctest bubble on the packet network of gossip/memnet. Time is virtual, files are real.
// It has tests only.
//
// It finds what the exact simulations of the core cannot: deadlocks, leaked goroutines, misused timers and shutdowns in
// the wrong order. A bubble does not end before all of its goroutines have, so every test here is also a test of
// shutdown. A seed does not replay a run: the scheduler and timers of one instant have their own order.
//
// Every read is checked against what the clients know, see ledger: nothing is counted that nobody wrote (I3), no node
// ever takes back what it answered (I4), and each shows what it acknowledged, across its restarts (I4, I5).
package bubble
