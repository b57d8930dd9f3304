package query

import "meshd/node"

// maxExplained bounds the series of one explanation: with 6 regions of 3 hub entries each it is a few megabytes.
const maxExplained = 1000

// newExplainAnswer renders the regions of e that sel is about.
func newExplainAnswer(e *node.Explanation, sel *selection) *ExplainAnswer {
	a := &ExplainAnswer{Series: []Explained{}, Coverage: newCoverage(e.Coverage, e.Withheld, sel)}
	a.Coverage.lack(e.Shortfalls)
	for _, s := range e.Series {
		out := Explained{
			Metric:  s.Series.Name,
			Kind:    s.Series.Kind.String(),
			Labels:  labelMap(s.Series.Labels),
			Answers: []ExplainedRegion{},
		}
		for i := range s.Answers {
			if all(sel.region, s.Answers[i].Region) {
				out.Answers = append(out.Answers, newExplainedRegion(&s.Answers[i], sel))
			}
		}
		if len(out.Answers) > 0 {
			a.Series = append(a.Series, out)
		}
	}
	return a
}

func newExplainedRegion(from *node.RegionAnswer, sel *selection) ExplainedRegion {
	r := ExplainedRegion{
		Region: from.Region,
		Rule:   from.Rule,
		Amount: amountOf(&from.Value, &totalQuery{}),
		Inputs: []ExplainedInput{},
	}
	for i := range from.Inputs {
		in := &from.Inputs[i]
		if !all(sel.node, in.Origin.Node) {
			continue
		}
		r.Inputs = append(r.Inputs, ExplainedInput{
			Origin:  in.Origin.String(),
			Seq:     in.Seq,
			Covered: in.Covered,
			Note:    in.Note,
			Amount:  amountOf(&in.Value, &totalQuery{}),
		})
	}
	return r
}
