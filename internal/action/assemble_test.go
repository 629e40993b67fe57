package action

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/artifact"
)

var taggedKernel = &Kernel{Name: "tagged", Impl: 1}

// tagged is a tree of which each leaf's content is tag.
func tagged(tag string, names ...string) *artifact.Tree {
	t := &artifact.Tree{}
	for _, n := range slices.Sorted(slices.Values(names)) {
		t.Entries = append(t.Entries, artifact.Entry{Name: n, Digest: artifact.Sum([]byte(n + " of " + tag))})
	}
	return t
}

// evaluate returns the tree of r, where trees holds those of actions that
// compute.
func evaluate(t interface{ Fatal(...any) }, r Ref, trees map[*Action]*artifact.Tree) *artifact.Tree {
	switch a := r.Action; {
	case a.Leaf != nil:
		return a.Leaf[r.Output]
	case a.Computes():
		return trees[a]
	default:
		in := map[string]*artifact.Tree{}
		for _, i := range a.Inputs {
			in[i.Name] = evaluate(t, i.Ref, trees)
		}
		out, err := Arrange(a, in)
		if err != nil {
			t.Fatal(err)
		}
		return out[r.Output]
	}
}

// Parts of a source are sources, which models with equal layers share, and
// parts of what was assembled are the pieces.
func TestPartSeesThrough(t *testing.T) {
	g := NewGraph()
	one, two := tagged("m", "q.weight", "k.weight", "norm"), tagged("m", "q.weight", "k.weight")
	two.Entries = append(two.Entries, tagged("n", "v.weight").Entries...)
	q := []string{"q.codes", "q.weight"}
	a, b := g.Part(g.AddLeaf("model.a", one), q), g.Part(g.AddLeaf("model.b", two), q)
	if a != b || a.Action.Leaf == nil {
		t.Error("models that share a layer do not share its part")
	}
	base := g.AddLeaf("model.a", one)
	lay := func(r Ref, params int) Ref {
		return Ref{g.Add(Spec{Kernel: taggedKernel, Params: params, Inputs: []Input{{"block", r}}, Outputs: []Output{{Name: "block"}}}), "block"}
	}
	k := []string{"k.codes", "k.weight"}
	mid := g.Assemble("prune.p", "block 0", base, []Piece{{q, lay(g.Part(base, q), 1)}, {k, lay(g.Part(base, k), 1)}})
	if p := g.Part(mid, q); p.Action.Kernel != taggedKernel {
		t.Error("the part of an assembled tree is not its piece")
	}
	if p := g.Part(mid, []string{"norm"}); p.Action.Leaf == nil {
		t.Error("a part that no piece stands for is not that of the source")
	}
	end := g.Assemble("quantize.q", "block 0", mid, []Piece{{k, lay(g.Part(mid, k), 2)}})
	for _, in := range end.Action.Inputs {
		if in.Ref == mid {
			t.Error("what is assembled over an assembled tree reads the whole of it")
		}
	}
	if p := g.Part(end, []string{"k.weight"}); p.Action.Kernel != partKernel || p.Action.Computes() {
		t.Errorf("part of a piece: %v", p.Action.Kernel)
	}
	defer func() {
		if recover() == nil {
			t.Error("two pieces stand for one leaf: no panic")
		}
	}()
	g.Assemble("x", "x", base, []Piece{{q, a}, {[]string{"q.weight"}, a}})
}

// However pieces are laid over one another, the tree is that of replacing leaf
// by leaf, and parts of it are what they would be of that.
func TestAssembleProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := NewGraph()
		trees := map[*Action]*artifact.Tree{}
		layers := []string{"a", "b", "c", "d"}
		names := func(l string) []string { return []string{l + ".codes", l + ".weight"} }
		want := tagged("source", "a.weight", "b.weight", "c.weight", "d.weight", "norm")
		r := g.AddLeaf("model", want)
		made := func(tag string, names ...string) Ref {
			a := g.Add(Spec{Kernel: taggedKernel, Params: tag, Inputs: []Input{{"block", r}}, Outputs: []Output{{Name: "block"}}})
			trees[a] = tagged(tag, names...)
			return Ref{a, "block"}
		}
		if rapid.Bool().Draw(t, "computed") {
			whole := made("whole", "a.weight", "b.weight", "c.weight", "d.weight", "norm")
			r, want = whole, trees[whole.Action]
		}
		for step := range rapid.IntRange(1, 5).Draw(t, "steps") {
			var pieces []Piece
			next := map[string]artifact.Entry{}
			for _, e := range want.Entries {
				next[e.Name] = e
			}
			for _, l := range layers {
				if !rapid.Bool().Draw(t, "replaced") {
					continue
				}
				form := rapid.SampledFrom([]string{".codes", ".weight"}).Draw(t, "form")
				piece := names(l)
				if rapid.IntRange(0, 4).Draw(t, "cut") == 0 {
					piece = []string{l + form} // cuts pieces of earlier steps
				}
				ref := made(fmt.Sprint(l, step), l+form)
				pieces = append(pieces, Piece{piece, ref})
				for _, n := range piece {
					delete(next, n)
				}
				next[l+form] = trees[ref.Action].Entries[0]
			}
			r = g.Assemble("n", "block", r, pieces)
			want = &artifact.Tree{}
			for _, n := range sortedKeys(next) {
				want.Entries = append(want.Entries, next[n])
			}
		}
		if got := evaluate(t, r, trees); got.Digest() != want.Digest() {
			t.Fatalf("assembled\n%s\nwant\n%s", got.Encode(), want.Encode())
		}
		part := names(rapid.SampledFrom(layers).Draw(t, "part"))
		wantPart := &artifact.Tree{}
		for _, e := range want.Entries {
			if slices.Contains(part, e.Name) {
				wantPart.Entries = append(wantPart.Entries, e)
			}
		}
		if got := evaluate(t, g.Part(r, part), trees); got.Digest() != wantPart.Digest() {
			t.Fatalf("part %v\n%s\nwant\n%s", part, got.Encode(), wantPart.Encode())
		}
	})
}

// A structural kernel that reads bytes would need what nothing brings.
func TestStructuralReadsNoBytes(t *testing.T) {
	k := structural(NewKernel("reads bytes", 1, func(c *Context, _ int) error {
		_, err := c.Input("of").Bytes("x")
		return err
	}))
	g := NewGraph()
	told := 0
	g.Added = func(*Action) { told++ }
	a := g.Add(Spec{Kernel: k, Params: 0, Inputs: []Input{{"of", g.AddLeaf("m", leafTree("x"))}}, Outputs: []Output{{Name: "out"}}})
	if _, err := Arrange(a, map[string]*artifact.Tree{"of": leafTree("x")}); err == nil {
		t.Error("no error")
	}
	if told != 0 {
		t.Error("a structural action was told of as work")
	}
}
