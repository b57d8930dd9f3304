// Package query answers questions about the mesh over HTTP: totals with their coverage, what a total was made from, who
// is in the mesh and how this node is. It also holds the client for these answers and their rendering for terminals.
//
// It owns the parameters and JSON of /v1/total, /v1/explain, /v1/members and /v1/status, the health endpoints, the token
// check and the bounds on what one request may cost. It owns no state of the mesh: everything is read through Source,
// which *node.Node implements, and combined here by the rules of package crdt. Every answer about the mesh carries its
// coverage (promise I13): a total that misses a node says so.
//
// It does not promise a cut: rows are read at one instant of one node, but two requests may be answered at two instants,
// and what a node has not heard yet it cannot answer for.
package query
