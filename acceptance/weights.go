package acceptance

import (
	"fmt"
	"os"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/passes/blockwise"
)

// readTensor reads one tensor of a checkpoint as float32.
func readTensor(cp *checkpoint.Checkpoint, name string) ([]float32, error) {
	x, ok := cp.Lookup(name)
	if !ok {
		return nil, fmt.Errorf("%s has no tensor %s: %w", cp.Path, name, os.ErrNotExist)
	}
	from := x
	if x.Fused != nil {
		from = x.Fused.Stored
	}
	f, err := os.Open(from.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, from.Length)
	if _, err := f.ReadAt(b, from.Offset); err != nil {
		return nil, err
	}
	if x.Fused != nil {
		b = checkpoint.Transposed(b, from.Meta, x.Fused.Part, x.Fused.Parts)
	}
	return artifact.DecodeFloat32(x.Meta, b)
}

// effective returns the weights [out, in] that a linear layer acts by, its side
// paths included.
func effective(pool *linalg.Pool, v *artifact.Value, linear string) ([]float32, error) {
	w, err := blockwise.Dense(v, linear)
	if err != nil {
		return nil, err
	}
	sides, err := blockwise.Sides(v, linear)
	if err != nil || len(sides) == 0 {
		return w, err
	}
	sum := widen(w)
	for _, s := range sides {
		in, out := len(s.A)/s.Rank, len(s.B)/s.Rank
		pool.Dgemm(false, false, out, in, s.Rank, float64(s.Scale), widen(s.B), s.Rank, widen(s.A), in, 1, sum, in)
	}
	effective := make([]float32, len(w))
	for i, x := range sum {
		effective[i] = float32(x)
	}
	return effective, nil
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
