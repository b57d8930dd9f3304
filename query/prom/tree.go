package prom

import (
	"strconv"

	"github.com/prometheus/prometheus/promql/parser"
)

// object is a JSON object.
type object = map[string]any

// treeOf returns an expression as parse_query shows it, in the shape of Prometheus' tree view.
func treeOf(e parser.Expr) any {
	switch n := e.(type) {
	case *parser.AggregateExpr:
		out := object{
			"type": "aggregation", "op": n.Op.String(), "expr": treeOf(n.Expr), "param": nil,
			"grouping": listOf(n.Grouping), "without": n.Without,
		}
		if n.Param != nil {
			out["param"] = treeOf(n.Param)
		}
		return out
	case *parser.BinaryExpr:
		out := object{"type": "binaryExpr", "op": n.Op.String(), "lhs": treeOf(n.LHS), "rhs": treeOf(n.RHS), "bool": n.ReturnBool, "matching": nil}
		if m := n.VectorMatching; m != nil {
			out["matching"] = object{
				"card": m.Card.String(), "labels": listOf(m.MatchingLabels), "on": m.On, "include": listOf(m.Include),
				"fillValues": object{"lhs": m.FillValues.LHS, "rhs": m.FillValues.RHS},
			}
		}
		return out
	case *parser.Call:
		args := make([]any, len(n.Args))
		for i, a := range n.Args {
			args[i] = treeOf(a)
		}
		return object{"type": "call", "args": args, "func": object{
			"name": n.Func.Name, "argTypes": n.Func.ArgTypes, "variadic": n.Func.Variadic, "returnType": n.Func.ReturnType,
		}}
	case *parser.MatrixSelector:
		out := treeOfSelector(n.VectorSelector.(*parser.VectorSelector), "matrixSelector") // the parser makes no other
		out["range"] = n.Range.Milliseconds()
		return out
	case *parser.SubqueryExpr:
		return object{
			"type": "subquery", "expr": treeOf(n.Expr), "range": n.Range.Milliseconds(), "offset": n.OriginalOffset.Milliseconds(),
			"step": n.Step.Milliseconds(), "timestamp": n.Timestamp, "startOrEnd": edgeOf(n.StartOrEnd),
		}
	case *parser.NumberLiteral:
		return object{"type": "numberLiteral", "val": strconv.FormatFloat(n.Val, 'f', -1, 64)}
	case *parser.ParenExpr:
		return object{"type": "parenExpr", "expr": treeOf(n.Expr)}
	case *parser.StringLiteral:
		return object{"type": "stringLiteral", "val": n.Val}
	case *parser.UnaryExpr:
		return object{"type": "unaryExpr", "op": n.Op.String(), "expr": treeOf(n.Expr)}
	case *parser.VectorSelector:
		return treeOfSelector(n, "vectorSelector")
	}
	return object{"type": "unknown"}
}

func treeOfSelector(n *parser.VectorSelector, kind string) object {
	matchers := make([]object, 0, len(n.LabelMatchers))
	for _, m := range n.LabelMatchers {
		matchers = append(matchers, object{"name": m.Name, "value": m.Value, "type": m.Type.String()})
	}
	return object{
		"type": kind, "name": n.Name, "offset": n.OriginalOffset.Milliseconds(), "matchers": matchers,
		"timestamp": n.Timestamp, "startOrEnd": edgeOf(n.StartOrEnd), "anchored": n.Anchored, "smoothed": n.Smoothed,
	}
}

func listOf(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

func edgeOf(i parser.ItemType) any {
	if i == 0 {
		return nil
	}
	return i.String()
}
