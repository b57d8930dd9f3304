// Package demo runs a whole mesh on one machine: two regions of two hubs and three edges each, every node a process of
// the same executable, with certificates, host metrics and a small stream of sample events. Links can be cut and nodes
// killed from a second terminal.
//
// Everything the second terminal needs (ports, token, logs) lies in one folder per user, which a lock keeps to one demo
// at a time.
//
// Nothing here is meant for production; package main alone calls it.
package demo
