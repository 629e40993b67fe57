package executor

import (
	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// arrange settles a structural node whose inputs are known: its outputs' trees
// follow from theirs. It is in no index, no queue and no total.
func (p *pass) arrange(n *node) {
	n.state = lookingUp
	p.looking++
	p.spawn(func() func() {
		p.lookups <- struct{}{}
		defer func() { <-p.lookups }()
		trees, err := n.trees()
		made := map[string]finished{}
		for name, t := range trees {
			raw := t.Encode()
			made[name] = finished{t, raw, artifact.Sum(raw)}
		}
		return func() {
			p.looking--
			switch cause := n.failedInput(); {
			case cause != nil:
				p.fail(n, cause, false)
			case err != nil:
				p.fail(n, &ActionError{Action: n.a, Err: err}, true)
			default:
				for _, o := range n.outs {
					t := made[o.name]
					o.setTree(t.digest, t.raw, t.tree, t.tree.Size())
				}
				p.finish(n, Outcome{Status: Cached})
			}
		}
	})
}

// trees returns the outputs' trees of a structural node and sets its key, which
// is in no index. It may run in any goroutine.
func (n *node) trees() (map[string]*artifact.Tree, error) {
	in := map[string]*artifact.Tree{}
	digests := map[string]artifact.Digest{}
	for _, i := range n.ins {
		t, err := i.out.tree()
		if err != nil {
			return nil, err
		}
		in[i.name], digests[i.name] = t, i.out.digest
	}
	if n.key == "" {
		n.key, _ = action.ActionKey(n.a, digests)
	}
	return action.Arrange(n.a, in)
}

// fetchArranged is fetch for a structural node: its trees are in no index.
func (e *Executor) fetchArranged(n *node) bool {
	for _, in := range n.ins {
		if !e.fetch(in.out.n) {
			return false
		}
	}
	trees, err := n.trees()
	if err != nil {
		return false
	}
	texts := map[string][]byte{}
	for _, o := range n.outs {
		texts[o.name] = trees[o.name].Encode()
		if artifact.Sum(texts[o.name]) != o.digest {
			return false
		}
	}
	for _, o := range n.outs {
		o.setText(texts[o.name])
	}
	return true
}

// reads lists the trees on record that n's inputs are made of: what would have
// to be there to run n again.
func (n *node) reads() []cache.Digest {
	var ds []cache.Digest
	for _, in := range n.ins {
		if m := in.out.n; m.a.Leaf == nil && m.a.Kernel.Structural {
			ds = append(ds, m.reads()...)
		} else {
			ds = append(ds, cache.Digest(in.out.digest))
		}
	}
	return ds
}
