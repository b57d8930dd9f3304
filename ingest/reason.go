package ingest

import (
	"errors"

	"meshd/crdt"
	"meshd/node"
)

// reason says why a line or an item was refused. Reasons are label values of a metric: few, and stable.
type reason uint8

const (
	reasonNone       reason = iota
	reasonSyntax            // the line or object does not have the shape of the protocol
	reasonName              // empty metric name
	reasonNumber            // a value that is not a number
	reasonType              // unknown type
	reasonRate              // sample rate outside (0, 1]
	reasonTag               // tag without a name
	reasonUTF8              // bytes that are not UTF-8
	reasonTooLong           // beyond a limit of bytes or labels
	reasonRange             // number too large for its kind
	reasonNegative          // negative count of a metric that only counts up
	reasonSeries            // series definition refused
	reasonLimit             // series limit of the node or of the accumulators
	reasonToken             // unusable or unsupported token
	reasonBusy              // the node could not take it now
	reasonCut               // a connection ended within a line or a packet
	reasonDenied            // without a token that the node knows
	reasonConnection        // a connection that was not accepted: too many
	reasonSource            // from an address that sends more than it may
	reasonOther
	numReasons
)

var reasonNames = [numReasons]string{
	"", "syntax", "name", "number", "type", "rate", "tag", "utf8", "too_long", "range", "negative", "series",
	"series_limit", "token", "busy", "cut", "denied", "connection", "source_limit", "other",
}

func (r reason) String() string { return reasonNames[r] }

// refusal is a refused item with its reason.
type refusal struct {
	reason reason
	text   string
}

func (r *refusal) Error() string { return r.text }

// reasonOf returns the reason that err counts under.
func reasonOf(err error) reason {
	var r *refusal
	switch {
	case err == nil:
		return reasonNone
	case errors.As(err, &r):
		return r.reason
	case errors.Is(err, node.ErrSeries):
		return reasonLimit
	case errors.Is(err, crdt.ErrRange), errors.Is(err, crdt.ErrLimit):
		return reasonRange
	case errors.Is(err, crdt.ErrSeries):
		return reasonSeries
	case errors.Is(err, node.ErrBusy), errors.Is(err, node.ErrFull), errors.Is(err, node.ErrTokens),
		errors.Is(err, node.ErrClosed):
		return reasonBusy
	}
	return reasonOther
}
