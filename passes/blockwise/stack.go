package blockwise

import (
	"fmt"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/stack"
	"github.com/compressc/compressc/internal/tensor"
)

// Leaves of a stack. All but the last have a row for each block, best first, so
// that fewer blocks are the leading rows and need not be stored.
const (
	signsLeaf       = ".stack.signs"  // U8 [blocks, out, ceil(in/8)]
	leftLeaf        = ".stack.left"   // F16 [blocks, rank, out]
	rightLeaf       = ".stack.right"  // F16 [blocks, rank, in]
	inputScalesLeaf = ".stack.scales" // F16 [in], not there where nothing is scaled
)

// PutStack stores a linear layer as a stack.
func PutStack(b *artifact.Builder, linear string, s *stack.Stack) {
	b.PutBytes(linear+signsLeaf, tensor.Meta{DType: tensor.U8, Shape: []int{s.Blocks, s.Out, (s.In + 7) / 8}}, s.Signs)
	putHalf(b, linear+leftLeaf, []int{s.Blocks, s.Rank, s.Out}, s.Left)
	putHalf(b, linear+rightLeaf, []int{s.Blocks, s.Rank, s.In}, s.Right)
	if s.Scales != nil {
		putHalf(b, linear+inputScalesLeaf, []int{s.In}, s.Scales)
	}
}

// ShareStack gives a linear layer the first blocks of the stack that v holds, or
// all where it holds no more, and returns how many. Nothing is stored.
func ShareStack(b *artifact.Builder, v *artifact.Value, linear string, blocks int) (int, error) {
	for _, leaf := range []string{signsLeaf, leftLeaf, rightLeaf} {
		e, err := v.Entry(linear + leaf)
		if err != nil {
			return 0, err
		}
		blocks = min(blocks, e.Meta.Shape[0])
		b.PutEntry(e.Leading(e.Name, blocks))
	}
	if v.Has(linear + inputScalesLeaf) {
		e, err := v.Entry(linear + inputScalesLeaf)
		if err != nil {
			return 0, err
		}
		b.PutEntry(e)
	}
	return blocks, nil
}

func stackShape(v *artifact.Value, linear string) (out, in int, err error) {
	s, err := openStackEntries(v, linear)
	if err != nil {
		return 0, 0, err
	}
	return s.Out, s.In, nil
}

// openStackEntries returns the stack without its numbers.
func openStackEntries(v *artifact.Value, linear string) (*stack.Stack, error) {
	signs, err := v.Entry(linear + signsLeaf)
	if err != nil {
		return nil, err
	}
	right, err := v.Entry(linear + rightLeaf)
	if err != nil {
		return nil, err
	}
	if len(signs.Meta.Shape) != 3 || len(right.Meta.Shape) != 3 {
		return nil, fmt.Errorf("blockwise: %s and %s are %v and %v; expected three dimensions", signs.Name, right.Name, signs.Meta, right.Meta)
	}
	return &stack.Stack{Blocks: signs.Meta.Shape[0], Out: signs.Meta.Shape[1], Rank: right.Meta.Shape[1], In: right.Meta.Shape[2]}, nil
}

func openStack(v *artifact.Value, linear string) (Coded, error) {
	s, err := openStackEntries(v, linear)
	if err != nil {
		return nil, err
	}
	if s.Signs, err = v.Bytes(linear + signsLeaf); err != nil {
		return nil, err
	}
	if s.Left, err = v.Float32(linear + leftLeaf); err != nil {
		return nil, err
	}
	if s.Right, err = v.Float32(linear + rightLeaf); err != nil {
		return nil, err
	}
	if v.Has(linear + inputScalesLeaf) {
		if s.Scales, err = v.Float32(linear + inputScalesLeaf); err != nil {
			return nil, err
		}
	}
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", linear, err)
	}
	return stacked{s}, nil
}

// stacked is a stack as a Coded.
type stacked struct{ *stack.Stack }

func (s stacked) put(b *artifact.Builder, linear string) error {
	PutStack(b, linear, s.Stack)
	return nil
}
