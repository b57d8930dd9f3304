package simulations

// sight is a situation that runs must meet, or the judge is blind to it.
type sight int

const (
	sawRestart sight = iota
	sawCrashBeforeDurable
	sawCrashAfterDurable
	sawCrashAfterAnswer
	sawUnknown
	sawDuplicate
	sawDuplicateAfterRestart
	sawFullDisk
	sawLoad
	sawCold
	sawCheckpoint
	sawRollback
	sawClone
	sawCutSession
	sawLongPause
	sawSecondSession
	sawReplaced
	sawLostInFlight
	sawFailback
	sawBulk
	sawFullQueue
	sawDamaged
	sawResync
	sawIncomplete
	sawComplete
	sawDeadEntryDropped
	sawTwoConfigs
	sawRemoval
	sawDrop
	sawHubAck
	sawHubAckLate
	sawDoom
	sawWindowTotals
	sawWindowReopened
	sawWindowsLeft
	sawStays
	sawAlone
	sawForgotten
	sawForgottenLate
	sawRecordAndCells
	numSights
)

var sightNames = [numSights]string{
	"restart", "crash before a write is on disk", "crash between disk and core", "crash right after an answer", "outcome unknown",
	"duplicate refused", "duplicate after a restart", "full disk", "cold origin loaded", "origin gone cold", "checkpoint",
	"old backup restored", "disk copied to a second live node", "cut under an open session", "pause longer than a session lives",
	"second session beside the first", "end of a replaced session", "messages lost with a session", "failback to a home hub",
	"bulk message", "send queue full", "damaged message", "stream resumed for want of an acknowledgement",
	"region said to be incomplete", "completeness checked against acks",
	"cells of a dead hub process dropped", "two configurations of one version", "node removed by an operator", "series dropped by an operator",
	"accepted with the word of a hub", "no hub's word in time",
	"writer lost between two frames of a flush",
	"totals of windows", "published window reopened by a late event", "windows of a dead process published by the next",
	"totals that stay in their region", "totals that stay at their node",
	"process forgotten by a hub", "late frame of a forgotten process refused", "forgotten processes beside cells of others of the node",
}

// rare sights need larger runs than the quick set; the slow one demands them.
var rare = map[sight]bool{sawFullQueue: true, sawBulk: true, sawResync: true}

// Sometimes counts how often a run, or a set of runs, met what it must meet.
type Sometimes struct {
	Sights [numSights]int
	Faults map[FaultKind]int
	Pairs  map[FaultPair]int // that met in a run, see struck
}

func newSometimes() Sometimes {
	return Sometimes{Faults: map[FaultKind]int{}, Pairs: map[FaultPair]int{}}
}

func (w *World) saw(s sight) { w.seen.Sights[s]++ }

// Add adds the counts of another run.
func (s *Sometimes) Add(o *Sometimes) {
	for i, n := range o.Sights {
		s.Sights[i] += n
	}
	for k, n := range o.Faults {
		s.Faults[k] += n
	}
	for k, n := range o.Pairs {
		s.Pairs[k] += n
	}
}
