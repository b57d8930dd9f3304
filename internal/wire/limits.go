package wire

import (
	"errors"

	"meshd/crdt"
)

// Limits. Everything that arrives is checked against them before memory is taken for it, and everything that leaves
// is checked too, so that what one node can say every node can hear.
const (
	// Version is the version of frames and stored records that this build writes, and MinVersion the lowest that it
	// reads: the one before, once there are two.
	Version    = 1
	MinVersion = 1

	// MaxFrameBytes bounds a frame, as it travels and unpacked: 16 times the target, so that one commit that cannot
	// be split (cells of one seq stay together) still fits, and so that 64 sessions that each hold one frame in hand
	// take 256 MB at most.
	MaxFrameBytes = 4 << 20

	// TargetFrameBytes is what builders of frames aim for: 20 ms of a 100 Mbit/s link, so that a heartbeat or a query
	// never waits long behind a frame.
	TargetFrameBytes = 256 << 10

	// MaxFrameCells bounds the cells of a frame: more than the 100,000 series that a node keeps by default, and more
	// than twice the 58,000 counters that fill TargetFrameBytes at 4.5 bytes each. In memory they are 12 MB.
	MaxFrameCells = 1 << 17

	// MaxFrameDefs bounds the definitions of a frame: one for each cell.
	MaxFrameDefs = MaxFrameCells

	// MaxCellsPerByte bounds the cells of a frame by its size. A block of 128 cells has at least 4 column headers of
	// one byte, so no uncompressed frame reaches it; builders leave out compression that would.
	MaxCellsPerByte = 32

	// MaxRatio bounds how far a compressed body may unpack. Bodies of definitions that share most of their labels
	// reach 20 to 30; a body that would exceed it travels uncompressed.
	MaxRatio = 64

	// MaxRef bounds the dense numbers of series: 16 million series of one origin take 10 GB of cells and names (600
	// bytes each), more than a hub that holds them has.
	MaxRef = 1<<24 - 1

	// MaxMessageBytes bounds a message, as it travels and unpacked: a Push carries a frame and, of its cells, the
	// parts of the incarnations of one edge, which are no larger than the frame.
	MaxMessageBytes = 2 * MaxFrameBytes

	// MaxHeads bounds the incarnations of a Hello: one a day for eleven years. At 42 bytes each that is 170 KB.
	// A node with more names its latest ones; the others count as unknown to the peer.
	MaxHeads = 4096

	// MaxMarks bounds the marks of one Marks message: 4096 of at most 200 bytes stay below 1 MB. Longer listings are
	// split (Marks.More).
	MaxMarks = 4096

	// ColdBuckets is into how many buckets cold incarnations are divided: a million leave 244 in each, and the sums of
	// all take 45 KB.
	ColdBuckets = 4096

	// MaxColdMarks bounds the marks of one ColdMarks: at 100 bytes they fit a message, and a bucket reaches it with 268
	// million incarnations.
	MaxColdMarks = 1 << 16

	// MaxRemovals bounds the nodes that operators removed: twice the 5,000 edges of a large mesh, below 2 MB.
	MaxRemovals = 10_000

	// MaxFreezeNodes bounds the nodes of one Freeze, MaxFrozen the incarnations of a node that hubs forget at once: three
	// hubs that begin with 64 each. A full message is 5 MB.
	MaxFreezeNodes = 1024
	MaxFrozen      = 256

	// MaxForgotten bounds the forgotten incarnations of one node: a restart an hour for seven years, in 1.2 MB.
	MaxForgotten = 1 << 16

	// MaxForgottenParts bounds the parts of one record: 4,096 snapshots of 64 KiB are what all series that a node may
	// have take.
	MaxForgottenParts = 4096

	// MaxDrops bounds the matchers of series that operators dropped: every new series is compared with each, 20 ns apiece.
	MaxDrops = 1024

	// MaxCorrections bounds the corrections of counts: one a week for five years. MaxCorrectedNodes bounds the nodes that one names: at 64
	// bytes a record stays below what stores like as one value.
	MaxCorrections    = 256
	MaxCorrectedNodes = 1000

	// MaxPatterns and MaxPatternBytes bound what an edge says of the series it wants: a screen of patterns, each as long as
	// package glob takes them. Every series is compared with each once.
	MaxPatterns     = 64
	MaxPatternBytes = 1024

	// MaxYours bounds the incarnations of one Push: those that the edge's Hello named.
	MaxYours = MaxHeads

	// MaxPushParts bounds the cells of all Yours of one Push: two incarnations in every cell of the largest frame, 17
	// MB in memory. The builder of a Push that would exceed it takes a smaller frame.
	MaxPushParts = 2 * MaxFrameCells

	// MaxRegions bounds the regions of one Coverage: four times the 256 regions that a mesh is built for.
	MaxRegions = 1024

	// MaxMissing bounds the missing nodes that a RegionCoverage names: a screen of names; the count says the rest.
	MaxMissing = 20

	// MaxHeardProcesses, MaxHeardNeeds and MaxHeardClaims bound one Heard: 4,096 names and 16,384 incarnations of a node
	// that restarted often stay below 1 MB, as many claims below 256 KB. What is more goes into the next one.
	MaxHeardProcesses = 4096
	MaxHeardNeeds     = 16_384
	MaxHeardClaims    = 16_384

	// MaxConfigBytes bounds the mesh's configuration: 500 rules of 128 bytes. 5,000 nodes that come back and take it are
	// 320 MB, once.
	MaxConfigBytes = 64 << 10

	// MaxConfigVersion bounds its version, so that no version, once set, leaves no room for the next: people count.
	MaxConfigVersion = 1 << 48

	// MaxHubs bounds the hubs that an answer to a join names: a region has two to five; 64 leaves room for dead ones.
	MaxHubs = 64

	// MaxAddressBytes bounds host:port. A DNS name has at most 253 bytes, a port 5.
	MaxAddressBytes = 260

	// MaxTextBytes bounds the text of a Refusal: two sentences for an operator.
	MaxTextBytes = 1024

	// MaxQueryBytes bounds a question: a screen of conditions, the longest of which are 1 KiB, and the regions.
	MaxQueryBytes = 128 << 10

	// MaxPlaceBytes bounds the place that an answer begins behind: the longest series, 32 labels of 1 KiB, and its owner.
	MaxPlaceBytes = 48 << 10

	// MaxTests bounds the conditions of a question: as many as a series has labels, twice, and its name, node, region and kind.
	MaxTests = 2*crdt.MaxLabels + 4

	// MaxAnswerBytes bounds one part of an answer, as it travels and unpacked. Parts aim for TargetFrameBytes; one window of a
	// sketch, which is not split, is far smaller.
	MaxAnswerBytes = MaxFrameBytes

	// MaxPrefaceBytes bounds preface, refusal and the list of hubs, which are read before a peer is trusted: the
	// largest is Hubs, 64 of 63+63+260+16 bytes with their headers.
	MaxPrefaceBytes = 32 << 10

	// MaxRevoked and MaxRevocationBytes bound a list of revocations: what package pki keeps, in its text form.
	MaxRevoked         = 10_000
	MaxRevocationBytes = 256

	// MaxRevokedBytes bounds the list as it travels: each text behind a length of three bytes, and the digest.
	MaxRevokedBytes = 1<<10 + MaxRevoked*(MaxRevocationBytes+3)

	// minCompress is the size in bytes from which compression is tried: below it the header of zstd eats the gain.
	minCompress = 512

	// maxExtra bounds the unknown trailing fields of an array: what later versions may add without a new number.
	maxExtra = 16

	// maxKeyBytes bounds the key of a definition, from the limits of its parts: kind, generation, name, labels, each
	// string behind a length of at most two bytes.
	maxKeyBytes = 1 + 5 + 2 + crdt.MaxMetricBytes + (crdt.MaxLabels+crdt.MaxReservedLabels)*(2+crdt.MaxLabelBytes+2+crdt.MaxValueBytes)

	// maxWindowSeconds bounds the width of a window: a day, the widest tier there could be.
	maxWindowSeconds = 86400

	// maxWindowStart bounds the start of a window in seconds: the year 10889, the last that a clock reading can hold.
	maxWindowStart = 1 << 48 / 1000
)

// Errors that callers count apart. Every error of this package wraps exactly one of them.
var (
	// ErrMalformed: the bytes are not what this version writes, or their checksum is wrong.
	ErrMalformed = errors.New("malformed bytes")
	// ErrLimit: a limit of this package is exceeded.
	ErrLimit = errors.New("limit exceeded")
	// ErrInvalid: the bytes are well formed and say something that cannot be: a value above its bound, seqs out of order.
	ErrInvalid = errors.New("invalid content")
	// ErrVersion: written by a version that this build does not read.
	ErrVersion = errors.New("unknown version")
	// ErrReserved: a record type that this version knows by number only. To be ignored and counted.
	ErrReserved = errors.New("reserved record type")
)
