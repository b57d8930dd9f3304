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
	"dead entry dropped undominated",
	"region complete below a dead entry",
	"live incarnation stays cold",
	"sibling's word as coverage",
	"needs of a process forgotten",
	"siblings tell nothing",
	"second process of a name ignored",
	"cold origins not compared",
	"sent without room",
	"relay begins again",
	"catch-ups all at once",
}

// Rules lists mutants that need so rare a turn of events that only package simulations/short demands their death: variants of
// the rules that were wrong when the rules were found.
var Rules = []string{
	"P and N of one entry",
	"whole for all totals",
	"whole said as nothing",
	"rest expressed anew",
	"pairs in any order",
	"entries from their writers only",
	"loaded for nobody",
	"cold in part for good",
	"live is whole",
}
