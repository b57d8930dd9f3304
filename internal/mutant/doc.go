// Package mutant plants faults in our own code, one at a time, so that a test can demand that the judge in package
// simulations notices each. Without the build tag "mutants" On is constantly false and the planted code compiles away.
package mutant

// Names lists the mutants, in the order in which the table of kill rates shows them.
var Names = []string{
	"join adds",
	"join skips N",
	"part stamps ignored",
	"entries summed",
	"old hub entry replaced",
	"cursor over a gap",
	"coverage from cursor",
	"relay at cursor",
	"relay head without top",
	"extras not relayed",
	"seq split over frames",
	"missing pair is whole",
	"pairs at another instant",
	"max first, own after",
	"own sum no candidate",
	"earlier incarnations unnamed",
	"earlier incarnations unsent",
	"ack before persist",
	"visible before durable",
	"incarnation reused",
	"token kept without its counts",
	"dedupe forgotten",
	"log trimmed early",
	"late frame of cold dropped",
	"cold loaded twice",
	"cold and hot after a restart",
	"cold while frames wait",
	"heartbeat as coverage",
	"beat before all is sent",
	"hub names its live incarnation only",
	"unacknowledged never resumed",
}
