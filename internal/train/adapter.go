package train

import (
	"math"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/nn"
)

// adapter is one linear layer's parametrisation: how its weight follows from
// the parameters, and how their gradients follow from the weight's.
type adapter[T nn.Float] interface {
	// params returns what is trained, in the order of the state.
	params() []*ParamOf[T]
	// view makes l, a copy of the given layer, the layer that passes use. It
	// stays valid as the parameters change. dense [out, in] is memory for the
	// layer's weight; nil if formed is false.
	view(l *nn.LinearOf[T], dense []T)
	// formed reports whether passes use a weight that merge must first form.
	formed() bool
	// sinks says where the layer's gradients go. g.Sides already has an entry
	// for every side of the given layer.
	sinks(pool *linalg.Pool, g *nn.LinearGradOf[T])
	// merge sets dst [out, in] to the weight that the layer is left with.
	merge(pool *linalg.Pool, dst []T)
}

// newAdapter returns nil for a frozen layer. plan has been checked.
func newAdapter[T nn.Float](plan LinearPlan, name string, number int, start starter, l *nn.LinearOf[T]) adapter[T] {
	if plan.Kind == Frozen {
		return nil
	}
	if plan.Kind == Full {
		data := append([]T(nil), l.W...)
		return &full[T]{w: newParam(name+".weight", data, l.Out, l.In), mask: plan.Mask, in: l.In}
	}
	f := factors[T]{out: l.Out, in: l.In, rank: plan.Rank, scale: T(plan.Scale), base: l.W, mask: plan.Mask}
	a, b := make([]T, plan.Rank*l.In), make([]T, l.Out*plan.Rank)
	if plan.Kind == ScaleLoRA {
		fill(a, T(1/math.Sqrt(float64(plan.Rank))))
		fill(b, a[0])
	} else {
		initA(start, a, name, number, l.In)
	}
	f.a = newParam(name+".lora_A", a, plan.Rank, l.In)
	f.b = newParam(name+".lora_B", b, l.Out, plan.Rank)
	switch plan.Kind {
	case LoRA:
		f.mask = nil
		return &lowRank[T]{f}
	case LoRAPrune:
		return &lowRank[T]{f}
	case MaskLoRA:
		return &maskedLowRank[T]{f}
	default:
		s := &scaledLowRank[T]{factors: f}
		one := make([]T, 1)
		nn.Gemm(nil, false, false, 1, 1, plan.Rank, 1, b[:plan.Rank], plan.Rank, a, l.In, 0, one, 1)
		s.shift = 1 - one[0]
		return s
	}
}

func fill[T nn.Float](x []T, v T) {
	for i := range x {
		x[i] = v
	}
}

// full trains the weight itself.
type full[T nn.Float] struct {
	w    *ParamOf[T]
	mask *mask.Mask // nil: all
	in   int
}

func (f *full[T]) params() []*ParamOf[T] { return []*ParamOf[T]{f.w} }
func (f *full[T]) formed() bool          { return false }

func (f *full[T]) view(l *nn.LinearOf[T], _ []T) { l.W = f.w.Data }

func (f *full[T]) sinks(pool *linalg.Pool, g *nn.LinearGradOf[T]) {
	if f.mask == nil {
		g.W = f.w.grad
		return
	}
	g.Weight = func(w []T) {
		overRowPieces(pool, len(w)/f.in, func(lo, hi int) {
			keepMasked(f.mask, w, f.in, lo, hi)
			for i := lo * f.in; i < hi*f.in; i++ {
				f.w.grad[i] += w[i]
			}
		})
	}
}

func (f *full[T]) merge(_ *linalg.Pool, dst []T) { copy(dst, f.w.Data) }

// factors is what the low-rank parametrisations share.
type factors[T nn.Float] struct {
	out, in, rank int
	scale         T
	base          []T // the given weight [out, in]
	mask          *mask.Mask
	a, b          *ParamOf[T]
}

func (f *factors[T]) params() []*ParamOf[T] { return []*ParamOf[T]{f.a, f.b} }

// rowPiece is how many rows of a weight one task forms: they stay in its cache
// while they are masked.
const rowPiece = 32

func overRowPieces(pool *linalg.Pool, rows int, f func(lo, hi int)) {
	pool.For((rows+rowPiece-1)/rowPiece, func(_, t int) { f(t*rowPiece, min(t*rowPiece+rowPiece, rows)) })
}

// product sets dst[lo:hi] to rows [lo, hi) of BA.
func (f *factors[T]) product(dst []T, lo, hi int) {
	nn.Gemm(nil, false, false, hi-lo, f.in, f.rank, 1, f.b.Data[lo*f.rank:], f.rank, f.a.Data, f.in, 0, dst[lo*f.in:], f.in)
}

// addMasked sets dst to W + s·(BA)⊙M. Where M drops, W keeps its value.
func (f *factors[T]) addMasked(pool *linalg.Pool, dst []T) {
	overRowPieces(pool, f.out, func(lo, hi int) {
		f.product(dst, lo, hi)
		keepMasked(f.mask, dst, f.in, lo, hi)
		d, w := dst[lo*f.in:hi*f.in], f.base[lo*f.in:hi*f.in]
		for i, v := range d {
			d[i] = w[i] + T(f.scale*v)
		}
	})
}

