// Package stack represents a matrix as a sum of blocks of a little more than one
// bit a weight, of which any leading number is an approximation: BitStack (Wang
// et al. 2024, arXiv:2410.23918).
//
// Block i of a matrix W [out, in] with input scales s [in] is the signs of what
// is left of W·diag(s) after the blocks before it, and a matrix of low rank for
// the magnitudes:
//
//	Ŵ = (Σ_i S_i ∘ (L_iᵀ·M_i)) · diag(s)⁻¹
//
// S holds +1 and −1, the sign of zero is +1; L [rank, out] and M [rank, in] are
// float16 numbers. A block is made from what the rounded blocks before it leave,
// so it repairs their rounding as well. The package knows nothing of models or
// files.
package stack

import (
	"errors"
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/lowrank"
)

// ErrRange: a number does not fit float16.
var ErrRange = errors.New("beyond what float16 holds")

// Stack is a matrix [Out, In] as blocks. It is read-only once it is made.
type Stack struct {
	Out, In, Rank, Blocks int
	// Signs [Blocks, Out, ceil(In/8)] has a bit set for +1, the lowest bit of a
	// byte first.
	Signs []byte
	// Left [Blocks, Rank, Out] and Right [Blocks, Rank, In] are float16 numbers.
	Left, Right []float32
	// Scales [In] multiplied the inputs' columns before the decomposition; nil
	// where nothing did.
	Scales []float32
}

// Bytes returns what a block of a matrix [out, in] takes.
func Bytes(out, in, rank int) int64 {
	return int64(out)*int64((in+7)/8) + 2*int64(rank)*int64(out+in)
}

// ScaleBytes returns what the input scales of a layer take.
func ScaleBytes(in int) int64 { return 2 * int64(in) }

// AutoRank is the rank that spends about as much on magnitudes as pays in a
// matrix [out, in]: a 64th of the smaller side, from 1 to 16.
func AutoRank(out, in int) int {
	return min(max((min(out, in)+32)/64, 1), 16)
}

// Scales returns input scales made from the channels' magnitudes, up to a common
// power of two: float16 numbers above zero, the largest between 1024 and 2048.
// It returns nil where all are zero.
func Scales(magnitudes []float64) []float32 {
	top := 0.0
	for _, m := range magnitudes {
		top = max(top, m)
	}
	if top == 0 {
		return nil
	}
	_, exp := math.Frexp(top)
	const smallest = 0x1p-14 // of float16 with all its digits
	s := make([]float32, len(magnitudes))
	for i, m := range magnitudes {
		s[i] = float32(max(math.Ldexp(m, 11-exp), smallest))
	}
	return rounded(s)
}

// rounded returns x as float16 has it.
func rounded(x []float32) []float32 {
	b := make([]byte, 2*len(x))
	half.F32ToF16(b, x)
	out := make([]float32, len(x))
	half.F16ToF32(out, b)
	return out
}

