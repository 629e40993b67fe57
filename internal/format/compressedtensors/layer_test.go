package compressedtensors

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/grid"
)

func TestInfer(t *testing.T) {
	for _, c := range []struct {
		bits, in, words int
		version         string
		padded          bool
		fails           bool
	}{
		{4, 64, 8, "0.9.0", false, false}, // one layout by two names
		{3, 64, 6, "0.9.0", false, false},
		{3, 64, 7, "0.20.0", true, false}, // the width says more than the version
		{5, 64, 10, "", false, false},
		{5, 64, 11, "", true, false},
		{6, 70, 14, "0.17.1", true, false}, // both layouts are as wide
		{6, 70, 14, "0.18.0", false, false},
		{6, 70, 14, "1.0.0", false, false},
		{6, 70, 14, "", false, false},
		{6, 70, 14, "unknown", false, false},
		{3, 64, 8, "", false, true},
		{8, 64, 15, "", false, true},
	} {
		s := Stored{Spec: grid.Spec{Bits: c.bits}}
		err := s.Infer(c.in, c.words, c.version)
		if (err != nil) != c.fails || err == nil && s.Padded != c.padded {
			t.Errorf("%d bits, %d inputs, %d words, version %q: padded %v, %v", c.bits, c.in, c.words, c.version, s.Padded, err)
		}
	}
}

// A layer survives both layouts.
func TestDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.IntRange(2, 8).Draw(t, "bits")
		size := rapid.SampledFrom([]int{4, 6, grid.RowGroup}).Draw(t, "group size")
		s := Stored{Spec: grid.Spec{Bits: bits, GroupSize: size, Symmetric: rapid.Bool().Draw(t, "symmetric")}, Padded: rapid.Bool().Draw(t, "padded")}
		out, in := rapid.IntRange(1, 40).Draw(t, "out"), 12*rapid.IntRange(1, 4).Draw(t, "in/12")
		groups := s.Groups(in)
		code := rapid.Uint8Range(0, uint8(s.MaxCode()))
		codes := rapid.SliceOfN(code, out*in, out*in).Draw(t, "codes")
		zeros := slices.Repeat([]uint8{1 << (bits - 1)}, out*groups)
		if !s.Symmetric {
			zeros = rapid.SliceOfN(code, out*groups, out*groups).Draw(t, "zeros")
		}
		scales := rapid.SliceOfN(rapid.Float32Range(1e-3, 1), out*groups, out*groups).Draw(t, "scales")
		packed, packedZeros := PackRows(codes, out, in, bits), PackColumns(zeros, out, groups, bits)
		if s.Padded {
			packed = packPadded(codes, out, in, bits)
			columns := packPadded(transposed(zeros, out, groups), groups, out, bits)
			packedZeros = transposed(columns, groups, len(columns)/groups)
		}
		for _, p := range s.Parts(out, in) {
			n := p.Meta.Elements()
			if p.Suffix == PackedSuffix && n != len(packed) || p.Suffix == ZeroSuffix && n != len(packedZeros) {
				t.Fatalf("%s is %v for %d and %d words", p.Suffix, p.Meta, len(packed), len(packedZeros))
			}
		}
		q, err := s.Decode(out, in, packed, scales, packedZeros)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(q.Codes, codes) || !slices.Equal(q.Zeros, zeros) || !slices.Equal(q.Scales, scales) {
			t.Fatal("the layer came back changed")
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	s := Stored{Spec: grid.Spec{Bits: 4, GroupSize: 8}}
	for name, err := range map[string]error{
		"codes":  second(s.Decode(2, 16, make([]int32, 3), make([]float32, 4), make([]int32, 2))),
		"scales": second(s.Decode(2, 16, make([]int32, 4), make([]float32, 5), make([]int32, 2))),
		"zeros":  second(s.Decode(2, 16, make([]int32, 4), make([]float32, 4), make([]int32, 3))),
		"groups": second(s.Decode(2, 12, make([]int32, 4), make([]float32, 4), make([]int32, 2))),
	} {
		if err == nil {
			t.Errorf("wrong %s were decoded", name)
		} else if name == "groups" && !strings.Contains(err.Error(), "divide") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second(_ *grid.Quantized, err error) error { return err }
