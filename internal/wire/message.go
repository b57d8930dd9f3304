package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Message is what one session sends to another: one of *Hello, *Marks, *FrameMsg, *Push, *Heartbeat, *Coverage,
// *Heard, *ColdMarks, *WindowMarks, *MeshConfig, *Removals, *Drops, *Link, *Delta, *Freeze, *Forgotten, *Corrections.
type Message interface{ message() }

// Types of messages, the first byte. The numbers are never reused.
const (
	typeHello       = 1
	typeMarks       = 2
	typeFrame       = 3
	typePush        = 4
	typeHeartbeat   = 5
	typeCoverage    = 6
	typeHeard       = 7
	typeColdMarks   = 8
	typeWindowMarks = 9

	typeSeriesDrop  = 16
	typeMeshConfig  = 17
	typeNodeRemoval = 18
	typeFreeze      = 19
	typeDelta       = 22
	typeLink        = 23
	typeForgotten   = 24
	typeCorrections = 25

	// Questions and answers have streams of their own, see Query. A session ignores and counts them.
	typeQuery  = 20
	typeAnswer = 21

	// typeCompressed is set in the type of a message whose body is compressed.
	typeCompressed = 0x80
)

// FrameMsg carries the bytes of a frame as AppendFrame made them, so that a receiver can store and relay what it got.
// ParseMessage does not look inside: Raw aliases its input.
type FrameMsg struct{ Raw []byte }

func (*Hello) message()       {}
func (*Marks) message()       {}
func (*FrameMsg) message()    {}
func (*Push) message()        {}
func (*Heartbeat) message()   {}
func (*Coverage) message()    {}
func (*Heard) message()       {}
func (*ColdMarks) message()   {}
func (*WindowMarks) message() {}
func (*Removals) message()    {}
func (*MeshConfig) message()  {}
func (*Drops) message()       {}
func (*Link) message()        {}
func (*Delta) message()       {}

// AppendMessage appends m. It refuses what ParseMessage would refuse. On error dst is returned unchanged.
func AppendMessage(dst []byte, m Message) ([]byte, error) {
	out, err := appendMessage(dst, m)
	if err != nil {
		return dst, fmt.Errorf("wire: append %T: %w", m, err)
	}
	return out, nil
}

func appendMessage(dst []byte, m Message) ([]byte, error) {
	var typ byte
	var body []byte
	var err error
	floor := 0 // bytes below which the body is not compressed
	switch m := m.(type) {
	case *FrameMsg:
		if len(m.Raw) > MaxFrameBytes {
			return dst, fmt.Errorf("%w: frame of %d bytes, want at most %d", ErrLimit, len(m.Raw), MaxFrameBytes)
		}
		return append(append(slices.Grow(dst, 1+len(m.Raw)), typeFrame), m.Raw...), nil
	case *Heartbeat:
		return m.append(append(dst, typeHeartbeat)), nil
	case *Hello:
		typ = typeHello
		body, err = m.append(nil)
	case *Marks:
		typ = typeMarks
		body, err = m.append(nil)
	case *Push:
		typ, floor = typePush, partsOf(m.Yours)/MaxCellsPerByte
		body, err = m.append(nil)
	case *Coverage:
		typ = typeCoverage
		body, err = m.append(nil)
	case *MeshConfig:
		typ = typeMeshConfig
		body, err = m.append(nil)
	case *Heard:
		typ, floor = typeHeard, len(m.Claims)/MaxCellsPerByte
		body, err = m.append(nil)
	case *ColdMarks:
		typ = typeColdMarks
		body, err = m.append(nil)
	case *WindowMarks:
		typ = typeWindowMarks
		body, err = m.append(nil)
	case *Drops:
		typ = typeSeriesDrop
		body, err = m.append(nil)
	case *Removals:
		typ = typeNodeRemoval
		body, err = m.append(nil)
	case *Delta:
		typ = typeDelta
		body, err = m.append(nil)
	case *Link:
		typ = typeLink
		body, err = m.append(nil)
	case *Freeze:
		typ = typeFreeze
		body, err = m.append(nil)
	case *Forgotten:
		typ = typeForgotten
		body, err = m.append(nil)
	case *Corrections:
		typ = typeCorrections
		body, err = m.append(nil)
	default:
		err = fmt.Errorf("%w: not a message", ErrInvalid)
	}
	if err == nil && len(body) >= MaxMessageBytes {
		err = fmt.Errorf("%w: body of %d bytes, want less than %d", ErrLimit, len(body), MaxMessageBytes)
	}
	if err != nil {
		return dst, err
	}
	out, ok := compress(binary.AppendUvarint(append(dst, typ|typeCompressed), uint64(len(body))), body, floor)
	if !ok {
		out = append(append(out[:len(dst)], typ), body...)
	}
	return out, nil
}

