// Package simulations is the judge of the core: whole meshes of node.Core in virtual time, one event after another (see
// ahead for what runs on other processors meanwhile), with faults, clients and a checker that knows what was written. A
// seed draws the mesh, its environment and its faults, and fixes every event of the run: the same seed gives the same
// trace hash on every machine.
//
// A run has two phases. In the safety phase clients write, faults come and go, and answers are checked against the
// promises that hold at every moment (I3, I4, I5, I6, I7, I13). Then everything heals, writes stop, and the mesh must
// converge within a bound (I1, I2, I10) to what the disks say was written.
//
// What it does not judge: the driver's goroutines, the transport, the store and the protocols of clients. They are
// replaced by models: sessions that keep order and die, disks that write atomically and slowly, clients that know
// what they asked for.
package simulations
