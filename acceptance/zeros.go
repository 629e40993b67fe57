package acceptance

import (
	"context"

	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes/blockwise"
)

// ZeroCount is what counting weights at one stage, or in one file, found.
type ZeroCount struct {
	Layers         int
	Weights, Zeros int64
	// Filled weights were dropped by the pruner and are not zero; Broken groups
	// of four have fewer than two zeros.
	Filled, Broken int64
}

// Kept reports whether every dropped weight is zero and 2:4 in place.
func (z ZeroCount) Kept() bool { return z.Layers > 0 && z.Filled == 0 && z.Broken == 0 }

// Share is the share of weights that are zero.
func (z ZeroCount) Share() float64 { return float64(z.Zeros) / float64(z.Weights) }

// add counts one layer's weights, rows in multiples of four.
func (z *ZeroCount) add(w []float32) {
	z.Layers++
	z.Weights += int64(len(w))
	for i := 0; i+4 <= len(w); i += 4 {
		n := 0
		for _, x := range w[i : i+4] {
			if x == 0 {
				n++
			}
		}
		z.Zeros += int64(n)
		if n < 2 {
			z.Broken++
		}
	}
}

// CountZeros counts in the linears of the first blocks of a stage's model, side
// paths left aside, and compares with the masks that a pruner made. It brings
// the blocks about first.
func (s *Session) CountZeros(ctx context.Context, pruner, stage string, blocks int) (ZeroCount, error) {
	var z ZeroCount
	m, err := s.Model(pruner)
	if err != nil {
		return z, err
	}
	for b := range blocks {
		if err := s.countBlock(ctx, &z, pruner, stage, b, m.Type.Block(b)); err != nil {
			return z, err
		}
	}
	return z, nil
}

func (s *Session) countBlock(ctx context.Context, z *ZeroCount, pruner, stage string, b int, layers []*model.Linear) error {
	masks, done, err := s.Block(ctx, pruner, b)
	if err != nil {
		return err
	}
	defer done()
	v, release, err := s.Block(ctx, stage, b)
	if err != nil {
		return err
	}
	defer release()
	for _, l := range layers {
		w, err := blockwise.Dense(v, l.Name)
		if err != nil {
			return err
		}
		m, err := blockwise.Mask(masks, l.Name)
		if err != nil {
			return err
		}
		for i, x := range w {
			if x != 0 && !m.Keep(i/l.In, i%l.In) {
				z.Filled++
			}
		}
		z.add(w)
	}
	return nil
}
