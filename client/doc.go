// Package client counts in a process and hands what was counted to meshd nodes, each amount once.
//
//	c, err := client.New(client.Config{Nodes: []string{"http://127.0.0.1:8946", "http://10.0.0.7:8946"}})
//	requests := c.Counter("http.requests", "path", "/")
//	requests.Inc()
//	...
//	err = c.Close(ctx)
//
// Instruments are made once, for a name and labels, and then used from any goroutine: counting into one takes an atomic
// addition or a lock of its own, no allocation, no clock and no I/O. In the background a report of what was added since the last one
// goes to the first node that takes it.
//
// # What arrives
//
// A report is numbered in a session that the process has with that node, and the node commits both together. A report
// whose answer is lost goes to the same node again, as it was, and to no other: what was counted since goes to the next
// node meanwhile. So a total never exceeds what was counted, whatever is lost, repeated or restarted, and contains it once
// Flush returned nil. What cannot be known to have been counted (the node lost its disk, or forgot the session after a
// day of silence) is given up and shown in Stats as Unknown: then the total may lack it.
//
// What was not acknowledged when the process dies is lost with it: short jobs and functions end with Close and look at
// its error.
//
// # A buffer on disk
//
// With Config.BufferDir reports that no node takes are written down after ten seconds, when they get into doubt, and by Close, and
// the next process that names the directory sends them. Each is bound to a session at one node before it is written: sent again, or
// from a copy of the directory, it is a duplicate there, and no other node gets it. That has a price. A node must have
// taken a report of this process or one before it, or nothing can be bound; what is bound waits for its node; and the
// node must be back within a day, or what is on disk is given up, as Unknown in Stats. When the directory is full, amounts add
// up in memory as without one (BufferFull).
//
// # Bounds
//
// Memory is what the instruments take (a counter 200 bytes, a distribution up to some 60 KB), at most Config.Series of
// them, and one report for each node. While no node takes anything, amounts add up where they are. They are then counted
// in the window of the time at which they were put into a report.
package client
