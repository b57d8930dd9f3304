// Package bench measures meshd by running it: real nodes as processes on this machine where the figure is about a mesh,
// the packages themselves where it is about one of them. Each measurement is one command, `meshd bench NAME`, that
// anybody can run; it prints one JSON object with the figure, the bar it is held to, the limit that the machine sets,
// and the machine.
//
// A figure that misses its bar is a result: the command succeeds and says so, since a busy machine misses bars of time.
// A count that is wrong is a failure.
//
// Package main alone calls it.
package bench
