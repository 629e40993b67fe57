package executor

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// noteStored keeps track of the outputs of a settled node that are, or may be,
// in the store: durable ones, whose leaves must stay, and checkpoints, of which
// the newer make the older ones unnecessary.
func (e *Executor) noteStored(n *node) {
	for _, o := range n.outs {
		switch o.class {
		case action.Durable:
			e.durables = append(e.durables, o)
		case action.Checkpoint:
			e.checkpoints[n.a.Node] = append(e.checkpoints[n.a.Node], o)
			e.supersede(n)
			e.tryDrop(o) // the node may be complete already
		}
	}
}

// supersede marks the checkpoints of n's chain that come right before n: a
// resumed run starts from n's. A node may have several chains side by side, so
// it goes by what n is made of, not by age.
func (e *Executor) supersede(n *node) {
	seen := map[*node]bool{}
	var walk func(*node)
	walk = func(m *node) {
		if seen[m] {
			return
		}
		seen[m] = true
		for _, in := range m.ins {
			o := in.out
			if o.class == action.Checkpoint && o.n.a.Node == n.a.Node {
				o.superseded = true
				e.tryDrop(o)
				continue
			}
			walk(o.n)
		}
	}
	walk(n)
}

// tryDrop removes a checkpoint's blobs once nothing will want them: afterwards
// it is as good as transient. Leaves that something else in this graph keeps
// stay. Other processes' leases are respected.
func (e *Executor) tryDrop(o *output) {
	if o.class != action.Checkpoint || o.promised || o.dropped || o.pending > 0 || o.n.state != done {
		return
	}
	if !o.superseded && !e.completed[o.n.a.Node] {
		return
	}
	o.dropped = true
	tree, err := o.tree()
	if err != nil {
		e.logf("executor: checkpoint of %s: %v", describe(o.n.a), err)
		return
	}
	var free []artifact.Digest
	for _, l := range tree.Entries {
		// What was carried over is somebody else's to remove.
		if !e.kept(l.Digest) && origin(o, l.Digest) == o {
			free = append(free, l.Digest)
		}
	}
	if err := e.known.remove(free); err != nil {
		e.logf("executor: removing a checkpoint of %s: %v", describe(o.n.a), err)
	}
}

// kept reports whether a durable output or another checkpoint has the leaf.
func (e *Executor) kept(d artifact.Digest) bool {
	for _, o := range e.durables {
		if !e.fetch(o.n) {
			continue // it has lost its leaves anyway
		}
		if t, err := o.tree(); err == nil {
			for _, l := range t.Entries {
				e.lasting[l.Digest] = true
			}
		}
	}
	e.durables = nil
	if e.lasting[d] {
		return true
	}
	for _, os := range e.checkpoints {
		for _, o := range os {
			if !o.dropped && o.contains(d) {
				return true
			}
		}
	}
	return false
}

// CompleteNode says that a node is complete, so that its checkpoints may go. It
// does not wait: during a run they go at its end.
func (e *Executor) CompleteNode(node string) {
	e.mu.Lock()
	e.completing = append(e.completing, node)
	e.mu.Unlock()
	if e.passMu.TryLock() {
		e.completeQueued()
		e.passMu.Unlock()
	}
}

// completeQueued drops the checkpoints of nodes that are complete. Its caller
// has passMu.
func (e *Executor) completeQueued() {
	e.mu.Lock()
	nodes := e.completing
	e.completing = nil
	e.mu.Unlock()
	for _, name := range nodes {
		e.completed[name] = true
		for _, o := range e.checkpoints[name] {
			e.tryDrop(o)
		}
	}
}
