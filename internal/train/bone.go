package train

import (
	"fmt"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/nn"
)

func countBone(p LinearPlan, out, _ int) int64 { return int64(p.Rank) * int64(out) }

// newBone is BoneAdditive: y = Wx + D·Σ_i x_(i), where x is cut into pieces of
// rank values, the last one filled up with zeros. That is a low-rank update
// whose A folds x and stands still, and whose B is D [out, rank].
func newBone[T nn.Float](s site[T]) adapter[T] {
	l, r := s.layer, s.plan.Rank
	f := factors[T]{out: l.Out, in: l.In, rank: r, scale: 1, base: l.W, mask: s.plan.Mask,
		b: newParam(s.name+".bone", make([]T, l.Out*r), l.Out, r)}
	fold := make([]T, r*l.In)
	for j := range l.In {
		fold[j%r*l.In+j] = 1
	}
	f.a = &ParamOf[T]{Data: fold}
	return &folded[T]{lowRankOf(f), f}
}

// folded is a low-rank update of which only B is trained.
type folded[T nn.Float] struct {
	adapter[T]
	f factors[T]
}

func (f *folded[T]) params() []*ParamOf[T] { return []*ParamOf[T]{f.f.b} }
func (f *folded[T]) low() *factors[T]      { return &f.f }

// affine is BoneAffine. B is stored as the blocks B_o [r, r], one after another.
type affine[T nn.Float] struct {
	direct
	out, in, r int
	base       []T
	mask       *mask.Mask // nil: all
	b          *ParamOf[T]
}

func checkAffine(p LinearPlan, out, in int) error {
	if p.Rank < 1 || out%p.Rank != 0 || in%p.Rank != 0 {
		return fmt.Errorf("block of %d does not divide a weight of [%d, %d]", p.Rank, out, in)
	}
	return nil
}

func newAffine[T nn.Float](s site[T]) adapter[T] {
	l, r := s.layer, s.plan.Rank
	return &affine[T]{out: l.Out, in: l.In, r: r, base: l.W, mask: s.plan.Mask,
		b: newParam(s.name+".bone", make([]T, l.Out*r), l.Out/r, r, r)}
}

func (a *affine[T]) params() []*ParamOf[T] { return []*ParamOf[T]{a.b} }
func (a *affine[T]) formed() bool          { return true }

func (a *affine[T]) view(l *nn.LinearOf[T], dense []T) { l.W = dense }

// merge goes over blocks of rows. The pieces of r columns of a block's rows are
// the rows of a matrix [in, r] in the same memory, so that one product with B_o
// makes all of them.
func (a *affine[T]) merge(pool *linalg.Pool, dst []T) {
	r, n := a.r, a.r*a.in
	pool.For(a.out/r, func(_, o int) {
		w, d, b := a.base[o*n:(o+1)*n], dst[o*n:(o+1)*n], a.b.Data[o*r*r:(o+1)*r*r]
		nn.Gemm(nil, false, false, a.in, r, r, 1, w, r, b, r, 0, d, r)
		for p := range r {
			row := b[p*r : (p+1)*r]
			for j := p * a.in; j < (p+1)*a.in; j += r {
				for k, v := range row {
					d[j+k] += v
				}
			}
		}
		if a.mask != nil {
			keepMasked(a.mask, dst, a.in, o*r, (o+1)*r)
		}
		for i, v := range w {
			d[i] += v
		}
	})
}

// sinks: dB_o = Σ_i (W_oiᵀ + I)·G_oi.
func (a *affine[T]) sinks(pool *linalg.Pool, g *nn.LinearGradOf[T]) {
	r, n := a.r, a.r*a.in
	g.Weight = func(full []T) {
		pool.For(a.out/r, func(_, o int) {
			if a.mask != nil {
				keepMasked(a.mask, full, a.in, o*r, (o+1)*r)
			}
			w, x, b := a.base[o*n:(o+1)*n], full[o*n:(o+1)*n], a.b.grad[o*r*r:(o+1)*r*r]
			nn.Gemm(nil, true, false, r, r, a.in, 1, w, r, x, r, 1, b, r)
			for p := range r {
				row := b[p*r : (p+1)*r]
				for j := p * a.in; j < (p+1)*a.in; j += r {
					for k := range row {
						row[k] += x[j+k]
					}
				}
			}
		})
	}
}
