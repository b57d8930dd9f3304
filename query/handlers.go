package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"meshd/history"
	"meshd/node"
	"meshd/query/prom"
)

// healthTimeout bounds how long the core loop may take to answer before the process counts as stuck. A step takes
// milliseconds; orchestrators that ask usually wait 1 to 10 s themselves.
const healthTimeout = 2 * time.Second

// ownRoutes is what a mistyped path is compared with.
var ownRoutes = []string{
	"/v1/total", "/v1/coverage", "/v1/explain", "/v1/members", "/v1/status", "/v1/events", "/v1/config", "/v1/remove", "/v1/drop", "/v1/metrics", "/api/v1/write",
	"/healthz", "/readyz", "/metrics", "/api/v1/query", "/api/v1/query_range", "/api/v1/series", "/api/v1/labels", "/api/v1/metadata",
}

// handler answers a request or returns why not. What it returns is written as {"error": ...}.
type handler func(w http.ResponseWriter, r *http.Request) error

// get lets GET and HEAD through, under the query timeout.
func (s *Server) get(h handler) http.Handler { return s.allow(h, http.MethodGet, http.MethodHead) }

// allow lets requests with some methods through, under the query timeout.
func (s *Server) allow(h handler, methods ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			notAllowed(w, r, strings.Join(methods, ", "))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
		defer cancel()
		err := h(w, r.WithContext(ctx))
		switch {
		case err == nil:
		case errors.Is(err, context.DeadlineExceeded):
			s.refused.WithLabelValues("timeout").Inc()
			writeError(w, http.StatusServiceUnavailable, fmt.Errorf("the node did not answer within %s: retry later, or ask for less", s.cfg.Timeout))
		default:
			writeError(w, statusOf(err), err)
		}
	})
}

// query lets a bounded number of requests run, and a bounded number wait.
func (s *Server) query(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		release, err := s.admit(r.Context())
		if err != nil {
			return err
		}
		defer release()
		return h(w, r)
	}
}

// admit waits until a query may run, and returns errBusy if too many wait. release is called when it has ended.
func (s *Server) admit(ctx context.Context) (release func(), err error) {
	select {
	case s.waiting <- struct{}{}:
	default:
		s.refused.WithLabelValues("busy").Inc()
		return nil, errBusy
	}
	select {
	case s.running <- struct{}{}:
		return func() { <-s.running; <-s.waiting }, nil
	case <-ctx.Done():
		<-s.waiting
		return nil, ctx.Err()
	}
}

func (s *Server) total(w http.ResponseWriter, r *http.Request) error {
	q, err := parseTotal(r.URL.RawQuery, time.Now())
	if err != nil {
		return badRequest{err}
	}
	q.large = &largeTurn{turn: s.large}
	defer q.large.leave()
	var answer *TotalAnswer
	if q.time != nil {
		answer, err = s.overTime(r.Context(), q)
	} else {
		answer, err = s.lifetimes(r.Context(), q)
	}
	if errors.Is(err, errLarge) {
		s.refused.WithLabelValues("large").Inc()
	}
	if err != nil {
		return err
	}
	answer.Error = answer.Coverage.shortOf(q.enough)
	code := codeOf(w, answer.Error)
	body, err := appendTotalAnswer(nil, answer)
	writeBody(w, code, body, err)
	return nil
}

