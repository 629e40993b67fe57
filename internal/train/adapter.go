package train

import (
	"math"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
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
	dependent
}

// dependent is what passes use and parameters determine.
type dependent interface {
	// derive brings it up to date.
	derive()
	// reset clears its gradients, and chain adds what follows from them to the
	// parameters', once a batch.
	reset()
	chain()
}

// direct is embedded by parametrisations whose passes use the parameters
// themselves.
type direct struct{}

func (direct) derive() {}
func (direct) reset()  {}
func (direct) chain()  {}

// site is a linear layer that is to be trained.
type site[T nn.Float] struct {
	plan   LinearPlan
	name   string // path of the layer, under which its parameters are named
	number int    // through the model, in checkpoint order
	start  starter
	layer  *nn.LinearOf[T]
	shared shared[T]
}

// shared are the parameters that several layers of a trainer have in common, by
// name.
type shared[T nn.Float] map[string]*ParamOf[T]

// form is a parametrisation as a plug-in: a line in forms.
type form struct {
	// ranked: the plan's Rank is that of a product of two matrices, and at most
	// the smaller side of the weight.
	ranked bool
	// scaled: the plan has a Scale above 0; it has none otherwise.
	scaled bool
	// mask says whether the plan needs a mask.
	mask maskUse
	// check reports what else is impossible.
	check func(p LinearPlan, out, in int) error
	// trained counts the values that are trained for one layer alone.
	trained func(p LinearPlan, out, in int) int64
	// formed reports whether passes use a weight that must first be formed.
	formed func(p LinearPlan) bool
	new32  func(site[float32]) adapter[float32]
	new64  func(site[float64]) adapter[float64]
}

type maskUse int

const (
	maskOptional maskUse = iota
	maskNeeded
	maskIgnored
)

// forms are all parametrisations but Frozen.
var forms map[Kind]form

func init() { // they refer to themselves by the plans that they check
	forms = map[Kind]form{
		Full:         {trained: countFull, formed: never, new32: newFull[float32], new64: newFull[float64]},
		LoRA:         {ranked: true, scaled: true, mask: maskIgnored, trained: countFactors, formed: never, new32: newLoRA[float32], new64: newLoRA[float64]},
		LoRAPrune:    {ranked: true, scaled: true, mask: maskNeeded, trained: countFactors, formed: never, new32: newLoRAPrune[float32], new64: newLoRAPrune[float64]},
		MaskLoRA:     {ranked: true, scaled: true, mask: maskNeeded, trained: countFactors, formed: always, new32: newMaskLoRA[float32], new64: newMaskLoRA[float64]},
		ScaleLoRA:    {ranked: true, mask: maskIgnored, trained: countFactors, formed: always, new32: newScaleLoRA[float32], new64: newScaleLoRA[float64]},
		AdaLoRA:      {ranked: true, scaled: true, trained: countTriplets, formed: masked, new32: newTriplets[float32], new64: newTriplets[float64]},
		BoneAdditive: {ranked: true, trained: countBone, formed: masked, new32: newBone[float32], new64: newBone[float64]},
		BoneAffine:   {trained: countBone, check: checkAffine, formed: always, new32: newAffine[float32], new64: newAffine[float64]},
		Compacter:    {trained: countKronecker, check: checkKronecker, formed: masked, new32: newKronecker[float32], new64: newKronecker[float64]},
	}
}

func never(LinearPlan) bool    { return false }
func always(LinearPlan) bool   { return true }
func masked(p LinearPlan) bool { return p.Mask != nil }

func countFull(_ LinearPlan, out, in int) int64    { return int64(out) * int64(in) }
func countFactors(p LinearPlan, out, in int) int64 { return int64(p.Rank) * int64(out+in) }

// Trained is how many values are trained for a layer of [out, in] alone.
func (p LinearPlan) Trained(out, in int) int64 {
	if p.Kind == Frozen {
		return 0
	}
	return forms[p.Kind].trained(p, out, in)
}

// Masks reports whether a layer's mask belongs into its plan whatever its
// caller wishes.
func (k Kind) Masks() bool { return k == Full || forms[k].mask == maskNeeded }

// newAdapter returns nil for a frozen layer. The plan has been checked.
func newAdapter[T nn.Float](s site[T]) adapter[T] {
	if s.plan.Kind == Frozen {
		return nil
	}
	f := forms[s.plan.Kind]
	var a any
	switch s := any(s).(type) {
	case site[float32]:
		a = f.new32(s)
	case site[float64]:
		a = f.new64(s)
	}
	return a.(adapter[T])
}

