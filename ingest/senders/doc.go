// Package senders tests the doors of a running node with whole programs that others wrote: a Prometheus server that scrapes
// and writes to nodes, promtool, curl, and the receiver suite for remote write 2.0 of the Prometheus project. Programs are built from
// their modules at the versions named here; nothing of them is part of meshd. It is a module of its own, so that
// what they import is no dependency of meshd either.
package senders