// Decompose takes w [out, in] apart into blocks of the given rank, fewer where
// nothing is left. scales is nil or a float16 number above zero for each input.
// after, unless nil, is called with the number of blocks and what the blocks so
// far leave of W·diag(s), which it must not change or keep. random names the
// test directions of the decompositions.
func Decompose(p *linalg.Pool, w []float32, out, in int, scales []float32, blocks, rank int, random *rng.Stream, after func(blocks int, left []float64)) (*Stack, error) {
	if len(w) != out*in || scales != nil && len(scales) != in || blocks < 1 || rank < 1 {
		panic(fmt.Sprintf("stack: %d weights and %d scales for [%d, %d], %d blocks of rank %d", len(w), len(scales), out, in, blocks, rank))
	}
	rank = min(rank, out, in)
	s := &Stack{Out: out, In: in, Rank: rank, Scales: scales}
	r := make([]float64, out*in)
	for i, v := range w {
		if v-v != 0 {
			return nil, fmt.Errorf("stack: weight [%d, %d] is %v; expected a finite number", i/in, i%in, v)
		}
		r[i] = float64(v)
		if scales != nil {
			r[i] *= float64(scales[i%in])
		}
	}
	abs, product := make([]float64, out*in), make([]float64, out*in)
	for s.Blocks < blocks {
		zero := true
		for i, v := range r {
			abs[i] = math.Abs(v)
			zero = zero && v == 0
		}
		if zero && s.Blocks > 0 {
			break
		}
		u, sigma, vt := lowrank.Leading(p, abs, out, in, rank, random)
		left, right := make([]float32, rank*out), make([]float32, rank*in)
		for k := range rank {
			t := math.Sqrt(sigma[k])
			for i := range out {
				left[k*out+i] = float32(u[i*rank+k] * t)
			}
			for j := range in {
				right[k*in+j] = float32(vt[k*in+j] * t)
			}
		}
		left, right = rounded(left), rounded(right)
		for _, x := range [][]float32{left, right} {
			for _, v := range x {
				if math.IsInf(float64(v), 0) {
					return nil, fmt.Errorf("stack: a factor of block %d is %w", s.Blocks+1, ErrRange)
				}
			}
		}
		signs := make([]byte, out*s.stride())
		p.Dgemm(true, false, out, in, rank, 1, widened(left), out, widened(right), in, 0, product, in)
		for i := range out {
			for j := range in {
				if x := &r[i*in+j]; *x >= 0 {
					signs[i*s.stride()+j/8] |= 1 << (j % 8)
					*x -= product[i*in+j]
				} else {
					*x += product[i*in+j]
				}
			}
		}
		s.Signs, s.Left, s.Right = append(s.Signs, signs...), append(s.Left, left...), append(s.Right, right...)
		s.Blocks++
		if after != nil {
			after(s.Blocks, r)
		}
	}
	return s, nil
}

// widened returns x in float64.
func widened(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// stride is the bytes of a row of signs.
func (s *Stack) stride() int { return (s.In + 7) / 8 }

// Leading returns the stack of the first blocks; it shares memory with s. It
// panics for blocks that s does not have.
func (s *Stack) Leading(blocks int) *Stack {
	t := *s
	t.Blocks = blocks
	t.Signs = s.Signs[:blocks*s.Out*s.stride()]
	t.Left = s.Left[:blocks*s.Rank*s.Out]
	t.Right = s.Right[:blocks*s.Rank*s.In]
	return &t
}

// Decode sets dst [Out, In] to the matrix.
func (s *Stack) Decode(dst []float32) {
	clear(dst)
	product := make([]float32, s.Out*s.In)
	for b := range s.Blocks {
		left, right := s.Left[b*s.Rank*s.Out:], s.Right[b*s.Rank*s.In:]
		(*linalg.Pool)(nil).Sgemm(true, false, s.Out, s.In, s.Rank, 1, left[:s.Rank*s.Out], s.Out, right[:s.Rank*s.In], s.In, 0, product, s.In)
		signs := s.Signs[b*s.Out*s.stride():]
		for i := range s.Out {
			row := signs[i*s.stride() : (i+1)*s.stride()]
			for j := range s.In {
				if row[j/8]>>(j%8)&1 != 0 {
					dst[i*s.In+j] += product[i*s.In+j]
				} else {
					dst[i*s.In+j] -= product[i*s.In+j]
				}
			}
		}
	}
	if s.Scales == nil {
		return
	}
	for i := range dst {
		dst[i] /= s.Scales[i%s.In]
	}
}

// Check reports parts that do not belong together.
func (s *Stack) Check() error {
	switch {
	case s.Out < 1 || s.In < 1 || s.Rank < 1 || s.Blocks < 1:
		return fmt.Errorf("stack: %d blocks of rank %d for [%d, %d]", s.Blocks, s.Rank, s.Out, s.In)
	case len(s.Signs) != s.Blocks*s.Out*s.stride() || len(s.Left) != s.Blocks*s.Rank*s.Out || len(s.Right) != s.Blocks*s.Rank*s.In:
		return fmt.Errorf("stack: %d bytes of signs, %d and %d factors do not make %d blocks of rank %d for [%d, %d]", len(s.Signs), len(s.Left), len(s.Right), s.Blocks, s.Rank, s.Out, s.In)
	case s.Scales != nil && len(s.Scales) != s.In:
		return fmt.Errorf("stack: %d scales for %d inputs", len(s.Scales), s.In)
	}
	return nil
}
