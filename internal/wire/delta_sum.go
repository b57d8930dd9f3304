package wire

import (
	"encoding/binary"
	"hash/crc32"

	"meshd/crdt"
)

// Sum returns a checksum over all that f, sorted, says and, of a Push, its pairs: what is put together from gains and a base is
// what was meant, whoever's frame the base was. It is the CRC-32C of, numbers little endian in 8 bytes if nothing else is said:
// class (1), region, node, incarnation (16), from, to, head; of each definition ref, seq, key; of each cell ref, seq and its
// value; of each incarnation with pairs the incarnation (16), whether they are whole, and of each pair index and value. A value is
// kind (1), the halves of P and N, low before high, and canonical bytes. Texts and bytes are behind their length.
func (f *Frame) Sum(yours []Yours) uint32 {
	s := summer{b: make([]byte, 0, 512)}
	s.b = append(s.b, byte(f.Origin.Class))
	s.text([]byte(f.Origin.Region))
	s.text([]byte(f.Origin.Node))
	s.b = append(s.b, f.Origin.Inc[:]...)
	s.uint(f.From, f.To, f.Head)
	for i := range f.Defs {
		s.uint(uint64(f.Defs[i].Ref), f.Defs[i].Seq)
		s.text(f.Defs[i].Series.AppendKey(nil))
	}
	for i := range f.Cells {
		s.uint(uint64(f.Cells[i].Ref), f.Cells[i].Seq)
		s.value(&f.Cells[i].Value)
	}
	for i := range yours {
		y := &yours[i]
		s.b = append(s.b, y.Inc[:]...)
		whole := uint64(0)
		if y.Whole {
			whole = 1
		}
		s.uint(whole)
		for j := range y.Cells {
			s.uint(uint64(y.Cells[j].Index))
			s.value(&y.Cells[j].Value)
		}
	}
	s.flush()
	return s.sum
}

// summer computes a checksum over values.
type summer struct {
	sum uint32
	b   []byte
}

func (s *summer) flush() { s.sum, s.b = crc32.Update(s.sum, castagnoli, s.b), s.b[:0] }

func (s *summer) uint(vs ...uint64) {
	for _, v := range vs {
		s.b = binary.LittleEndian.AppendUint64(s.b, v)
	}
}

func (s *summer) text(b []byte) {
	s.uint(uint64(len(b)))
	s.b = append(s.b, b...)
}

func (s *summer) value(v *crdt.Value) {
	s.b = append(s.b, byte(v.Kind))
	s.uint(v.P.Lo, v.P.Hi, v.N.Lo, v.N.Hi)
	var state []byte
	if v.X != nil {
		state = v.X.AppendBinary(nil)
	}
	s.text(state)
	s.flush()
}
