// Package node is one meshd process: a pure core that decides, and a driver that does.
//
// Core is a state machine without a goroutine, clock, socket or randomness of its own: Step takes the time and one
// input and says what to persist, send and answer. Whatever reveals the node's own state leaves only after the
// persist that holds it came back (promise I7). The same core runs in the simulations, thousands at a time.
//
// Node, the driver, owns the goroutines, the clock, the store and the transport, and turns their events into
// inputs, one at a time. Callers use Node only.
//
// What belongs to whom is decided in package reconcile; what a cell is, in package crdt.
package node
