package planner

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/cache/remote"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// asking is how many lookups are under way at a time: what a far server costs is
// the way there and back.
const asking = 16

// Consult asks the remote for every result that the steps need and the local
// index does not have, as far as keys can be known without running anything, and
// puts what it has into the index, for Predict to find. No bytes of results are
// read.
func (p *Plan) Consult(ctx context.Context, store *cache.Store, rc *remote.Cache, steps []*Step) error {
	if !rc.Usable() {
		return nil
	}
	c := &consultation{ctx: ctx, store: store, rc: rc, defs: action.DefKeys(p.Graph), digests: map[action.Ref]artifact.Digest{}, trees: map[action.Ref]*artifact.Tree{}, held: map[*action.Action]bool{}}
	wanted := Reach(steps)
	// Actions are asked about together when the longest way to each from a source
	// is the same: by then all that they are made of is known.
	depth := map[*action.Action]int{}
	var levels [][]*action.Action
	for _, a := range p.Graph.Actions { // in an order in which inputs come first
		if a.Leaf != nil {
			for name, t := range a.Leaf {
				c.digests[action.Ref{Action: a, Output: name}] = t.Digest()
				c.trees[action.Ref{Action: a, Output: name}] = t
			}
			continue
		}
		if !wanted[a] {
			continue
		}
		for _, in := range a.Inputs {
			if a.Kernel.Structural && c.trees[in.Ref] == nil {
				c.trees[in.Ref] = nil // to be filled in
			}
			if in.Ref.Action.Leaf == nil {
				depth[a] = max(depth[a], depth[in.Ref.Action]+1)
			}
		}
		for len(levels) <= depth[a] {
			levels = append(levels, nil)
		}
		levels[depth[a]] = append(levels[depth[a]], a)
	}
	for _, level := range levels {
		g := new(errgroup.Group)
		g.SetLimit(asking)
		for _, a := range level {
			g.Go(func() error { return c.ask(a) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	p.held = c.held
	return ctx.Err()
}

type consultation struct {
	ctx   context.Context
	store *cache.Store
	rc    *remote.Cache
	defs  map[*action.Action]artifact.Digest

	mu      sync.Mutex // guards what follows
	digests map[action.Ref]artifact.Digest
	held    map[*action.Action]bool
	trees   map[action.Ref]*artifact.Tree // of what structural actions read
}

func (c *consultation) ask(a *action.Action) error {
	inputs := make(map[string]artifact.Digest, len(a.Inputs))
	c.mu.Lock()
	for _, in := range a.Inputs {
		if d, ok := c.digests[in.Ref]; ok {
			inputs[in.Name] = d
		}
	}
	c.mu.Unlock()
	if len(inputs) < len(a.Inputs) {
		return nil // something before it has no result yet
	}
	if a.Kernel.Structural {
		return c.arrange(a)
	}
	key, record := action.ActionKey(a, inputs)
	e, ok, err := c.store.GetEntry(cache.Digest(key))
	if err != nil {
		return err
	}
	held := false
	if !ok || !whole(c.store, a, e) {
		e = c.rc.Lookup(c.ctx, cache.Digest(key), record)
		if e == nil || c.rc.Mode() == remote.Verify {
			return nil
		}
		if e, err = c.rc.Adopt(e, record); err != nil {
			return err
		}
		held = true
	}
	if err := c.store.PutDef(cache.Digest(c.defs[a]), cache.Digest(key)); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[a] = held
	for _, o := range e.Outputs {
		ref := action.Ref{Action: a, Output: o.Name}
		c.digests[ref] = artifact.Digest(o.Digest)
		if _, read := c.trees[ref]; read {
			if c.trees[ref], err = artifact.DecodeTree(o.Tree); err != nil {
				return err
			}
		}
	}
	return nil
}

// arrange finds out what a structural action gives.
func (c *consultation) arrange(a *action.Action) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := map[string]*artifact.Tree{}
	for _, i := range a.Inputs {
		in[i.Name] = c.trees[i.Ref]
	}
	out, err := action.Arrange(a, in)
	if err != nil {
		return err
	}
	for name, t := range out {
		ref := action.Ref{Action: a, Output: name}
		c.digests[ref] = t.Digest()
		if _, read := c.trees[ref]; read {
			c.trees[ref] = t
		}
	}
	return nil
}

// whole reports whether everything that an action is to leave in the store is
// there. What came from a remote is on record without bytes.
func whole(store *cache.Store, a *action.Action, e *cache.Entry) bool {
	for _, o := range e.Outputs {
		if o.Class == cache.Durable || o.Class == cache.Evicted || a.OutputClass(o.Name) != action.Durable {
			continue
		}
		t, err := artifact.DecodeTree(o.Tree)
		if err != nil {
			return false
		}
		for _, l := range t.Entries {
			if !store.Has(cache.Digest(l.Digest)) {
				return false
			}
		}
	}
	return true
}
