// Package web holds the page that a node serves at /: the mesh by region with its links and coverage, and an explorer of
// metrics with PromQL and charts. It is static files inside the binary; the page asks the node's own HTTP API and nobody
// else, which its content security policy enforces. What may be asked is up to the API: package web checks no token.
//
// The chart is drawn by uPlot (page/vendor, MIT licence), as published.
package web
