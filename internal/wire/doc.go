// Package wire turns frames, session messages and a few stored records into bytes and back. It is the only importer of
// msgpack. docs/protocol.md draws every format.
//
// Parse functions take bytes from anywhere: they never panic, allocate no more than their limits and the size of the
// input allow, refuse trailing bytes, and check everything that can be checked without knowing other frames. Append
// functions refuse what Parse would refuse. What was parsed and is appended again parses to the same value.
//
// A frame is
//
//	version 1 | encoding 1 | body: a msgpack array, plain or size + zstd | CRC-32C 4
//
// and a message is
//
//	type 1 (0x80 set: compressed) | body: a msgpack array, or size + zstd
//
// The package is pure: no goroutine, clock or randomness of its own.
package wire
