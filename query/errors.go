package query

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"meshd/history"
	"meshd/node"
)

// errorAnswer is the body of every refusal.
type errorAnswer struct {
	Error string `json:"error"`
}

// badRequest marks an error as the caller's: its text tells what to write instead.
type badRequest struct{ error }

func (e badRequest) Unwrap() error { return e.error }

// errBusy is answered when as many queries wait as may.
var errBusy = errors.New("too many queries wait for this node: retry later, or ask another node")

// statusOf maps an error to a status code.
func statusOf(err error) int {
	var bad badRequest
	switch {
	case errors.As(err, &bad), errors.Is(err, node.ErrTooMany), errors.Is(err, history.ErrTooMuch):
		return http.StatusBadRequest
	case errors.Is(err, node.ErrNotHeld):
		return http.StatusMisdirectedRequest
	case errors.Is(err, node.ErrReplay):
		return http.StatusConflict
	case errors.Is(err, errBusy), errors.Is(err, node.ErrBusy), errors.Is(err, node.ErrClosed), errors.Is(err, node.ErrMoved), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	}
	if errors.Is(err, node.ErrFull) {
		return http.StatusInsufficientStorage
	}
	return http.StatusInternalServerError
}

// writeError answers with a status code and {"error": "..."}.
func writeError(w http.ResponseWriter, code int, err error) {
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, code, errorAnswer{Error: err.Error()})
}

// writeJSON answers with a status code and v. It encodes before it writes anything, so that what cannot be encoded is an
// error and not half an answer.
func writeJSON(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	writeBody(w, code, b, err)
}

// writeBody answers with JSON that is made already, if err is nil.
func writeBody(w http.ResponseWriter, code int, b []byte, err error) {
	if err != nil {
		code = http.StatusInternalServerError
		b = []byte(`{"error":"the answer cannot be encoded: this is a fault of meshd, report it"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n')) // the client is gone: nobody to tell
}
