// Package cluster runs the nodes of a mesh as processes of one executable on 127.0.0.1: it plans their ports, issues
// their certificates, starts, stops, kills and restarts them, and cuts links between them.
//
// The supervising process holds one pipe to each child: the pipe carries orders (which peers to lose) and is the child's
// life line, so that no child outlives the supervisor however that ends.
//
// The demo and the measurements are built on it; nothing here is meant for production. Errors carry no prefix of their
// own: who runs a cluster says for what.
package cluster
