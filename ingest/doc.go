// Package ingest is the door of a node: it turns what applications send into increments and hands them to the node.
//
// Every protocol is one parser that ends in the type sample, one measurement of one series. From there two roads lead
// to the node. Packets without an answer (StatsD, Graphite) go through sharded accumulators that become one node.Batch
// every 100 ms. Requests with an answer (events, OTLP, remote write, line protocol) become one node.Batch each and are
// answered when it is on disk. A new protocol is one new file that fills samples and takes one of the two roads.
//
// What is refused or lost is counted by protocol and reason, never dropped silently. Amounts are rounded once, here,
// to the fixed point of package crdt.
//
// The package does not deduplicate, persist or answer queries, and it does not know which kinds other nodes use for a
// name: the node does. Its goroutines live inside the Run methods, which return when they have ended.
package ingest
