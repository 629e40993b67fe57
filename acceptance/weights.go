package acceptance

import (
	"fmt"
	"os"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/passes/blockwise"
)

// readTensor reads one tensor of a checkpoint as float32.
func readTensor(cp *checkpoint.Checkpoint, name string) ([]float32, error) {
	x, ok := cp.Lookup(name)
	if !ok {
		return nil, fmt.Errorf("%s has no tensor %s: %w", cp.Path, name, os.ErrNotExist)
	}
	f, err := os.Open(x.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, x.Length)
	if _, err := f.ReadAt(b, x.Offset); err != nil {
		return nil, err
	}
	return artifact.DecodeFloat32(x.Meta, b)
}

// effective returns the weights [out, in] that a linear layer acts by, its side
// paths included.
func effective(v *artifact.Value, linear string) ([]float32, error) {
	w, err := blockwise.Dense(v, linear)
	if err != nil {
		return nil, err
	}
	sides, err := blockwise.Sides(v, linear)
	if err != nil || len(sides) == 0 {
		return w, err
	}
	out := make([]float32, len(w))
	sum := make([]float64, len(w))
	for i, x := range w {
		sum[i] = float64(x)
	}
	for _, s := range sides {
		in := len(s.A) / s.Rank
		for r := range len(s.B) / s.Rank {
			row := sum[r*in : (r+1)*in]
			for k := range s.Rank {
				b := float64(s.Scale) * float64(s.B[r*s.Rank+k])
				for j := range row {
					row[j] += float64(b * float64(s.A[k*in+j]))
				}
			}
		}
	}
	for i, x := range sum {
		out[i] = float32(x)
	}
	return out, nil
}
