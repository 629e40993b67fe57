package executor

import (
	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
)

// Fits reports, with a *FitError, an action that needs more than the memory
// budget and will have to run as far as can be told now. An action is expected
// to take its Peak and its outputs; what it reads can be spilled, and outputs
// for the store leave memory as they are made.
func (e *Executor) Fits(targets []action.Ref) error {
	e.passMu.Lock()
	defer e.passMu.Unlock()
	return e.fits(targets)
}

func (e *Executor) fits(targets []action.Ref) error {
	if e.o.Dispatch.Usable() {
		return nil // workers have memory of their own
	}
	var worst *FitError
	seen := map[*node]bool{}
	var walk func(n *node)
	walk = func(n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, in := range n.ins {
			walk(in.out.n)
		}
		if n.a.Leaf != nil || n.state == done || n.state == failed {
			return
		}
		size := need(n.a, func(i int) bool { return n.a.Outputs[i].Class != action.Transient })
		if size <= e.mem.budget {
			return
		}
		// The one that needs most tells the number that will do for all.
		if worst != nil && worst.Need >= size {
			return
		}
		if _, predicted := e.store.GetDef(cache.Digest(n.def)); !predicted {
			worst = e.fitError(n.a, size)
		}
	}
	for _, r := range targets {
		walk(e.node(r.Action))
	}
	if worst != nil {
		return worst
	}
	return nil
}

func (e *Executor) fitError(a *action.Action, size int64) *FitError {
	return &FitError{Action: a, Need: size, Budget: e.o.Memory, Enough: budgetFor(size)}
}
