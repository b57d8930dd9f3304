package mutant

// Around lists the mutants outside the core, or of kinds that no seed counts, which no simulation of it can see, each with the test that kills it.
var Around = []struct{ Name, Package, Test string }{
	{"revocation unsigned", "internal/pki", "TestForgedRevocationsAreRefused"},
	{"revocation not kept", "internal/pki", "TestLearnedRevocationHoldsAndSurvivesARestart"},
	{"revoked session kept", "gossip", "TestRevocationToldToOneHubShutsAStolenNodeOutEverywhere"},
	{"keys of the revoked kept", "gossip", "TestRevocationToldToOneHubShutsAStolenNodeOutEverywhere"},
	{"revocation not told on", "gossip", "TestRevocationToldToOneHubShutsAStolenNodeOutEverywhere"},
	{"sessions not made anew", "gossip", "TestRotatedCertificatesCostNoSession"},
	{"replaced from the other end", "gossip", "TestReplacedSessionIsEndedByItsDialer"},
	{"refusals retried at once", "gossip", "TestEdgesWithExpiredCertificatesDoNotStorm"},
	{"homes by hash alone", "gossip", "TestFarHubsAreFirstForFew"},
	{"flapping hubs relied on", "gossip", "TestFlappingHubDoesNotMoveItsEdges"},
	{"versions apart let in", "gossip", "TestSessionsSpeakTheHighestCommonVersion"},
	{"short streams left open", "gossip", "TestShortStreamsAreNotUsedUp"},
	{"keys that one end has", "gossip", "TestSerfPacketsTravelSealedAndForgedOnesAreDropped"},
	{"unknown start added", "crdt", "TestUnknownStartsAreNotAdded"},
	{"snapshots joined by bucket", "crdt", "TestACoarserSnapshotReplacesAFinerOne"},
	{"metered nodes missing", "node", "TestANodeOnASeldomUsedLineIsExpectedAtItsPace"},
	{"acks at the pace of the line", "node", "TestTheWordOfAHubDoesNotWaitForASeldomUsedLine"},
	{"stretched interval drops cells", "node", "TestABudgetStretchesTheIntervalAndLosesNothing"},
	{"gains taken for amounts", "node", "TestWhatIsToldByTheFrameBeforeIsWhatWasMeant"},
	{"budget reset by a restart", "node", "TestNoRestartResetsABudget"},
	{"downlink answered as whole", "node", "TestAnEdgeHoldsWhatItAskedFor"},
	{"downlink sends everything", "node", "TestAnEdgeIsNotSentWhatItDidNotAskFor"},
	{"emptied log keeps its tokens", "ingest", "TestLogsAreEmptied"},
}
