package main

import (
	"fmt"
	"math"
	"os"

	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/tensor"
)

// minimumBits are the bits per weight of roundToMinimum's grid.
func minimumBits(bits, group int) float64 { return float64(bits) + 32/float64(group) }

// roundToMinimum rounds the linears of a model in a folder of float32 safetensors
// to the grid that early weight-only quantisers used, and that BitStack was
// compared with: each group of inputs has a float16 minimum and a float16 step
// from it to its maximum. No zero point makes 0 one of its values.
func roundToMinimum(folder string, bits, group int) error {
	cp, err := checkpoint.Open(folder)
	if err != nil {
		return err
	}
	for b := range cp.Config.Layers {
		for _, l := range cp.Config.Linears() {
			x, ok := cp.Lookup(cp.Config.BlockPrefix(b) + l.Name + ".weight")
			if !ok || x.Fused != nil || x.Meta.DType != tensor.F32 || x.Meta.Encoding != "" {
				return fmt.Errorf("%s: no float32 weight of block %d's %s", folder, b, l.Name)
			}
			if err := roundTensor(x.Path, x.Offset, x.Meta.Elements(), bits, group); err != nil {
				return err
			}
		}
	}
	return nil
}

func roundTensor(path string, offset int64, n, bits, group int) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	raw := make([]byte, 4*n)
	if _, err := f.ReadAt(raw, offset); err != nil {
		return err
	}
	w := make([]float32, n)
	half.F32FromBytes(w, raw)
	for i := 0; i < n; i += group {
		toMinimum(w[i:i+group], bits)
	}
	half.F32ToBytes(raw, w)
	if _, err := f.WriteAt(raw, offset); err != nil {
		return err
	}
	return f.Close()
}

// toMinimum rounds one group.
func toMinimum(w []float32, bits int) {
	low, high := w[0], w[0]
	for _, x := range w {
		low, high = min(low, x), max(high, x)
	}
	codes := float64(int(1)<<bits - 1)
	step := float64(half.FromF16(half.ToF16(float32(float64(high-low) / codes))))
	first := float64(half.FromF16(half.ToF16(low)))
	for i, x := range w {
		c := 0.0
		if step > 0 {
			c = min(max(math.RoundToEven((float64(x)-first)/step), 0), codes)
		}
		w[i] = float32(first + float64(c*step))
	}
}
