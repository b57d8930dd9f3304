// Package short judges the rules of the core by very many very small schedules. Where package simulations runs whole
// meshes for seconds of virtual time, a schedule here is a few hundred actions on 8 to 14 nodes: a write, a completed or
// failed persist, a message or two, a tick, a lost session, a crash with the disk as it was, an older copy, none or
// somebody else's, a hub that is gone. Every action is judged at once, then everything heals and the mesh has to become
// exact. A millisecond or two buys one schedule, so rules that break once in ten thousand are found too.
//
// The nodes are real: node.Core, driven through Step, with real bytes between them and on their disks. What is a model is
// what lies around them: sessions that keep order until they die, disks that write atomically or not at all, time.
//
// # What is judged
//
// At every read of every node, which is after every event:
//
//   - I3: no part of a total above the sum of what was durably written in the region, and nothing durable that nobody asked
//     for.
//   - I4: no part below what the same process answered before.
//   - I5: no part below what the node acknowledged itself, as far as a disaster left it.
//
// At every join, I6: no copy of a cell above its writer's. I13: who claims to cover an origin up to a seq holds all that
// the origin had written by then; for the cells of nodes, the totals of hubs and the views that hubs send to their edges.
// At every start, I2: what a process finds on its disk is what was written to it.
//
// After heal, I10: within a bound every node answers the same; exactly what was written, unless a disaster took the only
// copy (I2), and then what is left of it at least. The hubs of a region hold equal cells of every node on their disks, and
// all hubs equal entries of every hub (I1).
//
// In every second group of schedules nodes keep windows: late events, open windows that a crash left behind, reads of the history
// that fail. No window holds more than happened in it (I3), a number of a publication has one content wherever it is, and
// who claims publications has them (I13). Once the last hour is over every hub has of every window of every process of its
// region, and of every region's totals, what happened in it; less only where no disk has it any more.
//
// # What is not judged here
//
// Gauges, tokens, coverage in time and the order of disk and network (I7) are judged by package simulations.
package short
