// Package column writes numbers of one meaning one after the other in few bytes, and reads them back fast. It is pure, and
// safe on bytes from anywhere: what reading allocates is bounded by the number of values that the caller expects.
//
// A column does not say how many values it has. An empty one has no bytes.
//
//	byte     order in bits 0-1, form in bits 2-3, bit 4 if a unit follows
//	uvarint  unit, if bit 4 is set: what all differences are divided by, at least 2
//	varint   seeds: order 0 the least value; 1 the first; 2 the first and the difference to the second
//	...      residuals, zigzag: order 0 the value less the seed; 1 the difference to the value before; 2 the difference of that
//
// Forms of the residuals:
//
//	one      uvarint: all are this
//	packed   byte of bits each, then these bits, lowest first
//	coded    uvarint and as many bytes of finite state entropy code (Collet 2013) for a symbol each, then the extra bits of all
//	         symbols, lowest first
//
// Symbols 0..127 are residuals. From 128 on they are classes of greater ones: 128 + 2*(bits-8) + the bit behind the highest one,
// with the other bits-2 bits as extra bits.
//
// Which order and form is tried and measured for every column: real metrics differ too much for a rule.
package column
