package eventlog

import "encoding/hex"

// dashes are where a UUID has them.
var dashes = [4]int{8, 13, 18, 23}

const uuidChars = 36

// parseUUID returns the bytes of a UUID as uuidText writes it.
func parseUUID(s string) (id [16]byte, ok bool) {
	if len(s) != uuidChars {
		return id, false
	}
	var digits [32]byte
	n, dash := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case dash < len(dashes) && i == dashes[dash]:
			if c != '-' {
				return id, false
			}
			dash++
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f':
			digits[n] = c
			n++
		default:
			return id, false
		}
	}
	_, err := hex.Decode(id[:], digits[:])
	return id, err == nil
}

// uuidText writes a UUID.
func uuidText(id []byte) string {
	var digits [32]byte
	hex.Encode(digits[:], id)
	out := make([]byte, 0, uuidChars)
	last := 0
	for i, dash := range dashes {
		out = append(append(out, digits[last:dash-i]...), '-')
		last = dash - i
	}
	return string(append(out, digits[last:]...))
}
