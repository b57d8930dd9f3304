package node

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// ErrConfig is wrapped by every refusal of a configuration: it is wrong, or another one came first.
var ErrConfig = errors.New("configuration refused")

// ConfigRecord is the mesh's configuration as a node has it on disk.
type ConfigRecord struct {
	Version uint64    // 0: the mesh was never configured
	Made    time.Time // by its author's clock
	Author  string    // region/node; "" with version 0
	Doc     []byte    // JSON
	Unread  bool      // this version of meshd cannot read it: it is kept and passed on, what was set before stays
}

// SetConfig asks to make a document the mesh's configuration. The answer is a Reply with the same ID, once it is on
// disk here; from here it spreads.
type SetConfig struct {
	ID  uint64
	Doc []byte
	// IfVersion refuses the change if the version is another one here; nil: never.
	IfVersion *uint64
}

func (SetConfig) event() {}

// meshConfig is the newest configuration that is known here. It is joined as everything else: of two documents the one
// with the greater name counts, whole, wherever they meet.
type meshConfig struct {
	have   wire.MeshConfig // on disk
	unread bool
	next   *wire.MeshConfig // waits for the disk
	asked  []askedConfig    // who waits for it
	own    meshSettings     // what the node was started with: for what a document leaves out
}

type askedConfig struct {
	id  uint64 // of the Submit
	doc wire.ConfigID
}

// configOf is what is known of the configuration of the other end of a session.
type configOf struct {
	said  bool          // told was told
	told  wire.ConfigID // that this node named last
	known bool
	has   wire.ConfigID // that the peer named last
	sent  int64         // when a document was sent that the peer has not named yet
}

// setConfig takes an operator's document.
func (c *Core) setConfig(in SetConfig) {
	refuse := func(err error) {
		c.out.Replies = append(c.out.Replies, Reply{ID: in.ID, Result: Result{Err: err}})
	}
	newest := c.newestConfig()
	if in.IfVersion != nil && *in.IfVersion != newest.Version {
		refuse(fmt.Errorf("%w: the configuration has version %d here, not %d: get it and change that one", ErrConfig, newest.Version, *in.IfVersion))
		return
	}
	if _, err := parseSettings(in.Doc, true); err != nil {
		refuse(fmt.Errorf("%w: %w", ErrConfig, err))
		return
	}
	m := &wire.MeshConfig{Full: true, Body: slices.Clone(in.Doc), ID: wire.ConfigID{
		Version: newest.Version + 1, Stamp: c.clock.Tick(c.wall), Region: c.cfg.Region, Node: c.cfg.Node, Sum: wire.SumConfig(in.Doc),
	}}
	if _, err := wire.AppendStoredConfig(nil, m); err != nil {
		refuse(fmt.Errorf("%w: %w", ErrConfig, err))
		return
	}
	c.config.next = m
	if mutant.On("config told before it is durable") {
		c.applyConfig(m)
	}
	c.config.asked = append(c.config.asked, askedConfig{in.ID, m.ID})
}

// gotConfig takes a peer's word on which document it has, or the document itself. An edge brings only what it made
// itself: a document names its author.
func (c *Core) gotConfig(s *session, m *wire.MeshConfig) {
	if m.Full && s.peer.Role != RoleHub && (m.ID.Region != s.peer.Region || m.ID.Node != s.peer.Node) &&
		!mutant.On("an edge brings any config") {
		c.Counts.Refused++
		return
	}
	s.config.known, s.config.has = true, m.ID
	if m.Full && m.ID.Compare(c.newestConfig()) > 0 || m.Full && mutant.On("the config that came last counts") {
		c.config.next = m
	}
}

// newestConfig names the document that is on disk or on its way there.
func (c *Core) newestConfig() wire.ConfigID {
	if c.config.next != nil {
		return c.config.next.ID
	}
	return c.config.have.ID
}

