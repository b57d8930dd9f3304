package query

import "net/http"

// CoverageAnswer is the body of GET /v1/coverage, also when its status is 503 because the coverage falls short.
type CoverageAnswer struct {
	Coverage
	Error string `json:"error,omitempty"` // set if the coverage is less than was asked for
}

// tellCoverage answers what a total would be worth now, without any: for pages, alarms and scripts that wait for a mesh.
func (s *Server) tellCoverage(w http.ResponseWriter, r *http.Request) error {
	p := parseParams(r.URL.RawQuery, "require", "max_age")
	enough := p.demand()
	if p.err != nil {
		return badRequest{p.err}
	}
	from, err := s.coverage(r.Context())
	if err != nil {
		return err
	}
	answer := CoverageAnswer{Coverage: newCoverage(from.Coverage, from.Withheld, &selection{})}
	answer.Error = answer.shortOf(enough)
	writeJSON(w, codeOf(w, answer.Error), &answer)
	return nil
}

// codeOf is the status of an answer whose coverage falls short by short; "" is enough.
func codeOf(w http.ResponseWriter, short string) int {
	if short == "" {
		return http.StatusOK
	}
	w.Header().Set("Retry-After", "1")
	return http.StatusServiceUnavailable
}
