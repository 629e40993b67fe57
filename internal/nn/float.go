package nn

import (
	"math"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
)

// Float is an element type that the decoder can be run in.
type Float interface{ float32 | float64 }

// Gemm is C = alpha·op(A)·op(B) + beta·C, row-major, in T's precision. A nil
// pool runs it serially, as inside a task.
func Gemm[T Float](p *linalg.Pool, tA, tB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
	switch a := any(a).(type) {
	case []float32:
		p.Sgemm(tA, tB, m, n, k, float32(alpha), a, lda, any(b).([]float32), ldb, float32(beta), any(c).([]float32), ldc)
	case []float64:
		p.Dgemm(tA, tB, m, n, k, float64(alpha), a, lda, any(b).([]float64), ldb, float64(beta), any(c).([]float64), ldc)
	}
}

// gemmRows is C = A·Bᵀ + beta·C with the rows of B [n, k] from a function.
// Float64 has none but float32's: it is for layers that are stored as codes.
func gemmRows[T Float](p *linalg.Pool, m, n, k int, a []T, lda int, b func(dst []T, row, lo, hi int), beta T, c []T, ldc int) {
	rows, ok := any(b).(func(dst []float32, row, lo, hi int))
	if !ok {
		panic("nn: layers in rows are float32")
	}
	p.SgemmRows(m, n, k, 1, any(a).([]float32), lda, rows, float32(beta), any(c).([]float32), ldc)
}

// expOf sets dst to e^x, element by element. dst may be x.
func expOf[T Float](dst, x []T) {
	switch x := any(x).(type) {
	case []float32:
		vmath.Exp(any(dst).([]float32), x)
	case []float64:
		d := any(dst).([]float64)
		for i, v := range x {
			d[i] = vmath.Exp64(v)
		}
	}
}

// expMinus sets dst to e^−x, element by element. dst is not x.
func expMinus[T Float](dst, x []T) {
	fill(dst, -1)
	multiply(dst, x)
	expOf(dst, dst)
}

// fill sets every element of x to v.
func fill[T Float](x []T, v T) {
	for i := range x[:min(len(x), 16)] {
		x[i] = v
	}
	for n := 16; n < len(x); n *= 2 {
		copy(x[n:], x[:n])
	}
}

// less sets dst to x − by, element by element. dst is not x.
func less[T Float](dst, x []T, by T) {
	fill(dst, -by)
	add(dst, x)
}

// maximum returns the largest of low and the elements of x. A NaN among them may be
// passed over: whoever adds up exponentials meets it there.
func maximum[T Float](x []T, low T) T {
	switch x := any(x).(type) {
	case []float32:
		return T(vmath.Max(x, float32(low)))
	case []float64:
		for _, v := range x {
			low = max(low, T(v))
		}
	}
	return low
}

// softmax replaces a row by its softmax.
func softmax[T Float](row []T) {
	switch row := any(row).(type) {
	case []float32:
		vmath.Softmax(row)
	case []float64:
		hi := math.Inf(-1)
		for _, v := range row {
			hi = max(hi, v)
		}
		var sum float64
		for i, v := range row {
			row[i] = vmath.Exp64(v - hi)
			sum += row[i]
		}
		for i := range row {
			row[i] /= sum
		}
	}
}

// silu sets dst to x·σ(x), element by element. dst may be x.
func silu[T Float](dst, x []T) {
	switch x := any(x).(type) {
	case []float32:
		vmath.SiLU(any(dst).([]float32), x)
	case []float64:
		d := any(dst).([]float64)
		for i, v := range x {
			d[i] = v / (1 + vmath.Exp64(-v))
		}
	}
}

// sigmoid sets dst to σ(x) = 1/(1+e^−x), element by element. dst is not x.
func sigmoid[T Float](dst, x []T) {
	expMinus(dst, x)
	for i, v := range dst[:len(x)] {
		dst[i] = 1 / (1 + v)
	}
}

