package executor

import (
	"errors"
	"testing"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/tensor"
)

// block adds a source of the leaves "leaf.a" and "leaf.b".
func (w *world) block(a, b string) action.Ref {
	w.t.Helper()
	out := artifact.NewBuilder()
	for name, text := range map[string]string{"leaf.a": a, "leaf.b": b} {
		if _, err := w.store.Put([]byte(text)); err != nil {
			w.t.Fatal(err)
		}
		out.PutBytes(name, tensor.Meta{DType: tensor.U8, Shape: []int{len(text)}}, []byte(text))
	}
	tree, _ := out.Finish()
	return w.g.AddLeaf("source", tree)
}

// apart adds an action on each leaf of a block, "leaf.a" and "leaf.b", and
// returns the tree of both results.
func (w *world) apart(base action.Ref, node, doA, doB string, class action.Class) action.Ref {
	var pieces []action.Piece
	for _, p := range []toyParams{{Name: "a", Do: doA}, {Name: "b", Do: doB}} {
		names := []string{"leaf." + p.Name}
		pieces = append(pieces, action.Piece{Names: names, Ref: w.toyIn(node, p, class, w.g.Part(base, names))})
	}
	return w.g.Assemble(node, "block", base, pieces)
}

// What works on one tensor is keyed by it: another block with an equal tensor
// shares its result, another setting of one tensor runs that one.
func TestPartsAreShared(t *testing.T) {
	w := newWorld(t)
	act("other", func(*action.Context) error { return nil })
	run := func(a, b, doB string) *Result {
		w.reopen()
		w.rebuild()
		_, res := w.run(w.toy(toyParams{Name: "reader"}, durable, w.apart(w.block(a, b), "n", "", doB, durable)))
		return res
	}
	if res := run("1", "2", ""); res.Actions != 3 || res.Ran != 3 {
		t.Errorf("%d of %d actions ran; what only arranges is none", res.Ran, res.Actions)
	}
	w.calls("a b reader")
	run("1", "2", "")
	w.calls("")
	run("1", "3", "")
	w.calls("b reader")
	run("1", "2", "other") // gives the same bytes, so nothing after it runs
	w.calls("b")
	run("4", "2", "")
	w.calls("a reader")
	if u, err := w.store.Usage(); err != nil || u.Entries.Files != 8 {
		t.Errorf("%d entries on record, %v; expected one for each call", u.Entries.Files, err)
	}
}

// Bytes of a piece that are not kept are made again through the assembled tree,
// also of what memos tell of, and entries name what is on record.
func TestPartsRewind(t *testing.T) {
	w := newWorldOn(t, memoryDir(t))
	build := func() []action.Ref {
		mid := w.apart(w.block("1", "2"), "n", "", "", transient)
		return []action.Ref{w.toyIn("m", toyParams{Name: "reader"}, durable, mid), mid}
	}
	e, _, _ := w.again(func() []action.Ref { return build()[:1] })
	entry, ok, err := w.store.GetEntry(cache.Digest(e.Outcome(build()[0].Action).Key))
	if err != nil || !ok || len(entry.Inputs) != 3 {
		t.Fatalf("entry of the reader: %v, %v, %+v", ok, err, entry)
	}
	e.Close()
	w.calls("a b reader")
	e, targets, n := w.again(func() []action.Ref { return build()[:1] })
	if n != 4 {
		t.Errorf("%d nodes are recalled", n)
	}
	w.calls("")
	mid := targets[0].Action.Inputs[0].Ref
	v, release, err := e.Value(t.Context(), mid)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := v.Bytes("leaf.b"); err != nil || len(b) != 100 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	release()
	e.Close()
	w.calls("a b")

	// A tree that memos tell of is put together from the index.
	e, _, _ = w.again(func() []action.Ref { return []action.Ref{w.apart(w.block("1", "2"), "d", "", "", durable)} })
	e.Close()
	w.calls("a b")
	e, targets, n = w.again(func() []action.Ref { return []action.Ref{w.apart(w.block("1", "2"), "d", "", "", durable)} })
	if v, release, err = e.Value(t.Context(), targets[0]); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	defer release()
	if b, err := v.Bytes("leaf.a"); err != nil || len(b) != 100 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	w.calls("")
}

// A piece that fails fails what is put together from it, and that is no failure
// of its own.
func TestPartFails(t *testing.T) {
	w := newWorld(t)
	act("fail", func(*action.Context) error { return errors.New("no") })
	r := w.toy(toyParams{Name: "reader"}, durable, w.apart(w.block("1", "2"), "n", "", "fail", durable))
	_, err := w.executor().Run(t.Context(), []action.Ref{r})
	var failed *RunError
	if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Skipped != 1 {
		t.Fatalf("%v; expected one failure, and the reader skipped", err)
	}
	w.calls("a b")
}