// fromWeight adds the gradients of A and B that follow from the one of BA,
// which is g [out, in] up to scale.
func (f *factors[T]) fromWeight(pool *linalg.Pool, g []T, scale T) {
	nn.Gemm(pool, false, true, f.out, f.rank, f.in, scale, g, f.in, f.a.Data, f.in, 1, f.b.grad, f.rank)
	nn.Gemm(pool, true, false, f.rank, f.in, f.out, scale, f.b.Data, f.rank, g, f.in, 1, f.a.grad, f.in)
}

// keepMasked multiplies rows [lo, hi) of x [rows, in] by the mask's 0 and 1. A
// branch on the mask's bits would be mispredicted at every other weight.
func keepMasked[T nn.Float](m *mask.Mask, x []T, in, lo, hi int) {
	bits, stride := m.Bytes(), (in+7)/8
	for r := lo; r < hi; r++ {
		row, b := x[r*in:(r+1)*in], bits[r*stride:(r+1)*stride]
		for len(row) >= 8 {
			v := uint(b[0])
			row[0] *= T(v & 1)
			row[1] *= T(v >> 1 & 1)
			row[2] *= T(v >> 2 & 1)
			row[3] *= T(v >> 3 & 1)
			row[4] *= T(v >> 4 & 1)
			row[5] *= T(v >> 5 & 1)
			row[6] *= T(v >> 6 & 1)
			row[7] *= T(v >> 7 & 1)
			row, b = row[8:], b[1:]
		}
		for i := range row {
			row[i] *= T(uint(b[0]) >> i & 1)
		}
	}
}

// lowRank is LoRA and LoRAPrune: a path beside the frozen weight, which needs
// no gradient of the weight's size.
type lowRank[T nn.Float] struct{ factors[T] }

func (f *lowRank[T]) formed() bool { return false }

func (f *lowRank[T]) view(l *nn.LinearOf[T], _ []T) {
	l.Sides = append(l.Sides[:len(l.Sides):len(l.Sides)], nn.SideOf[T]{A: f.a.Data, B: f.b.Data, Rank: f.rank, Scale: f.scale})
}

func (f *lowRank[T]) sinks(_ *linalg.Pool, g *nn.LinearGradOf[T]) {
	g.Sides = append(g.Sides, nn.SideGradOf[T]{A: f.a.grad, B: f.b.grad})
}

func (f *lowRank[T]) merge(pool *linalg.Pool, dst []T) {
	if f.mask != nil {
		f.addMasked(pool, dst)
		return
	}
	copy(dst, f.base)
	nn.Gemm(pool, false, false, f.out, f.in, f.rank, f.scale, f.b.Data, f.rank, f.a.Data, f.in, 1, dst, f.in)
}

// maskedLowRank is MaskLoRA.
type maskedLowRank[T nn.Float] struct{ factors[T] }

func (f *maskedLowRank[T]) formed() bool { return true }

func (f *maskedLowRank[T]) view(l *nn.LinearOf[T], dense []T) { l.W = dense }

func (f *maskedLowRank[T]) sinks(pool *linalg.Pool, g *nn.LinearGradOf[T]) {
	g.Weight = func(w []T) {
		overRowPieces(pool, f.out, func(lo, hi int) { keepMasked(f.mask, w, f.in, lo, hi) })
		f.fromWeight(pool, w, f.scale)
	}
}

func (f *maskedLowRank[T]) merge(pool *linalg.Pool, dst []T) { f.addMasked(pool, dst) }

// scaledLowRank is ScaleLoRA: W⊙(BA + shift). shift is what rounding leaves
// between BA and 1 at the start (0 for ranks 1, 4, 16, …; below 1e-6 else), so
// that every rank starts at exactly W.
type scaledLowRank[T nn.Float] struct {
	factors[T]
	shift T
}

func (f *scaledLowRank[T]) formed() bool { return true }

func (f *scaledLowRank[T]) view(l *nn.LinearOf[T], dense []T) { l.W = dense }

func (f *scaledLowRank[T]) sinks(pool *linalg.Pool, g *nn.LinearGradOf[T]) {
	g.Weight = func(w []T) {
		overRowPieces(pool, f.out, func(lo, hi int) {
			d, base := w[lo*f.in:hi*f.in], f.base[lo*f.in:hi*f.in]
			for i, v := range base {
				d[i] *= v
			}
		})
		f.fromWeight(pool, w, 1)
	}
}

func (f *scaledLowRank[T]) merge(pool *linalg.Pool, dst []T) {
	overRowPieces(pool, f.out, func(lo, hi int) {
		f.product(dst, lo, hi)
		d, base := dst[lo*f.in:hi*f.in], f.base[lo*f.in:hi*f.in]
		for i, v := range d {
			d[i] = base[i] * (v + f.shift)
		}
	})
}
