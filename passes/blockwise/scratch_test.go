package blockwise

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/tensor"
)

// Weights in scratch memory, whatever was in it before, are those that Dense
// makes; what lies as float32 is not copied, and what is not the scratch's is
// not taken for it.
func TestScratch(t *testing.T) {
	var s Scratch
	defer s.Give()
	rapid.Check(t, func(t *rapid.T) {
		out, in := 4*rapid.IntRange(1, 4).Draw(t, "heads"), 32*rapid.IntRange(1, 3).Draw(t, "blocks")
		w := rapid.SliceOfN(rapid.Float32Range(-2, 2), out*in, out*in).Draw(t, "w")
		b := artifact.NewBuilder()
		b.PutFloat32("plain.weight", []int{out, in}, slices.Clone(w))
		putHalf(b, "half.weight", []int{out, in}, w)
		blocks := make([]byte, out*in/32*20) // scale, minimum, 32 codes
		for i := range len(blocks) / 20 {
			block := blocks[i*20:]
			binary.LittleEndian.PutUint16(block, half.ToF16(w[32*i]))
			binary.LittleEndian.PutUint16(block[2:], half.ToF16(w[32*i+1]))
			for j := range 16 {
				block[4+j] = byte(i*31 + j*7)
			}
		}
		b.PutBytes("gguf.weight", tensor.Meta{DType: tensor.F32, Shape: []int{out, in}, Encoding: "q4_1"}, blocks)
		b.PutBytes("rotary.weight", tensor.Meta{DType: tensor.F32, Shape: []int{out, in}, Encoding: "q4_1", RotaryHeadDim: 4}, slices.Clone(blocks))
		b.PutBytes("turned.weight", tensor.Meta{DType: tensor.F32, Shape: []int{out, in}, RotaryHeadDim: 4}, artifact.AsBytes(slices.Clone(w)))
		q, err := grid.Quantize(nil, w, out, in, grid.Spec{Bits: 4, GroupSize: 32}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := PutCoded(b, "codes", OnGrid(q), nil); err != nil {
			t.Fatal(err)
		}
		v := built(b)
		for _, name := range []string{"plain", "half", "gguf", "rotary", "turned", "codes"} {
			want, err := Dense(v, name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Dense(v, name)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s: %v; expected %v", name, got, want)
			}
			if lies := name == "plain"; lies != (&got[0] == &want[0]) || s.holds(got) == lies || s.holds(want) {
				t.Fatalf("%s: lies as float32: %v, the same memory: %v, the scratch's: %v", name, lies, &got[0] == &want[0], s.holds(got))
			}
		}
		s.Give()
	})
	v := built(artifact.NewBuilder())
	if _, err := s.Dense(v, "none"); err == nil {
		t.Error("weights of a layer that is not there")
	}
	b := artifact.NewBuilder()
	b.PutBytes("short.weight", tensor.Meta{DType: tensor.F16, Shape: []int{2, 3}}, make([]byte, 10))
	if _, err := s.Dense(built(b), "short"); err == nil || fmt.Sprint(err) != "blockwise: short.weight: F16[2 3]: 6 elements and 10 bytes given, expected 2 bytes an element" {
		t.Errorf("too few bytes: %v", err)
	}
}
