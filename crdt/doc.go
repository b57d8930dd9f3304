// Package crdt holds the cells of meshd and the rules by which copies of them are joined.
//
// A cell is (origin, series, window) with exactly one writer, its origin. Its value is an element of a join
// semilattice: it only moves up, and Join is idempotent, commutative and associative, so copies may be sent twice,
// reordered, lost or replayed from a log without changing the state they lead to (Shapiro et al., "Conflict-free
// replicated data types", SSS 2011). What travels are deltas: the absolute values of the parts that changed
// (Almeida et al., "Delta state replicated data types", JPDC 2018), never increments.
//
// The package is pure: no goroutine, clock, channel or randomness of its own. It does not know sessions, frames or
// disks, and it does not decide which origins belong together: package reconcile does.
package crdt