func newFull[T nn.Float](s site[T]) adapter[T] {
	data := append([]T(nil), s.layer.W...)
	return &full[T]{w: newParam(s.name+".weight", data, s.layer.Out, s.layer.In), mask: s.plan.Mask, in: s.layer.In}
}

// newFactors are those of a plan with A as it starts and B at 0.
func newFactors[T nn.Float](s site[T]) factors[T] {
	l, rank := s.layer, s.plan.Rank
	f := factors[T]{out: l.Out, in: l.In, rank: rank, scale: T(s.plan.Scale), base: l.W, mask: s.plan.Mask}
	f.a = newParam(s.name+".lora_A", make([]T, rank*l.In), rank, l.In)
	f.b = newParam(s.name+".lora_B", make([]T, l.Out*rank), l.Out, rank)
	if s.plan.Kind != ScaleLoRA {
		initA(s.start, f.a.Data, s.name, s.number, l.In)
	}
	return f
}

// lowRankOf puts factors into a path beside the weight or, where there is a
// mask, into the weight.
func lowRankOf[T nn.Float](f factors[T]) adapter[T] {
	if f.mask != nil {
		return &maskedLowRank[T]{factors: f}
	}
	return &lowRank[T]{factors: f}
}

func newLoRA[T nn.Float](s site[T]) adapter[T] {
	f := newFactors(s)
	f.mask = nil
	return &lowRank[T]{factors: f}
}

func newLoRAPrune[T nn.Float](s site[T]) adapter[T] { return &lowRank[T]{factors: newFactors(s)} }

func newMaskLoRA[T nn.Float](s site[T]) adapter[T] { return &maskedLowRank[T]{factors: newFactors(s)} }

func newScaleLoRA[T nn.Float](s site[T]) adapter[T] {
	f := &scaledLowRank[T]{factors: newFactors(s)}
	a, b := f.a.Data, f.b.Data
	fill(a, T(1/math.Sqrt(float64(f.rank))))
	fill(b, a[0])
	one := make([]T, 1)
	nn.Gemm(nil, false, false, 1, 1, f.rank, 1, b[:f.rank], f.rank, a, f.in, 0, one, 1)
	f.shift = 1 - one[0]
	return f
}

func fill[T nn.Float](x []T, v T) {
	for i := range x {
		x[i] = v
	}
}

// full trains the weight itself.
type full[T nn.Float] struct {
	direct
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
		addScaled(dst[lo*f.in:hi*f.in], f.base[lo*f.in:hi*f.in], f.scale)
	})
}

// addScaled sets x to base + by·x, product and sum rounded.
func addScaled[T nn.Float](x, base []T, by T) {
	switch x := any(x).(type) {
	case []float32:
		vmath.AddScaled(x, any(base).([]float32), float32(by))
	case []float64:
		base := any(base).([]float64)
		for i, v := range x {
			x[i] = base[i] + float64(float64(by)*v)
		}
	}
}

// fromWeight adds the gradients of A and B that follow from the one of BA,
// which is g [out, in] up to scale.
func (f *factors[T]) fromWeight(pool *linalg.Pool, g []T, scale T) {
	nn.Gemm(pool, false, true, f.out, f.rank, f.in, scale, g, f.in, f.a.Data, f.in, 1, f.b.grad, f.rank)
	if f.a.grad != nil {
		nn.Gemm(pool, true, false, f.rank, f.in, f.out, scale, f.b.Data, f.rank, g, f.in, 1, f.a.grad, f.in)
	}
}

// keepMasked multiplies rows [lo, hi) of x [rows, in] by the mask's 0 and 1.
func keepMasked[T nn.Float](m *mask.Mask, x []T, in, lo, hi int) {
	bits, stride := m.Bytes(), (in+7)/8
	for r := lo; r < hi; r++ {
		b := bits[r*stride : (r+1)*stride]
		switch row := any(x[r*in : (r+1)*in]).(type) {
		case []float32:
			vmath.Keep(row, b)
		case []float64:
			for i := range row {
				row[i] *= float64(b[i/8] >> (i % 8) & 1)
			}
		}
	}
}

// lowRank is LoRA and LoRAPrune: a path beside the frozen weight, which needs
// no gradient of the weight's size.
type lowRank[T nn.Float] struct {
	direct
	factors[T]
}

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
type maskedLowRank[T nn.Float] struct {
	direct
	factors[T]
}

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
	direct
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
