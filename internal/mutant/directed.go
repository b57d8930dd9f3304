package mutant

// Test names a test: a package below the module's root, and its name.
type Test struct{ Package, Name string }

// Directed are the tests that kill a mutant of Names or Rules without a mesh. A mutant that has none must be killed by a
// seed; one that has must be killed by it, whatever seeds see.
var Directed = map[string]Test{
	"hub resumed at its cursor":          {"node", "TestAHubResumesAtWhatItCovers"},
	"beat before all is sent":            {"node", "TestNothingIsStatedBeforeAllIsSent"},
	"extras not relayed":                 {"node", "TestWhatCameOverAGapIsRelayed"},
	"relay begins again":                 {"node", "TestAQueueSmallerThanACatchUpIsNoLivelock"},
	"catch-ups all at once":              {"node", "TestCatchUpsAreServedInTurnTheNearestFirst"},
	"relay goes on blindly":              {"node", "TestAnInterruptedRelayBeginsAgain"},
	"repeated frame unanswered":          {"node", "TestAFrameThatMovesNothingIsAnswered"},
	"dead entry dropped undominated":     {"reconcile", "TestDroppedEntriesTakeNothingWithThem"},
	"live incarnation stays cold":        {"node", "TestALiveIncarnationIsWarmAgainWhenItsNodeIsBack"},
	"region complete below a dead entry": {"node", "TestAReaderSaysThatADeadEntryKnewMore"},
	"second process of a name ignored":   {"reconcile", "TestProcessesOfOneName"},
	"cursor over a gap":                  {"reconcile", "TestCoveredNeverClaimsMoreThanIsHeld"},
	"coverage from cursor":               {"reconcile", "TestCoveredNeverClaimsMoreThanIsHeld"},
	"relay head without top":             {"reconcile", "TestCoveredNeverClaimsMoreThanIsHeld"},
	"late frame of cold dropped":         {"node", "TestAHubsTotalsAreNotTakenForItsColdCells"},
	"cold while frames wait":             {"node", "TestFrameThatComesWhileItsOriginGoesColdCountsOnce"},
	"quarantine for ever":                {"node", "TestAFrameThatContradictsItselfStopsItsOriginForAWhile"},
	"hub's word for what was sent":       {"node", "TestTheWordOfAHubIsThatOfItsDisk"},
	"panics escape":                      {"node", "TestAPanicInAJoinStopsItsOriginUntilARestart"},
	"the config that came last counts":   {"node", "TestWhoseConfigurationIsTaken"},
	"an edge brings any config":          {"node", "TestWhoseConfigurationIsTaken"},
	"config told before it is durable":   {"node", "TestAConfigurationIsDurableBeforeItIsTold"},
	"cold in part for good":              {"node", "TestWhatAnEdgeThatIsGoneSentInPartReachesSiblings"},
	"live is whole":                      {"reconcile", "TestALiveIncarnationThatIsColdIsNotWhole"},
	"clocks follow stamps":               {"node", "TestAStampMovesNoOtherClock"},
	"gauges of earlier processes count":  {"node", "TestAGaugeIsOfTheProcessesThatRun"},
	"gauges of silent nodes count":       {"node", "TestAGaugeIsOfTheProcessesThatRun"},
	"a hub's rollups are picked from":    {"reconcile", "TestAHubMayTakeBackWhatItSaidOfAGauge"},
	"newest rollup counts":               {"reconcile", "TestRollupsAreReadWholeFromTheHubThatHeardMost"},
	"late gauge counts":                  {"node", "TestALateSettingChangesNothing"},
	"marks never fall":                   {"node", "TestAPeerThatHoldsLessIsSentItAtOnce"},
}
