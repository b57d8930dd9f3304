// Package history keeps and reads closed windows: what every series added in every window of time, for as long as each
// width is kept.
//
// It owns the reading API that queries are written against (Source), so that a local store, a remote hub and a slice in
// a test answer alike. It promises nothing about windows that are still open at their writer, and nothing about coverage:
// whoever wraps a Source adds what is missing.
//
// Widths. A writer keeps every window three times, 10 s, 1 min and 1 h wide by default, and no replica folds one into
// another. Sums over a range are the same from any of them; a reader takes the widest that answers the question.
package history
