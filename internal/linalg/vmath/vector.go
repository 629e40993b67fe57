package vmath

import (
	"math"
	"sync"
	"unsafe"
)

//go:generate go run gen/main.go
//go:generate go run gen/neon/main.go gen/neon/grids.go

// vectorStep is the number of elements that the vector loops take at a time.
const vectorStep = 16

// table holds the loops of one kernel path over n elements, n a positive multiple
// of vectorStep.
type table struct {
	exp, silu, gelu func(n int, dst, x *float32)
	// expShift replaces x by e^(x-top) and adds the results to lanes.
	expShift func(n int, x *float32, top float64, lanes *[lanes]float64)
	scale    func(n int, x *float32, by float64)
	// maximum returns the largest of low and the elements that are no NaN.
	maximum func(n int, x *float32, low float32) float32
	dot     func(n int, a, b *float32, lanes *[lanes]float64)

	addTo func(n int, sum *float64, x *float32)
	// moments goes over vectorStep columns of rows rows, ld apart.
	moments   func(rows int, x *float32, ld int, acc *[4 * vectorStep]float64)
	keep      func(n int, x *float32, bits *byte)
	addScaled func(n int, x, base *float32, by float32)

	freeze, freezeGrid   func(p *Panel, from, to, width int, u *float64, ld int, inv *float64)
	descend, descendGrid func(p *Panel, width int, h *float64, ld int)

	elements elementTable
	deltas   deltaTable
	grids    gridTable
}

// elementTable are the loops of elements.go.
type elementTable struct {
	multiply           func(n int, dst, x *float32)
	scaleGain          func(n int, y, x, gain *float32, by float32)
	rotate, rotateBack func(n int, a, b, cos, sin *float32)
	gateGradient       func(n int, dMid, dGate, gate, up, e *float32)
}

// deltaTable are the loops of deltas.go.
type deltaTable struct {
	difference func(n int, dst *float64, x, y *float32)
	magnitudes func(n int, dst *uint32, x, y *float32)
	// between writes up to vectorStep elements behind those that it keeps: what is
	// above over and not above hi. x are magnitudes.
	between       func(n int, dst, x *uint32, over, hi int32) (kept, above int)
	keepOver      func(n int, x *float64, over int32)
	keepBelow     func(n int, x *float64, draws *uint32, limit uint32)
	addProduct    func(n int, sum *float64, by float64, x *float64)
	addAgreeing   func(n int, sum, weights, x, vote *float64, by, weight float64)
	divideBy      func(n int, x, by *float64)
	roundSum      func(n int, dst, base *float32, by float64, x *float64)
	roundSumWhere func(n int, dst, base *float32, by float64, x, count *float64, least float64)
	countLarger   func(n int, count, x, all *float64, by float64)
	countEqual    func(n int, x *float64, v float64) int
}

var goTable = table{expGo, siluGo, geluGo, expShiftGo, scaleGo, maximumGo, dotGo, addToGo, momentsGo, keepGo, addScaledGo,
	freezeGo, freezeGridGo, descendGo, descendGridGo, goElements, goDeltas, goGrids}

var goElements = elementTable{multiplyGo, scaleGainGo, rotateGo, rotateBackGo, gateGradientGo}

var goDeltas = deltaTable{differenceGo, magnitudesGo, betweenGo, keepOverGo, keepBelowGo, addProductGo, addAgreeingGo, divideByGo,
	roundSumGo, roundSumWhereGo, countLargerGo, countEqualGo}

func expGo(n int, dst, x *float32) {
	d, s := unsafe.Slice(dst, n), unsafe.Slice(x, n)
	for i, v := range s {
		d[i] = Exp32(v)
	}
}

func siluGo(n int, dst, x *float32) {
	d, s := unsafe.Slice(dst, n), unsafe.Slice(x, n)
	for i, v := range s {
		d[i] = SiLU32(v)
	}
}

func geluGo(n int, dst, x *float32) {
	d, s := unsafe.Slice(dst, n), unsafe.Slice(x, n)
	for i, v := range s {
		d[i] = GELUTanh32(v)
	}
}

func expShiftGo(n int, x *float32, top float64, l *[lanes]float64) {
	s := unsafe.Slice(x, n)
	for i, v := range s {
		e := float32(exp37(float64(v) - top))
		s[i] = e
		l[i%lanes] += float64(e)
	}
}

func scaleGo(n int, x *float32, by float64) {
	s := unsafe.Slice(x, n)
	for i, v := range s {
		s[i] = float32(float64(v) * by)
	}
}

