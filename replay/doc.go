// Package replay keeps the durable log: frames of absolute cells, snapshots of them and, where a rule asks for it, raw
// events, in the order in which they were accepted. It knows records and positions, not what is in them.
//
// Replaying any part any number of times, in any order and with overlaps gives the same state, because frames carry
// absolute cells. So a log may deliver a record twice (a batch whose answer was lost is appended again), and two hubs
// may append the same frame. What a log promises is less than order: what Append returned for is there after any
// crash, and a damaged record is reported, never delivered.
//
// # The embedded engine
//
// A directory of segments, each named by the offset of its first record: 20 decimal digits and ".log". A segment is
// a sequence of batches; one batch is what one Append wrote. All integers are big endian.
//
//	bytes 0..3    length of what follows byte 7
//	bytes 4..7    CRC-32C of what follows
//	byte 8        format, 1
//	byte 9        1: the body is compressed with zstd, 0: it is not
//	bytes 10..17  offset of the batch's first record
//	bytes 18..25  when it was appended, milliseconds since the Unix epoch
//	bytes 26..29  number of records, at least 1
//	bytes 30..33  length of the body before compression
//	rest          per record: kind (1 byte), length of the key (uvarint), key, length of the value (uvarint), value
//
// A batch is written with one write and synced before Append returns. A crash can leave a torn batch at the end of
// the last segment only: opening cuts it off. Anything else that does not check is damage, and is said to be: a reader is told, and
// goes on with the next whole batch.
package replay