// lifetimes answers for all time.
func (s *Server) lifetimes(ctx context.Context, q *totalQuery) (*TotalAnswer, error) {
	sums := newLifetimeSums(q)
	t, err := s.cfg.Source.Totals(ctx, node.Select{
		Match: q.sel.series, ByNode: q.splitsByNode(), Names: q.sel.names, Labels: q.dependsOn(), Each: sums.add,
	})
	if err != nil {
		return nil, err
	}
	results, err := sums.results(ctx, time.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	cov := newCoverage(t.Coverage, t.Withheld, &q.sel)
	cov.lack(t.Shortfalls)
	return &TotalAnswer{Results: results, Coverage: cov}, nil
}

// overTime answers for periods.
func (s *Server) overTime(ctx context.Context, q *totalQuery) (*TotalAnswer, error) {
	if s.cfg.History == nil {
		return nil, badRequest{errors.New("this node keeps no history: leave out start, end, window, step and tz")}
	}
	sel := node.Select{Match: q.sel.series, Names: q.sel.names, Labels: q.dependsOn()}
	for p, err := s.open(ctx, &sel); ; {
		if err != nil {
			return nil, err
		}
		answer, err := s.overTimeFrom(ctx, p, q)
		if !errors.Is(err, history.ErrAgain) {
			return answer, err
		}
	}
}

// overTimeFrom answers for periods from what p tells.
func (s *Server) overTimeFrom(ctx context.Context, p past, q *totalQuery) (*TotalAnswer, error) {
	cov, until, err := s.known(ctx, p, &q.sel)
	if err != nil {
		return nil, err
	}
	q.rolled, q.corrected = p.rolled(), p.corrected()
	periods, coarse, err := q.totalsOverTime(ctx, p.Source, p.cache)
	if err != nil {
		return nil, err
	}
	answer := &TotalAnswer{Results: []Result{}, Periods: periods, Coverage: cov}
	whole := cov.Complete
	if cov.Withheld != "" {
		answer.Warnings = []string{cov.Withheld}
	}
	since := p.since()
	for i := range periods {
		periods[i].Complete = whole && periods[i].End.UnixMilli() <= until && periods[i].Start.UnixMilli() >= since
	}
	if len(periods) > 0 && periods[0].Start.UnixMilli() < since {
		answer.Warnings = append(answer.Warnings, prom.Lacking(since))
	}
	if !q.time.steps {
		answer.Results, periods[0].Results = periods[0].Results, nil
	}
	if coarse {
		answer.Warnings = append(answer.Warnings, "some windows are wider than the periods asked for, and count where they begin: widen step, or ask for a later time")
	}
	return answer, nil
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request) error {
	p := parseParams(r.URL.RawQuery, "metric", "match", "kind")
	sel := p.selection()
	if p.err != nil {
		return badRequest{p.err}
	}
	e, err := s.cfg.Source.Explain(r.Context(), node.Select{Match: sel.series, Limit: maxExplained, Names: sel.names})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, newExplainAnswer(e, &sel))
	return nil
}

func (s *Server) members(w http.ResponseWriter, r *http.Request) error {
	if p := parseParams(r.URL.RawQuery); p.err != nil {
		return badRequest{p.err}
	}
	ms, err := s.cfg.Members(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, newMembersAnswer(ms))
	return nil
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	if p := parseParams(r.URL.RawQuery); p.err != nil {
		return badRequest{p.err}
	}
	st, err := s.cfg.Source.Status(r.Context())
	if err != nil {
		return err
	}
	answer := newStatusAnswer(st)
	answer.Certificates = s.cfg.Certificates()
	if s.cfg.Targets != nil {
		answer.Scrape = newScrapeState(s.cfg.Targets())
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// health says whether the process is alive: its core loop answers.
func (s *Server) health(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	if _, err := s.cfg.Source.Status(ctx); err != nil {
		writeError(w, http.StatusServiceUnavailable, fmt.Errorf("the core loop does not answer: %w: restart the node if this lasts", err))
		return nil
	}
	return writeOK(w)
}

// ready says whether the node can take requests. Peers are not asked: a node that is cut off goes on working.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) error {
	if err := s.cfg.Ready(); err != nil {
		writeError(w, http.StatusServiceUnavailable, fmt.Errorf("not ready: %w", err))
		return nil
	}
	return writeOK(w)
}

func writeOK(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n")) // the client is gone: nobody to tell
	return nil
}

func notAllowed(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	writeError(w, http.StatusMethodNotAllowed, fmt.Errorf("%s is not possible here: use %s", clip(r.Method), allow))
}

// noRoute answers what no route takes, in the words of the other errors: the mux itself answers in plain text.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) {
	h, _ := s.mux.Handler(r)
	plain := &statusWriter{ResponseWriter: nowhere{}}
	h.ServeHTTP(plain, r)
	if plain.code == http.StatusMethodNotAllowed {
		notAllowed(w, r, plain.Header().Get("Allow"))
		return
	}
	err := fmt.Errorf("there is no %s", clip(r.URL.Path))
	if near := nearest(r.URL.Path, ownRoutes); near != "" {
		err = fmt.Errorf("%w: did you mean %s?", err, near)
	}
	writeError(w, http.StatusNotFound, err)
}

// nowhere keeps the headers of an answer and drops its body.
type nowhere http.Header

func (n nowhere) Header() http.Header         { return http.Header(n) }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}