func maximumGo(n int, x *float32, low float32) float32 {
	for _, v := range unsafe.Slice(x, n) {
		if v > low {
			low = v
		}
	}
	return low
}

func dotGo(n int, a, b *float32, l *[lanes]float64) {
	x, y := unsafe.Slice(a, n), unsafe.Slice(b, n)
	for ; len(x) >= lanes; x, y = x[lanes:], y[lanes:] {
		x, y := (*[lanes]float32)(x), (*[lanes]float32)(y)
		l[0] += float64(float64(x[0]) * float64(y[0]))
		l[1] += float64(float64(x[1]) * float64(y[1]))
		l[2] += float64(float64(x[2]) * float64(y[2]))
		l[3] += float64(float64(x[3]) * float64(y[3]))
		l[4] += float64(float64(x[4]) * float64(y[4]))
		l[5] += float64(float64(x[5]) * float64(y[5]))
		l[6] += float64(float64(x[6]) * float64(y[6]))
		l[7] += float64(float64(x[7]) * float64(y[7]))
	}
}

// Exp sets dst[i] = Exp32(x[i]).
func Exp(dst, x []float32) { mapped(active().exp, dst, x) }

// SiLU sets dst[i] = SiLU32(x[i]).
func SiLU(dst, x []float32) { mapped(active().silu, dst, x) }

// GELUTanh sets dst[i] = GELUTanh32(x[i]).
func GELUTanh(dst, x []float32) { mapped(active().gelu, dst, x) }

// GELU sets dst[i] = GELU32(x[i]).
func GELU(dst, x []float32) {
	same(len(dst), len(x))
	for i, v := range x {
		dst[i] = GELU32(v)
	}
}

func mapped(f func(n int, dst, x *float32), dst, x []float32) {
	same(len(dst), len(x))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		f(n, &dst[0], &x[0])
	}
	if n < len(x) {
		var pad [vectorStep]float32
		copy(pad[:], x[n:])
		f(vectorStep, &pad[0], &pad[0])
		copy(dst[n:], pad[:])
	}
}

// Max returns the largest of low and the elements of x that are no NaN. Of zeros it
// may be either.
func Max(x []float32, low float32) float32 {
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		low = active().maximum(n, &x[0], low)
	}
	for _, v := range x[n:] {
		if v > low {
			low = v
		}
	}
	return low
}

// softmaxRow is what Softmax works in. It would be on the heap in every call, as
// the functions of a table are not known to leave it alone.
type softmaxRow struct {
	pad  [vectorStep]float32
	sums [lanes]float64
}

var softmaxScratch = sync.Pool{New: func() any { return new(softmaxRow) }}

// Softmax overwrites row with e^(x-max)/Σ e^(x-max): exponentials rounded to
// float32, their sum in eight float64 lanes, one rounding per quotient (error
// below 1.1 ulp). A row of -Inf only, or one with a NaN or +Inf, becomes NaN.
func Softmax(row []float32) {
	if len(row) == 0 {
		return
	}
	t := active()
	n := len(row) &^ (vectorStep - 1)
	low := float32(math.Inf(-1))
	if n > 0 {
		low = t.maximum(n, &row[0], low)
	}
	z := softmaxScratch.Get().(*softmaxRow)
	defer softmaxScratch.Put(z)
	pad := &z.pad
	for i := range pad { // e^(-Inf) adds nothing to any lane
		pad[i] = float32(math.Inf(-1))
	}
	rest := pad[:copy(pad[:], row[n:])]
	if len(rest) > 0 {
		low = t.maximum(vectorStep, &pad[0], low)
	}
	top := float64(low)
	if math.IsInf(top, 0) {
		// No exponential is finite and positive, or a NaN is ignored by the
		// maximum: every element is NaN, those of the padding too.
		for i := range row {
			row[i] = float32(math.NaN())
		}
		return
	}
	z.sums = [lanes]float64{}
	if n > 0 {
		t.expShift(n, &row[0], top, &z.sums)
	}
	if len(rest) > 0 {
		t.expShift(vectorStep, &pad[0], top, &z.sums)
	}
	inv := 1 / total(&z.sums)
	if n > 0 {
		t.scale(n, &row[0], inv)
	}
	if len(rest) > 0 {
		t.scale(vectorStep, &pad[0], inv)
		copy(row[n:], rest)
	}
}

func same(a, b int) {
	if a != b {
		panic("vmath: slices differ in length")
	}
}