// ParseMessage reads one message, the whole of b, and returns a pointer to its struct. Byte slices in it may alias b.
// An error that wraps ErrReserved is no fault of the peer: the message is to be ignored and counted.
func ParseMessage(b []byte) (Message, error) {
	m, err := parseMessage(b)
	if err != nil {
		return nil, fmt.Errorf("wire: parse message: %w", err)
	}
	return m, nil
}

func parseMessage(b []byte) (Message, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: empty", ErrMalformed)
	}
	if len(b) > MaxMessageBytes {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrLimit, len(b), MaxMessageBytes)
	}
	typ, body := b[0], b[1:]
	switch typ {
	case typeFrame:
		if len(body) > MaxFrameBytes {
			return nil, fmt.Errorf("%w: frame of %d bytes, want at most %d", ErrLimit, len(body), MaxFrameBytes)
		}
		return &FrameMsg{Raw: body}, nil
	case typeHeartbeat:
		return parseHeartbeat(body)
	case typeHello | typeCompressed, typeMarks | typeCompressed, typePush | typeCompressed,
		typeCoverage | typeCompressed, typeHeard | typeCompressed, typeColdMarks | typeCompressed,
		typeMeshConfig | typeCompressed, typeNodeRemoval | typeCompressed, typeSeriesDrop | typeCompressed,
		typeLink | typeCompressed, typeDelta | typeCompressed, typeFreeze | typeCompressed, typeForgotten | typeCompressed,
		typeWindowMarks | typeCompressed, typeCorrections | typeCompressed:
		size, n := binary.Uvarint(body)
		if n <= 0 {
			return nil, fmt.Errorf("%w: body size", ErrMalformed)
		}
		var err error
		if body, err = decompress(nil, body[n:], size, MaxMessageBytes); err != nil {
			return nil, err
		}
		typ &^= typeCompressed
	}
	switch typ {
	case typeHello:
		return parseHello(body)
	case typeMarks:
		return parseMarks(body)
	case typePush:
		return parsePush(body, min(len(b)*MaxCellsPerByte, MaxPushParts))
	case typeCoverage:
		return parseCoverage(body)
	case typeMeshConfig:
		return parseMeshConfig(body)
	case typeHeard:
		return parseHeard(body, min(len(b)*MaxCellsPerByte, MaxHeardClaims))
	case typeColdMarks:
		return parseColdMarks(body)
	case typeWindowMarks:
		return parseWindowMarks(body)
	case typeNodeRemoval:
		return parseRemovals(body)
	case typeSeriesDrop:
		return parseDrops(body)
	case typeLink:
		return parseLink(body)
	case typeDelta:
		return parseDelta(body)
	case typeFreeze:
		return parseFreeze(body)
	case typeForgotten:
		return parseForgotten(body)
	case typeCorrections:
		return parseCorrections(body)
	}
	if reserved(typ &^ typeCompressed) {
		return nil, fmt.Errorf("%w: %d", ErrReserved, typ&^typeCompressed)
	}
	return nil, fmt.Errorf("%w: message type %d", ErrMalformed, typ)
}

func reserved(typ byte) bool {
	switch typ {
	case typeQuery, typeAnswer:
		return true
	}
	return false
}
