package executor

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// Value returns an output of an action that is done, making its bytes again if
// they are gone. The value is valid until release is called, which must happen
// before the executor or the store is closed. ctx also bounds what loading a
// damaged leaf may have to do.
func (e *Executor) Value(ctx context.Context, ref action.Ref) (v *artifact.Value, release func(), err error) {
	e.passMu.Lock()
	n := e.nodes[ref.Action]
	var o *output
	if n != nil {
		o = n.output(ref.Output)
	}
	switch {
	case o == nil:
		err = fmt.Errorf("output %q of %s: not part of a run", ref.Output, describe(ref.Action))
	case n.state == failed:
		err = n.outcome.Err
	case n.state != done:
		err = fmt.Errorf("output %q of %s: the action has not run", ref.Output, describe(ref.Action))
	}
	if err != nil {
		e.passMu.Unlock()
		return nil, nil, err
	}
	refs, err := e.bring(ctx, o)
	e.passMu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	tree, err := o.tree()
	if err != nil {
		e.mem.release(refs...)
		return nil, nil, err
	}
	r := newReader(e)
	var mu sync.Mutex // guards refs
	load := func(entry artifact.Entry) ([]byte, error) {
		b, err := r.load(entry)
		if err == nil || !errors.Is(err, cache.ErrCorrupt) && !errors.Is(err, cache.ErrNotFound) {
			return b, err
		}
		e.passMu.Lock()
		e.lose(entry.Digest)
		more, err := e.bring(ctx, o)
		e.passMu.Unlock()
		if err != nil {
			return nil, err
		}
		mu.Lock()
		refs = append(refs, more...)
		mu.Unlock()
		return r.load(entry)
	}
	return &artifact.Value{Tree: tree, Load: load}, sync.OnceFunc(func() {
		r.close()
		mu.Lock()
		defer mu.Unlock()
		e.mem.release(refs...)
	}), nil
}

// bring sees to it that the bytes of o are in memory or in the store, and
// returns references to those in memory. Its caller has passMu.
func (e *Executor) bring(ctx context.Context, o *output) ([]*memLeaf, error) {
	if refs, ok := e.atHand(o); ok {
		return refs, nil
	}
	if o.n.recalled {
		p := newPass(e, ctx)
		p.demand(e.unrecall())
		if err := p.run(); err != nil {
			return nil, err
		}
	}
	p := newPass(e, ctx)
	var refs []*memLeaf
	var failure error
	j := p.newWish(o, func(rs []*memLeaf, err error) { refs, failure = rs, err })
	p.prepare(j)
	if err := p.run(); failure == nil && err != nil {
		failure = err
	}
	return refs, failure
}

// atHand returns references to the leaves of o that are in memory, if all
// others are in the store.
func (e *Executor) atHand(o *output) ([]*memLeaf, bool) {
	if !e.fetch(o.n) {
		return nil, false
	}
	tree, err := o.tree()
	if err != nil {
		return nil, false
	}
	var refs []*memLeaf
	var ask []artifact.Digest
	for _, x := range tree.Entries {
		if l := e.mem.get(x.Digest); l != nil {
			refs = append(refs, l)
		} else {
			ask = append(ask, x.Digest)
		}
	}
	if gone, err := e.known.missing(ask); err != nil || len(gone) > 0 {
		e.mem.release(refs...)
		return nil, false
	}
	return refs, true
}

// fulfil ends a wish whose bytes are at hand.
func (p *pass) fulfil(j *job) {
	refs := j.refs
	j.refs = nil
	p.dismiss(j)
	p.left--
	j.done(refs, nil)
}
