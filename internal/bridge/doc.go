// Package bridge joins the parts of a node that do not know each other: the node and the transport that carries its
// messages, the node and the disk that keeps its state. It owns no logic; every program that runs a whole node, and
// every test that does, joins the parts here.
package bridge
