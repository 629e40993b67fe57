package executor

import (
	"context"
	"slices"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/cache/remote"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// findRemote returns the remote's entry of n if it will do, having put it into
// the index, or nil. It may run in any goroutine.
func (e *Executor) findRemote(ctx context.Context, n *node) (*cache.Entry, error) {
	entry := e.o.Remote.Lookup(ctx, cache.Digest(n.key), n.record)
	if entry == nil {
		return nil, nil
	}
	for _, o := range n.outs {
		have := entryOutput(entry, o.name)
		if have == nil || o.class == action.Durable && have.Class != cache.Durable {
			return nil, nil
		}
	}
	if e.o.Remote.Mode() == remote.Verify {
		e.mu.Lock()
		e.expected[n.key] = entry
		e.mu.Unlock()
		return nil, nil
	}
	for _, o := range n.outs {
		if o.class != action.Durable {
			continue
		}
		tree, err := artifact.DecodeTree(entryOutput(entry, o.name).Tree)
		if err != nil {
			return nil, err
		}
		e.known.claim(leafDigests(tree)...)
	}
	entry, err := e.o.Remote.Adopt(entry, n.record)
	if err != nil {
		return nil, err
	}
	if err := e.store.PutDef(cache.Digest(n.def), cache.Digest(n.key)); err != nil {
		e.logf("executor: %v", err) // it only predicts
	}
	return entry, nil
}

// agrees compares what was computed with what the remote has on record, if that
// was asked for. It may run in any goroutine.
func (e *Executor) agrees(key artifact.Digest, n *node, got *cache.Entry) error {
	e.mu.Lock()
	want := e.expected[key]
	e.mu.Unlock()
	if want == nil {
		return nil
	}
	for _, o := range got.Outputs {
		if w := entryOutput(want, o.Name); w != nil && w.Digest != o.Digest {
			return &RemoteResultError{Kernel: n.a.Kernel.Name, Output: o.Name, Remote: e.o.Remote.Client().Address(),
				Want: artifact.Digest(w.Digest), Got: artifact.Digest(o.Digest)}
		}
	}
	return nil
}

// leavesIn returns the leaves of t that have one of the digests.
func leavesIn(t *artifact.Tree, ds []artifact.Digest) []artifact.Entry {
	var out []artifact.Entry
	for _, l := range t.Entries {
		if slices.Contains(ds, l.Digest) {
			out = append(out, l)
		}
	}
	return out
}

// fetch asks the remote for leaves that are nowhere here, and reports whether
// there is hope: then j is prepared anew when they have come, or have not.
func (p *pass) fetch(j *job, gaps []gap) bool {
	var want []artifact.Entry
	for _, g := range gaps {
		if j.fetched[g.digest] {
			continue
		}
		tree, err := g.out.tree()
		if err != nil {
			continue // whoever reads it will say so
		}
		for _, l := range leavesIn(tree, []artifact.Digest{g.digest})[:1] {
			if p.e.o.Remote.Has(l) {
				want = append(want, l)
			}
		}
	}
	if len(want) == 0 {
		return false
	}
	if j.fetched == nil {
		j.fetched = map[artifact.Digest]bool{}
	}
	for _, l := range want {
		j.fetched[l.Digest] = true
	}
	p.spawn(func() func() {
		err := p.e.o.Remote.Fetch(p.ctx, want)
		return func() {
			switch {
			case j.over:
			case p.ctx.Err() != nil:
				p.halt(context.Cause(p.ctx))
			case err != nil:
				p.failJob(j, err)
			default:
				p.prepare(j)
			}
		}
	})
	return true
}