// configOps appends the write of a document that waits. It rides on a commit, which makes it durable before anybody is
// told of it.
func (c *Core) configOps(p *pending, ops []Op) []Op {
	if p.config = c.config.next; p.config == nil {
		return ops
	}
	raw, err := wire.AppendStoredConfig(nil, p.config)
	if err != nil {
		panic(fmt.Sprintf("node: configuration does not encode: %v", err)) // it was parsed or checked before
	}
	return append(ops, Op{Key: []byte(prefixConfig), Value: raw})
}

// configWritten takes the outcome of a write.
func (c *Core) configWritten(m *wire.MeshConfig, err error) {
	if m == nil {
		return
	}
	if c.config.next == m {
		c.config.next = nil
	}
	if err == nil {
		c.applyConfig(m)
	}
	var waiting []askedConfig
	for _, a := range c.config.asked {
		order := a.doc.Compare(m.ID)
		result := err
		switch {
		case order > 0:
			waiting = append(waiting, a)
			continue
		case order < 0 && err == nil:
			result = fmt.Errorf("%w: version %d of %s/%s came at the same time and counts", ErrConfig, m.ID.Version, m.ID.Region, m.ID.Node)
		}
		c.out.Replies = append(c.out.Replies, Reply{ID: a.id, Result: Result{Err: result}})
	}
	c.config.asked = waiting
}

// applyConfig makes a document that is on disk the one that counts here. What cannot be read is kept and passed on: a
// node of a later version made it.
func (c *Core) applyConfig(m *wire.MeshConfig) {
	c.config.have = *m
	set, err := parseSettings(m.Body, false)
	if c.config.unread = err != nil; c.config.unread {
		c.Counts.ConfigsUnread++
		return
	}
	c.setRules(set.rules)
	c.cfg.Silence = cmp.Or(set.silenceMs, c.config.own.silenceMs)
	c.cfg.ForgetAfter, c.cfg.ForgetAlone = cmp.Or(set.forgetMs, c.config.own.forgetMs), set.Forget.Alone || c.config.own.Forget.Alone
	c.cfg.Limits.Series = cmp.Or(set.Series, c.config.own.Series)
	if c.hub != nil {
		c.hub.watch.SetSilence(c.cfg.Silence)
	}
}

// tellConfig names this node's document to a peer if it changed, and sends it to one that named an older one. A peer
// with a newer one does the same.
func (c *Core) tellConfig(s *session) {
	o, have := &s.config, &c.config.have
	if o.known && o.has.Compare(have.ID) < 0 && (o.sent == 0 || c.now >= o.sent+c.cfg.Retry) && c.mayTell() {
		o.sent = c.now
		o.said, o.told = true, have.ID
		c.send(s, have)
		return
	}
	if !o.said || o.told != have.ID {
		o.said, o.told, o.sent = true, have.ID, 0
		c.send(s, &wire.MeshConfig{ID: have.ID})
	}
}

// mayTell reports whether peers would take this node's document: an edge's word is taken on its own only.
func (c *Core) mayTell() bool {
	return c.hub != nil || c.config.have.ID.Region == c.cfg.Region && c.config.have.ID.Node == c.cfg.Node
}

// ConfigDoc returns the document of Config, which must not be modified.
func (c *Core) ConfigDoc() []byte {
	if c.config.have.ID.Version == 0 {
		return []byte("{}")
	}
	return c.config.have.Body
}

// Config returns the configuration that is on disk here.
func (c *Core) Config() ConfigRecord {
	have := &c.config.have
	if have.ID.Version == 0 {
		return ConfigRecord{Doc: []byte("{}")}
	}
	return ConfigRecord{
		Version: have.ID.Version, Made: time.UnixMilli(have.ID.Stamp.Millis()), Author: have.ID.Region + "/" + have.ID.Node,
		Doc: slices.Clone(have.Body), Unread: c.config.unread,
	}
}
