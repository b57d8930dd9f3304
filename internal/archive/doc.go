// Package archive joins a node and a durable log: Writer copies what a hub has on disk into the log, Rebuild gives what a log holds
// to a hub. The log keeps messages as hubs send them to each other, so joining them is what is done with those of peers.
//
// The key of a record is 29 bytes: class and incarnation of the origin (17, zero for what concerns the mesh), the writer (8),
// its generation (4, big endian). A writer is a data directory, which draws its number when it is first archived; its
// generation grows with every snapshot it begins. So the end of a snapshot of generation g says that whatever the same writer
// appended with a lower one is contained, but for publications of windows, which no snapshot repeats.
package archive
