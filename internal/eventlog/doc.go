// Package eventlog turns events, as a node received them, into batches of few bytes and back. It is pure, and safe on bytes
// from anywhere: what reading allocates is bounded by the input and by MaxEvents.
//
// A batch holds events of one process. Strings follow their length (uvarint); a column is one of internal/column, with as many
// values as the count before it says.
//
//	byte       version, 2
//	string     region; string node; 16 bytes incarnation of the process that counted
//	uvarint    events, 1 to 65536
//	ints       numbers of the events, ascending: a process counts them from 1
//	ints       times, milliseconds since the Unix epoch
//	uvarint    shapes; blob that has of each: kind (byte), metric (string), uvarint labels, their names (strings)
//	ints       shape of each event
//	per shape  of its events: per label uvarint words, blobs of them, ints the word of each event; then the values
//	ints       token of each event: 0 none, 1 source and number, 2 idempotency key, 3 one that is a UUID in lower case
//	           of those with 1: uvarint sources, blobs of them, ints the source of each, ints how far its number is above the last one
//	           of that source; of those with 2: blobs; of those with 3: blobs of 16 bytes
//	ints       what each event was counted as: 0 as received, 1 not at all, 2 otherwise; if there are any of 2:
//	           uvarint changes; blob that has of each: metric (string), uvarint labels, of each its name (string) and a byte, 1 if the event
//	           has it with the same value, which is not empty; ints the change of each such event; per change, of its events, per label with 0:
//	           words as above
//
// Values are a byte and columns:
//
//	0..6       amounts with so many decimals, as integers: ints of what is added and, of an updown, ints of what is taken away
//	7          floats: single samples of a distribution
//	8          blobs: canonical bytes of increments; of a gauge behind a byte of 1 "moves the last value", 2 "dated by the client"
//
// Columns make batches small: a label's word takes as many bits as it surprises, and a clock that ticks takes none. They have no
// checksum of their own; the stores that hold batches have.
package eventlog