// multiply is dst *= x, element by element.
func multiply[T Float](dst, x []T) {
	switch x := any(x).(type) {
	case []float32:
		vmath.Multiply(any(dst).([]float32), x)
	case []float64:
		d := any(dst).([]float64)
		for i, v := range x {
			d[i] *= v
		}
	}
}

// scaleGain sets y to (x·by)·gain, element by element. y may be x.
func scaleGain[T Float](y, x, gain []T, by T) {
	y, gain = y[:len(x)], gain[:len(x)]
	switch x := any(x).(type) {
	case []float32:
		vmath.ScaleGain(any(y).([]float32), x, any(gain).([]float32), float32(by))
	case []float64:
		y, gain := any(y).([]float64), any(gain).([]float64)
		for i, v := range x {
			y[i] = float64(v*float64(by)) * gain[i]
		}
	}
}

// gateGradient goes back through silu(gate)·up: it replaces dMid, the gradient at
// the product, by the one at up, and sets dGate. e, which is scratch, is as long.
func gateGradient[T Float](dMid, dGate, gate, up, e []T) {
	expMinus(e, gate)
	switch e := any(e).(type) {
	case []float32:
		vmath.GateGradient(any(dMid).([]float32), any(dGate).([]float32), any(gate).([]float32), any(up).([]float32), e)
	case []float64:
		dm, dg, zs, us := any(dMid).([]float64), any(dGate).([]float64), any(gate).([]float64), any(up).([]float64)
		for i, v := range e {
			s, m, z := 1/(1+v), dm[i], zs[i]
			dg[i] = float64(m*us[i]) * float64(s*(1+float64(z*(1-s))))
			dm[i] = m * float64(z*s)
		}
	}
}

// sumSq returns Σ x² in float64, in a fixed order.
func sumSq[T Float](x []T) float64 { return dot(x, x) }

// dot returns Σ a·b in float64, in a fixed order.
func dot[T Float](a, b []T) float64 {
	b = b[:len(a)]
	switch a := any(a).(type) {
	case []float32:
		return vmath.Dot(a, any(b).([]float32))
	case []float64:
		b := any(b).([]float64)
		var s float64
		for i, v := range a {
			s += float64(v * b[i])
		}
		return s
	}
	panic("unreachable")
}

// Sum returns Σ x in float64, in a fixed order.
func Sum[T Float](x []T) float64 {
	switch x := any(x).(type) {
	case []float32:
		return vmath.Sum(x)
	case []float64:
		var s float64
		for _, v := range x {
			s += v
		}
		return s
	}
	panic("unreachable")
}

// add is dst += x.
func add[T Float](dst, x []T) {
	x = x[:len(dst)]
	switch x := any(x).(type) {
	case []float32:
		vmath.AddScaled(any(dst).([]float32), x, 1)
	case []float64:
		d := any(dst).([]float64)
		for i, v := range x {
			d[i] += v
		}
	}
}

// rowChunk is how many rows one task of an element-wise pass takes: long enough
// to hide the hand-out, short enough to balance.
const rowChunk = 16

// overRows runs f over [lo, hi) pieces of rows. f must treat each row by itself.
func overRows(p *linalg.Pool, rows int, f func(lo, hi int)) {
	p.For((rows+rowChunk-1)/rowChunk, func(_, t int) {
		f(t*rowChunk, min(t*rowChunk+rowChunk, rows))
	})
}

// columnChunk is how many columns one task of a sum over rows takes.
const columnChunk = 64

// addColumnSums is dst[j] += Σ_t x[t, j], t ascending.
func addColumnSums[T Float](p *linalg.Pool, dst, x []T, rows, width int) {
	p.For((width+columnChunk-1)/columnChunk, func(_, c int) {
		lo, hi := c*columnChunk, min(c*columnChunk+columnChunk, width)
		d := dst[lo:hi]
		for t := range rows {
			add(d, x[t*width+lo:t*width+hi])
		}
	})
}
