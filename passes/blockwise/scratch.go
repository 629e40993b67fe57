package blockwise

import (
	"fmt"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/nn"
)

// Scratch is memory that weights are decoded into, to be used again by the next
// layer, block or action: what it returns is valid until Give and must not become
// a leaf. Weights that lie as float32 are views, as everywhere. The zero value is
// ready; a nil Scratch leaves what it decodes to the garbage collector. It serves
// one goroutine at a time.
type Scratch struct{ lent linalg.Lent[float32] }

// Give hands the memory back. The scratch may be used again.
func (s *Scratch) Give() { s.lent.Give() }

// take returns n elements with anything in them.
func (s *Scratch) take(n int) []float32 {
	if s == nil {
		return make([]float32, n)
	}
	return s.lent.Take(n)
}

// holds reports whether x is what take returned.
func (s *Scratch) holds(x []float32) bool { return len(x) > 0 && s.lent.Holds(x) }

// float32s is v.Float32 with the decoded elements in the scratch.
func (s *Scratch) float32s(v *artifact.Value, name string) ([]float32, error) {
	e, err := v.Entry(name)
	if err != nil {
		return nil, err
	}
	b, err := v.Bytes(name)
	if err != nil {
		return nil, err
	}
	x, err := artifact.DecodeFloat32In(e.Meta, b, s.take)
	if err != nil {
		return nil, fmt.Errorf("blockwise: %s: %w", name, err)
	}
	return x, nil
}

// Dense is the function Dense with what must be decoded in the scratch.
func (s *Scratch) Dense(v *artifact.Value, linear string) ([]float32, error) {
	f, err := formOf(v, linear)
	if err != nil {
		return nil, err
	}
	if f.open == nil {
		return s.float32s(v, linear+f.marker)
	}
	out, in, err := f.shape(v, linear)
	if err != nil {
		return nil, err
	}
	c, err := f.open(v, linear)
	if err != nil {
		return nil, err
	}
	w := s.take(out * in)
	c.Decode(w)
	return w, nil
}

// Load is the function Load with what must be decoded in the scratch.
func (s *Scratch) Load(c *arch.Config, v *artifact.Value) (*nn.Block, error) {
	return s.load(c, v, func(lin string) ([]float32, error) { return s.Dense(v, lin) })
}

// LoadForward is the function LoadForward with what must be decoded in the scratch.
func (s *Scratch) LoadForward(c *arch.Config, v *artifact.Value) (*nn.Block, error) {
	codes := map[string]*grid.Quantized{}
	b, err := s.load(c, v, func(lin string) ([]float32, error) {
		if !IsQuantized(v, lin) {
			return s.Dense(v, lin)
		}
		var err error
		codes[lin], err = Quantized(v, lin)
		return nil, err
	})
	if err != nil {
		return nil, err
	}
	for name, q := range codes {
		Lin(b, name).Rows = q.Row
	}
	return b, nil
}

// load opens a block; weights returns those of a linear layer, or nil.
func (s *Scratch) load(c *arch.Config, v *artifact.Value, weights func(linear string) ([]float32, error)) (*nn.Block, error) {
	b, err := nn.LoadBlock(c, 0, func(name string) ([]float32, error) {
		if lin, ok := cutWeight(c, name); ok {
			return weights(lin)
		}
		return v.Float32(name)
	})
	if err != nil {
		return nil, err
	}
	for _, l := range c.Linears() {
		if Lin(b, l.Name).Sides, err = s.sides(v, l.Name); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// sides is the function Sides with transposed matrices in the scratch.
func (s *Scratch) sides(v *artifact.Value, linear string) ([]nn.Side, error) {
	var out []nn.Side
	for i := range SideCount(v, linear) {
		e, err := v.Entry(sideLeaf(linear, i, "A"))
		if err != nil {
			return nil, err
		}
		side := nn.Side{Rank: e.Meta.Shape[0], Scale: 1}
		if side.A, err = s.float32s(v, e.Name); err != nil {
			return nil, err
		}
		bt, err := s.float32s(v, sideLeaf(linear, i, "BT"))
		if err != nil {
			return nil, err
		}
		side.B = s.take(len(bt))
		transpose(side.B, bt, side.Rank, len(bt)/side.Rank)
		out = append(out, side)
	}
	return out, nil
}
