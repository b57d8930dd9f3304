package ingest

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"meshd/crdt"
)

// otlpSource is who measured: a resource and an instrumentation scope.
type otlpSource struct {
	job, instance string
	name          string // of the source in observed cells
}

// sourceOf names the source by the instance, for people, and by a hash of everything that tells sources apart. The hash
// is the same on every node.
func sourceOf(res *resourcepb.Resource, scope *commonpb.InstrumentationScope) otlpSource {
	var s otlpSource
	var namespace string
	for _, kv := range res.GetAttributes() {
		switch kv.GetKey() {
		case "service.name":
			s.job = attributeText(kv.GetValue())
		case "service.namespace":
			namespace = attributeText(kv.GetValue())
		case "service.instance.id":
			s.instance = attributeText(kv.GetValue())
		}
	}
	if namespace != "" {
		s.job = namespace + "/" + s.job
	}
	h := xxhash.New()
	hashAttributes(h, res.GetAttributes())
	hashText(h, scope.GetName())
	hashText(h, scope.GetVersion())
	hashAttributes(h, scope.GetAttributes())
	const hashBytes = 17 // a slash and 16 digits
	s.name = fmt.Sprintf("%s/%016x", clip(s.instance, crdt.MaxSourceBytes-hashBytes), h.Sum64())
	return s
}

// clip returns the first n bytes of s, less if a character would be cut.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

func hashText(h *xxhash.Digest, s string) {
	_, _ = h.WriteString(strconv.Itoa(len(s))) // a hash takes everything
	_, _ = h.WriteString(":")
	_, _ = h.WriteString(s)
}

// hashAttributes does not depend on the order of attributes.
func hashAttributes(h *xxhash.Digest, kvs []*commonpb.KeyValue) {
	sorted := slices.Clone(kvs)
	slices.SortStableFunc(sorted, func(a, b *commonpb.KeyValue) int { return strings.Compare(a.GetKey(), b.GetKey()) })
	hashText(h, strconv.Itoa(len(sorted)))
	for _, kv := range sorted {
		hashText(h, kv.GetKey())
		hashText(h, attributeText(kv.GetValue()))
	}
}

// attributeText returns an attribute's value as a label has it: texts as they are, bytes in base64, lists and maps in
// the form of JSON.
func attributeText(v *commonpb.AnyValue) string {
	if s, ok := v.GetValue().(*commonpb.AnyValue_StringValue); ok {
		return s.StringValue
	}
	return string(appendAttribute(nil, v, 0))
}

// maxAttributeDepth bounds lists within lists: deeper ones are written as null.
const maxAttributeDepth = 8

func appendAttribute(b []byte, v *commonpb.AnyValue, depth int) []byte {
	if depth > maxAttributeDepth || len(b) > crdt.MaxValueBytes { // too long for a label already
		return append(b, "null"...)
	}
	switch x := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return strconv.AppendQuote(b, x.StringValue)
	case *commonpb.AnyValue_BoolValue:
		return strconv.AppendBool(b, x.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return strconv.AppendInt(b, x.IntValue, 10)
	case *commonpb.AnyValue_DoubleValue:
		return strconv.AppendFloat(b, x.DoubleValue, 'g', -1, 64)
	case *commonpb.AnyValue_BytesValue:
		return base64.StdEncoding.AppendEncode(b, x.BytesValue)
	case *commonpb.AnyValue_ArrayValue:
		b = append(b, '[')
		for i, e := range x.ArrayValue.GetValues() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendAttribute(b, e, depth+1)
		}
		return append(b, ']')
	case *commonpb.AnyValue_KvlistValue:
		b = append(b, '{')
		for i, kv := range x.KvlistValue.GetValues() {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(strconv.AppendQuote(b, kv.GetKey()), ':')
			b = appendAttribute(b, kv.GetValue(), depth+1)
		}
		return append(b, '}')
	}
	return b
}

// otlpLabels returns the labels of a point and room for more of them.
func otlpLabels(attributes []*commonpb.KeyValue, more ...crdt.Label) ([]crdt.Label, error) {
	if len(attributes) > crdt.MaxLabels {
		return nil, refuse(reasonTooLong, "more than %d attributes", crdt.MaxLabels)
	}
	ls := make([]crdt.Label, 0, len(attributes)+len(more))
	for _, kv := range attributes {
		if kv.GetKey() == "" {
			return nil, refuse(reasonTag, "an attribute without a key")
		}
		ls = append(ls, crdt.Label{Name: kv.GetKey(), Value: attributeText(kv.GetValue())})
	}
	for _, l := range more {
		if l.Value != "" {
			ls = append(ls, l)
		}
	}
	return ls, nil
}
