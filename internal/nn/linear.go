package nn

import "github.com/compressc/compressc/internal/linalg"

// SideOf is a low-rank path beside a linear layer: y += Scale·B·(A·x).
type SideOf[T Float] struct {
	A     []T // [Rank, in]
	B     []T // [out, Rank]
	Rank  int
	Scale T
}

// LinearOf is y = W·x + Σ sides + bias. Its slices are read, never written.
type LinearOf[T Float] struct {
	Out, In int
	W       []T // [Out, In]
	// Rows, where W is nil, sets dst to columns [lo, hi) of a row of W. Such a
	// layer can only go forward.
	Rows  func(dst []T, row, lo, hi int)
	Bias  []T // [Out], or nil
	Sides []SideOf[T]
}

// Linear and Side are the float32 forms, the ones models run in.
type (
	Linear = LinearOf[float32]
	Side   = SideOf[float32]
)

// forward sets y [rows, Out] to beta·y + the layer's output for x [rows, In].
// hidden receives A·x of each side, [rows, rank], one after the other; it is as
// long as hiddenLen says.
func (l *LinearOf[T]) forward(p *linalg.Pool, x []T, beta T, y []T, rows int, hidden []T) {
	if l.Rows != nil {
		gemmRows(p, rows, l.Out, l.In, x, l.In, l.Rows, beta, y, l.Out)
	} else {
		Gemm(p, false, true, rows, l.Out, l.In, 1, x, l.In, l.W, l.In, beta, y, l.Out)
	}
	l.hiddenForward(p, x, rows, hidden)
	for i := range l.Sides {
		s := &l.Sides[i]
		Gemm(p, false, true, rows, l.Out, s.Rank, s.Scale, hidden, s.Rank, s.B, s.Rank, 1, y, l.Out)
		hidden = hidden[rows*s.Rank:]
	}
	if l.Bias != nil {
		overRows(p, rows, func(lo, hi int) {
			for t := lo; t < hi; t++ {
				add(y[t*l.Out:(t+1)*l.Out], l.Bias)
			}
		})
	}
}

// hiddenForward sets hidden to A·x of each side.
func (l *LinearOf[T]) hiddenForward(p *linalg.Pool, x []T, rows int, hidden []T) {
	for i := range l.Sides {
		s := &l.Sides[i]
		Gemm(p, false, true, rows, s.Rank, l.In, 1, x, l.In, s.A, l.In, 0, hidden, s.Rank)
		hidden = hidden[rows*s.Rank:]
	}
}

// hiddenLen is the number of elements that forward writes to hidden.
func (l *LinearOf[T]) hiddenLen(rows int) int {
	n := 0
	for i := range l.Sides {
		n += rows * l.Sides[i].Rank
	}
	return n
}

// LinearGradOf says which gradients of a linear layer are wanted. Every non-nil
// slice is added to.
type LinearGradOf[T Float] struct {
	W    []T // [Out, In]
	Bias []T // [Out]
	// Sides, when not nil, has one entry for each side of the layer.
	Sides []SideGradOf[T]
	// Weight, when not nil, is called with dL/dW [Out, In] of this window alone.
	// g is scratch of the runner, valid during the call.
	Weight func(g []T)
}

// SideGradOf receives the gradients of a side; nil slices are not wanted.
type SideGradOf[T Float] struct {
	A []T // [Rank, in]
	B []T // [out, Rank]
}

// LinearGrad and SideGrad are the float32 forms.
type (
	LinearGrad = LinearGradOf[float32]
	SideGrad   = SideGradOf[float32]
)

// backward adds the wanted gradients to g (nil: none), and sets dx [rows, In]
// to beta·dx + dy·dy/dx. hidden is what forward wrote.
func (l *LinearOf[T]) backward(p *linalg.Pool, x, dy []T, rows int, hidden []T, g *LinearGradOf[T], beta T, dx []T, s *gradScratch[T]) {
	if g != nil {
		if g.W != nil {
			Gemm(p, true, false, l.Out, l.In, rows, 1, dy, l.Out, x, l.In, 1, g.W, l.In)
		}
		if g.Weight != nil {
			full := s.weight(l.Out * l.In)
			Gemm(p, true, false, l.Out, l.In, rows, 1, dy, l.Out, x, l.In, 0, full, l.In)
			g.Weight(full)
		}
		if g.Bias != nil {
			addColumnSums(p, g.Bias, dy, rows, l.Out)
		}
	}
	Gemm(p, false, false, rows, l.In, l.Out, 1, dy, l.Out, l.W, l.In, beta, dx, l.In)
	for i := range l.Sides {
		side := &l.Sides[i]
		r := side.Rank
		h := hidden[:rows*r]
		hidden = hidden[rows*r:]
		dh := s.side(rows * r)
		Gemm(p, false, false, rows, r, l.Out, side.Scale, dy, l.Out, side.B, r, 0, dh, r)
		if g != nil && g.Sides != nil {
			if b := g.Sides[i].B; b != nil {
				Gemm(p, true, false, l.Out, r, rows, side.Scale, dy, l.Out, h, r, 1, b, r)
			}
			if a := g.Sides[i].A; a != nil {
				Gemm(p, true, false, r, l.In, rows, 1, dh, r, x, l.In, 1, a, l.In)
			}
		}
		Gemm(p, false, false, rows, l.In, r, 1, dh, r, side.A, l.In, 1, dx, l.In)
	}
}

// gradScratch is grown on demand and kept.
type gradScratch[T Float] struct {
	full, low []T
}

func (s *gradScratch[T]) weight(n int) []T { return grown(&s.full, n) }
func (s *gradScratch[T]) side(n int) []T   { return grown(&s.low, n) }

// grown returns the first n elements of *buf, which it replaces if too short.
// What they hold is not defined.
func grown[T any](buf *[]T, n int) []T {
	if cap(*buf) < n {
		*buf = make([]T, n)
	}
	return (*buf)[:n]
}
