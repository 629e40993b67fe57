package nn

import (
	"math"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
)

// ropeTable holds cos and sin of every position's angles, [positions, headDim/2].
type ropeTable[T Float] struct {
	half      int
	positions int
	inv       []float32 // frequencies, [half]
	cos, sin  []T
}

// newRopeTable computes the frequencies. They and the angles are rounded to
// float32 as transformers does it (modeling_rope_utils.py): models were trained
// with those, and the exact ones differ by 3e-5 rad at position 500.
func newRopeTable[T Float](c *arch.Config) *ropeTable[T] {
	r := &ropeTable[T]{half: c.HeadDim / 2}
	r.inv = make([]float32, r.half)
	for i := range r.inv {
		e := float64(float32(2*i) / float32(c.HeadDim))
		inv := 1 / float32(vmath.Pow64(c.RopeTheta, e))
		if s := c.RopeScaling; s != nil {
			inv = scaleFrequency(inv, s)
		}
		r.inv[i] = inv
	}
	return r
}

// scaleFrequency applies linear or Llama-3 scaling: the latter leaves short
// wavelengths alone, divides long ones by the factor and blends between.
func scaleFrequency(inv float32, s *arch.RopeScaling) float32 {
	scaled := inv / float32(s.Factor)
	if s.Type == "linear" {
		return scaled
	}
	length := 2 * math.Pi / float64(inv)
	original := float64(s.Original)
	switch {
	case length < original/s.High:
		return inv
	case length > original/s.Low:
		return scaled
	}
	blend := (original/length - s.Low) / (s.High - s.Low)
	return float32(float64((1-blend)*float64(scaled)) + float64(blend*float64(inv)))
}

// grow makes the table hold at least n positions.
func (r *ropeTable[T]) grow(p *linalg.Pool, n int) {
	if n <= r.positions {
		return
	}
	cos, sin := make([]T, n*r.half), make([]T, n*r.half)
	copy(cos, r.cos)
	copy(sin, r.sin)
	from := r.positions
	overRows(p, n-from, func(lo, hi int) {
		for t := from + lo; t < from+hi; t++ {
			for i, inv := range r.inv {
				angle := float64(inv * float32(t))
				cos[t*r.half+i] = T(vmath.Cos64(angle))
				sin[t*r.half+i] = T(vmath.Sin64(angle))
			}
		}
	})
	r.cos, r.sin, r.positions = cos, sin, n
}

// rotate turns the pairs (i, i+half) of a head's vector by its position's
// angles, or back.
func (r *ropeTable[T]) rotate(v []T, position int, back bool) {
	cos := r.cos[position*r.half : (position+1)*r.half]
	sin := r.sin[position*r.half : (position+1)*r.half]
	switch v := any(v).(type) {
	case []float32:
		vmath.Rotate(v[:r.half], v[r.half:2*r.half], any(cos).([]float32), any(sin).([]float32), back)
	case []float64:
		rotatePairs(v[:r.half], v[r.half:2*r.half], any(cos).([]float64), any(sin).([]float64), back)
	}
}

// rotatePairs is vmath.Rotate in float64.
func rotatePairs(a, b, cos, sin []float64, back bool) {
	for i, c := range cos {
		p, q, s := a[i], b[i], sin[i]
		if back {
			s = -s
		}
		a[i] = float64(p*c) - float64(q*s)
		b[i] = float64(q*c) + float64(p*s)
	}
}
