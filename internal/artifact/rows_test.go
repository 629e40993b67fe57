package artifact

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/tensor"
)

// Rows in any cut are the rows of the whole.
func TestRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, width := rapid.IntRange(1, 9).Draw(t, "rows"), rapid.IntRange(1, 5).Draw(t, "width")
		n := rows * width
		b := NewBuilder()
		f32 := make([]float32, n)
		f64 := make([]float64, n)
		bf16 := make([]byte, 2*n)
		for i := range n {
			f32[i], f64[i] = float32(i)+0.5, float64(-i)
			bf16[2*i], bf16[2*i+1] = byte(i), 0x40
		}
		shape := []int{rows, width}
		if width == 1 {
			shape = []int{rows}
		}
		b.PutFloat32("f32", shape, f32)
		b.PutFloat64("f64", shape, f64)
		b.PutBytes("bf16", tensor.Meta{DType: tensor.BF16, Shape: shape}, bf16)
		// Heads of two rows, which llama.cpp stores in the same order.
		b.PutBytes("rotary", tensor.Meta{DType: tensor.F32, Shape: []int{4, 2}, RotaryHeadDim: 4}, AsBytes([]float32{0, 1, 4, 5, 2, 3, 6, 7}))
		blocks := make([]byte, 34*rows)
		for i := range blocks {
			blocks[i] = byte(i % 50)
		}
		b.PutBytes("q8_0", tensor.Meta{DType: tensor.F32, Encoding: "q8_0", Shape: []int{rows, 32}}, blocks)
		b.PutBytes("line", tensor.Meta{DType: tensor.F32, Encoding: "q8_0", Shape: []int{32 * rows}}, blocks)
		v := valueOf(b)
		buf := make([]float32, 0, 1024)
		for _, name := range []string{"f32", "f64", "bf16", "rotary", "q8_0", "line"} {
			whole, err := v.Float32(name)
			if err != nil {
				t.Fatal(err)
			}
			r, err := v.Rows(name)
			if err != nil {
				t.Fatal(err)
			}
			var got []float32
			for lo := 0; lo < r.Count; {
				hi := rapid.IntRange(lo, r.Count).Draw(t, "hi")
				part, err := r.Float32(lo, hi, buf)
				if err != nil {
					t.Fatal(err)
				}
				got, lo = append(got, part...), hi
			}
			if !slices.Equal(got, whole) {
				t.Fatalf("%s: %v, want %v", name, got, whole)
			}
		}
	})
}

func TestRowsRefuse(t *testing.T) {
	b := NewBuilder()
	b.PutBytes("scalar", tensor.Meta{DType: tensor.F32}, make([]byte, 4))
	b.PutBytes("short", tensor.Meta{DType: tensor.F32, Shape: []int{2, 2}}, make([]byte, 12))
	b.PutInt32("whole", []int{2}, []int32{1, 2})
	v := valueOf(b)
	for _, name := range []string{"scalar", "short", "none"} {
		if _, err := v.Rows(name); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	r, err := v.Rows("whole")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Float32(0, 1, nil); err == nil {
		t.Error("integers are read as floats")
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic for rows that are not there")
		}
	}()
	_, _ = r.Float32(1, 3, nil)
}
