// Package audit compares what a node holds with what its durable log or another node holds, cell by cell in canonical form, and names
// what differs.
//
// A log is a little behind its hub, a hub that was away is behind its log, and of two nodes that run each is a little behind the other. That is no
// damage. What tells one from the other is what each side claims: everything that an origin wrote up to some number
// (crdt.Progress.Covered), and of windows every publication of a stream up to some number. A value that one side lacks is a difference if that side claims
// to hold it, else it is lag, and counted. Because cells only rise in their lattice, what a side lacks is seen by joining the two: the join
// of a cell with what it contains is that cell. Where neither contains the other, the two contradict each other.
//
// A node that runs goes on while its state is told. Its claims of windows are read before the windows, and how far these may reach behind
// them: what came in between is claimed by nobody and not judged.
//
// It promises nothing about what neither side claims, about windows that a log never had, and about the sums of what is
// forgotten. Memory is bounded: what does not fit goes to files.
package audit
