// Package simulate turns what a user wants to try - a mesh of some size over the world, a load, a schedule of faults in
// YAML - into a plan of package simulations, runs it, and draws what happened: as JSON for programs, as a page for
// people. It decides nothing about right and wrong: the checker of package simulations does.
package simulate
