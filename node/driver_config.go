package node

import "context"

// SetConfig makes doc the mesh's configuration and returns it as it is on disk here; from here it spreads to all nodes.
// With ifVersion it is refused if the version here is another one. Refusals wrap ErrConfig. If ctx ends first the outcome is unknown.
func (n *Node) SetConfig(ctx context.Context, doc []byte, ifVersion *uint64) (ConfigRecord, error) {
	r := n.request(ctx, func(id uint64) Event { return SetConfig{ID: id, Doc: doc, IfVersion: ifVersion} })
	if r.Err != nil {
		return ConfigRecord{}, r.Err
	}
	return n.Config(ctx)
}

// Config returns the mesh's configuration as it is on disk here.
func (n *Node) Config(ctx context.Context) (rec ConfigRecord, err error) {
	err = n.ask(ctx, func(Time) { rec = n.core.Config() })
	return rec, err
}
