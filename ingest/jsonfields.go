package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
)

// The functions of this file take valid JSON apart in place. encoding/json checks validity; what it would do next,
// building values by reflection, costs ten times as much and takes keys in any case, any number of times.

var (
	errNotObject = errors.New("not a JSON object")
	errNotString = errors.New("not a JSON string")
)

// jsonFields returns the keys and values of the JSON object raw, which must be valid JSON. It yields
// encoding/json's error for a key that is not a string it can decode, and errNotObject for any other value.
func jsonFields(raw []byte) iter.Seq2[jsonField, error] {
	return func(yield func(jsonField, error) bool) {
		b := skipSpace(raw)
		if b[0] != '{' {
			yield(jsonField{}, errNotObject)
			return
		}
		for b = skipSpace(b[1:]); b[0] != '}'; {
			var f jsonField
			var key []byte
			key, b = cutJSON(b)
			name, err := jsonString(key)
			f.key = name
			f.value, b = cutJSON(skipSpace(skipSpace(b)[1:])) // behind the colon
			if !yield(f, err) {
				return
			}
			if b = skipSpace(b); b[0] == ',' {
				b = skipSpace(b[1:])
			}
		}
	}
}

// jsonField is a member of an object. value points into the object.
type jsonField struct {
	key   string
	value []byte
}

// cutJSON cuts the value off that b begins with.
func cutJSON(b []byte) (value, rest []byte) {
	n := 0
	switch b[0] {
	case '"':
		n = stringLen(b)
	case '{', '[':
		n = nestedLen(b)
	default:
		for n < len(b) && bytes.IndexByte([]byte(" \t\r\n,]}"), b[n]) < 0 {
			n++
		}
	}
	return b[:n], b[n:]
}

// stringLen returns the length of the string that b begins with, quotes included.
func stringLen(b []byte) int {
	for i := 1; ; i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// nestedLen returns the length of the object or array that b begins with.
func nestedLen(b []byte) int {
	depth := 0
	for i := 0; ; i++ {
		switch b[i] {
		case '"':
			i += stringLen(b[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

func skipSpace(b []byte) []byte {
	for b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n' {
		b = b[1:] // valid JSON does not end here: a value or a bracket follows
	}
	return b
}

// jsonString returns the string that the JSON value v is.
func jsonString(v []byte) (s string, err error) {
	if v[0] != '"' {
		return "", errNotString
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return string(v[1 : len(v)-1]), nil
	}
	err = json.Unmarshal(v, &s)
	return s, err
}
