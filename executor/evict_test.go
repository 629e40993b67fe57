package executor

import (
	"testing"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
)

// What gc has evicted stays on record: nothing runs for it until somebody
// reads it. Then it is made again, the same to the bit, and promised again.
func TestEvicted(t *testing.T) {
	w := newWorldOn(t, memoryDir(t))
	build := func(more bool) []action.Ref {
		a := w.toy(toyParams{Name: "a", Size: 5000}, durable, w.toy(toyParams{Name: "h"}, transient, w.source("x")))
		b := w.toy(toyParams{Name: "b", Size: 10}, durable, a)
		if more {
			return []action.Ref{b, w.toy(toyParams{Name: "c", Size: 10}, durable, a)}
		}
		return []action.Ref{b}
	}
	e, _, _ := w.again(func() []action.Ref { return build(false) })
	e.Close()
	w.calls("a b h")
	w.reopen()
	r, err := w.store.GC(t.Context(), cache.GCOptions{MaxBytes: 4000, KeepRuns: -1, MinAge: -1, Now: true})
	if err != nil || r.Evicted.Files == 0 || r.Over > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	e, _, n := w.again(func() []action.Ref { return build(false) })
	e.Close()
	w.calls("")
	if n != 0 {
		t.Error("a memo outlived what it tells of")
	}
	e, targets, _ := w.again(func() []action.Ref { return build(true) })
	w.calls("a c h")
	leaf := w.leafDigest(e, action.Ref{Action: targets[1].Action.Inputs[0].Ref.Action, Output: "out"})
	e.Close()
	w.reopen()
	if !w.store.Has(cache.Digest(leaf)) {
		t.Error("what was made again is not stored")
	}
	entry, ok, err := w.store.GetEntry(cache.Digest(e.nodes[targets[1].Action.Inputs[0].Ref.Action].key))
	if err != nil || !ok || entry.Outputs[0].Class != cache.Durable {
		t.Errorf("what was made again is not promised again: %v, %v", ok, err)
	}
	report, err := w.store.Check(t.Context(), cache.CheckOptions{Full: true})
	if err != nil || !report.Clean() {
		t.Errorf("%v, %v", report.Problems, err)
	}
}
