package blockwise

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/artifact"
)

// built finishes b and serves its leaves, and those of the values it shares
// with, from memory.
func built(b *artifact.Builder, shared ...*artifact.Value) *artifact.Value {
	tree, leaves := b.Finish()
	data := map[artifact.Digest][]byte{}
	for _, l := range leaves {
		if l.Data != nil {
			data[l.Digest] = l.Data
		}
	}
	return &artifact.Value{Tree: tree, Load: func(e artifact.Entry) ([]byte, error) {
		if d, ok := data[e.Digest]; ok {
			return d, nil
		}
		for _, v := range shared {
			if d, err := v.Load(e); err == nil {
				return d, nil
			}
		}
		return nil, fmt.Errorf("no bytes of %s", e.Name)
	}}
}

// A rank that shares the leading rows of stored factors is the side path that
// would have been stored by itself, and stores nothing.
func TestSharedSideIsTheStoredOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		out, in := rapid.IntRange(1, 6).Draw(t, "out"), rapid.IntRange(1, 6).Draw(t, "in")
		keep := rapid.IntRange(1, 5).Draw(t, "keep")
		rank := rapid.IntRange(1, keep).Draw(t, "rank")
		numbers := func(n int, name string) []float32 {
			return rapid.SliceOfN(rapid.Float32(), n, n).Draw(t, name)
		}
		a, b := numbers(keep*in, "a"), numbers(out*keep, "b") // [keep, in], [out, keep]
		other := [2][]float32{numbers(2*in, "other a"), numbers(out*2, "other b")}

		f := artifact.NewBuilder()
		f.PutFloat32("A", []int{keep, in}, slices.Clone(a))
		bt := make([]float32, len(b))
		transpose(bt, b, out, keep)
		f.PutFloat32("BT", []int{keep, out}, bt)
		factors := built(f)
		ea, _ := factors.Entry("A")
		eb, _ := factors.Entry("BT")

		x := artifact.NewBuilder()
		PutSide(x, "q", 0, 2, slices.Clone(other[0]), other[1])
		ShareSide(x, "q", 1, rank, ea, eb)
		_, leaves := x.Finish()
		for _, l := range leaves[2:] {
			if l.Data != nil {
				t.Fatalf("%s is stored", l.Name)
			}
		}
		v := built(x, factors)
		if n := SideCount(v, "q"); n != 2 || SideCount(v, "k") != 0 {
			t.Fatalf("%d side paths", n)
		}
		got, err := Sides(v, "q")
		if err != nil {
			t.Fatal(err)
		}
		cut := make([]float32, 0, out*rank)
		for r := range out {
			cut = append(cut, b[r*keep:][:rank]...)
		}
		for i, want := range [][2][]float32{other, {a[:rank*in], cut}} {
			s := got[i]
			if s.Scale != 1 || s.Rank*in != len(want[0]) || !slices.Equal(s.A, want[0]) || !slices.Equal(s.B, want[1]) {
				t.Fatalf("side %d is %+v; expected %v", i, s, want)
			}
		}
	})
}
