package node

import "context"

// Coverage returns what is known of every region now.
func (n *Node) Coverage(ctx context.Context) ([]Coverage, error) {
	var out []Coverage
	if err := n.ask(ctx, func(at Time) {
		n.core.tell(at)
		out = n.core.Coverage()
	}); err != nil {
		return nil, err
	}
	return out, nil
}
