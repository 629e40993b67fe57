// Package lowrank finds the low-rank side path B·A that best makes up for an
// approximation error ΔW = W − Ŵ [out, in] of a linear layer.
//
// Best is meant on inputs with the second moments C = XᵀX [in, in]: B·A
// minimises tr((ΔW−BA)·C·(ΔW−BA)ᵀ), which is the squared error of the layer's
// outputs. This is the optimum of EoRA (Liu et al. 2024, arXiv:2410.21271);
// without C it is the plain truncated singular value decomposition of LoRC
// (Yao et al. 2023, arXiv:2303.08302). Either is U·Uᵀ·ΔW, with U the leading
// eigenvectors of ΔW·C·ΔWᵀ: no inverse of C, so C may be singular. On inputs
// that C does not know, the path projects ΔW like everywhere else.
//
// One decomposition holds every rank up to its own: a truncation is a prefix,
// bit for bit. All arithmetic is float64, and the same bits for any number of
// threads. The package knows nothing of models or files.
package lowrank

import (
	"errors"
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
)

// Factors is a decomposition of ΔW [Out, In]. It is read-only after Decompose
// and until Give safe for concurrent use.
type Factors struct {
	Out, In int
	// Sigma2 are the energies of all min(Out, In) directions, descending and
	// not negative: with the first k directions the remaining output error is
	// the sum of the others.
	Sigma2 []float64
	// Rank is the number of directions held: what was asked for, or fewer if
	// the other energies are zero to rounding.
	Rank int
	// U [Out, Rank] has orthonormal columns, A [Rank, In] is Uᵀ·ΔW. The largest
	// entry of each column of U (the first of equals) is positive.
	U, A []float64

	lent linalg.Lent[float64]
}

// Give hands back the memory of U and A, which must not be used any more. It may
// be left out: the garbage collector finds it then.
func (f *Factors) Give() {
	f.lent.Give()
	f.U, f.A = nil, nil
}

// Errors that Decompose wraps.
var (
	// ErrNotFinite: an entry of ΔW or C is not finite.
	ErrNotFinite = errors.New("entry is not finite")
	// ErrMoments: C is not a matrix of second moments, even roughly.
	ErrMoments = errors.New("second moments are not positive semi-definite")
)

// Difference returns w − what, exactly as float64 allows: the ΔW of an
// approximation what.
func Difference(w, what []float32) []float64 {
	if len(w) != len(what) {
		panic(fmt.Sprintf("lowrank: %d and %d weights", len(w), len(what)))
	}
	d := make([]float64, len(w))
	vmath.Difference(d, w, what)
	return d
}

// Decompose returns the first keep directions of dw [out, in] (fewer if the rank
// is lower, none if dw is zero), and all energies. c [in, in] is symmetric with
// both triangles filled, up to any positive factor, and nil stands for the
// identity. It reads both only. It returns an error for entries that are not
// finite and for a c with negative eigenvalues beyond rounding; it panics on
// other lengths and on keep < 1.
//
// The work is an eigenvalue problem of the smaller of out and in, and matrix
// products.
func Decompose(p *linalg.Pool, dw []float64, out, in int, c []float64, keep int) (*Factors, error) {
	switch {
	case out < 1 || in < 1 || len(dw) != out*in:
		panic(fmt.Sprintf("lowrank: %d entries for [%d, %d]", len(dw), out, in))
	case c != nil && len(c) != in*in:
		panic(fmt.Sprintf("lowrank: %d second moments for %d inputs", len(c), in))
	case keep < 1:
		panic(fmt.Sprintf("lowrank: %d directions", keep))
	}
	if err := checkFinite("the weight error", dw, in); err != nil {
		return nil, err
	}
	if err := checkFinite("the second moments", c, in); err != nil {
		return nil, err
	}
	f := &Factors{Out: out, In: in}
	if out <= in {
		f.fromOutputs(p, dw, c, keep)
	} else if err := f.fromInputs(p, dw, c, keep); err != nil {
		return nil, err
	}
	f.fixSigns()
	if k := f.Rank; k > 0 {
		f.A = f.lent.Take(k * in)
		p.Dgemm(true, false, k, in, out, 1, f.U, k, dw, in, 0, f.A, in)
	}
	return f, nil
}

func checkFinite(what string, a []float64, cols int) error {
	for i, v := range a {
		if v-v != 0 {
			return fmt.Errorf("lowrank: %w: %s at [%d, %d] is %v", ErrNotFinite, what, i/cols, i%cols, v)
		}
	}
	return nil
}

// fromOutputs takes U from the eigenvectors of ΔW·C·ΔWᵀ [out, out].
func (f *Factors) fromOutputs(p *linalg.Pool, dw, c []float64, keep int) {
	m, n := f.Out, f.In
	gram := linalg.TakeBuffer[float64](m * m)
	defer gram.Give()
	if c == nil {
		p.Dsyrk(true, false, m, n, 1, dw, n, 0, gram.S, m)
	} else {
		t := linalg.TakeBuffer[float64](m * n)
		p.Dgemm(false, false, m, n, n, 1, dw, n, c, n, 0, t.S, n)
		p.Dgemm(false, true, m, m, n, 1, t.S, n, dw, n, 0, gram.S, m)
		t.Give()
	}
	keep = min(keep, m)
	energies, u := p.LeadingEigen(m, gram.S, keep)
	f.setEnergies(energies, keep)
	if f.Rank < keep {
		for i := range m {
			copy(u[i*f.Rank:], u[i*keep:i*keep+f.Rank])
		}
	}
	f.U = u[:m*f.Rank]
}

// setEnergies stores ascending eigenvalues as energies and counts the directions
// to hold.
func (f *Factors) setEnergies(ascending []float64, keep int) {
	n := len(ascending)
	f.Sigma2 = make([]float64, n)
	for i, v := range ascending {
		f.Sigma2[n-1-i] = max(v, 0)
	}
	// Eigenvalues below this are rounding errors of the largest.
	floor := f.Sigma2[0] * float64(max(f.Out, f.In)) * 0x1p-52
	for f.Rank = 0; f.Rank < min(keep, n) && f.Sigma2[f.Rank] > floor; {
		f.Rank++
	}
}

// fixSigns makes the largest entry of every column of U positive.
func (f *Factors) fixSigns() {
	best := make([]float64, f.Rank)
	for i := range f.Out {
		for k, v := range f.U[i*f.Rank : (i+1)*f.Rank] {
			if math.Abs(v) > math.Abs(best[k]) {
				best[k] = v
			}
		}
	}
	for i := range f.Out {
		row := f.U[i*f.Rank : (i+1)*f.Rank]
		for k, v := range best {
			if v < 0 {
				row[k] = -row[k]
			}
		}
	}
}

// Residual returns the output error that remains with the first k directions:
// the sum of the other energies. Residual(0) is the error without a side path.
func (f *Factors) Residual(k int) float64 {
	sum := 0.0
	for i := len(f.Sigma2) - 1; i >= k; i-- { // small ones first
		sum += f.Sigma2[i]
	}
	return sum
}

// Truncate returns the side path of rank min(k, f.Rank) as it is stored: bt
// [k, Out], the transpose of B, and a [k, In], where B·A is the best product of
// that rank. Each row of bt and the row of a that goes with it have the same norm,
// which is kindest to storage in few bits. The result of a smaller k is the leading
// part of that of a larger one, bit for bit. It panics on k < 0.
func Truncate[T float32 | float64](f *Factors, k int) (bt, a []T) {
	if k < 0 {
		panic(fmt.Sprintf("lowrank: truncation to rank %d", k))
	}
	k = min(k, f.Rank)
	bt, a = make([]T, k*f.Out), make([]T, k*f.In)
	scales := make([]float64, k)
	for j := range k {
		row, to := f.A[j*f.In:(j+1)*f.In], a[j*f.In:(j+1)*f.In]
		t := rootOfNorm(row)
		for i, v := range row {
			to[i] = T(v / t)
		}
		scales[j] = t
	}
	// A few rows of U at a time stay in the nearest cache, where their columns are
	// read.
	const few = 16
	for lo := 0; lo < f.Out; lo += few {
		hi := min(lo+few, f.Out)
		for j, t := range scales {
			to := bt[j*f.Out+lo : j*f.Out+hi]
			for i := range to {
				to[i] = T(f.U[(lo+i)*f.Rank+j] * t)
			}
		}
	}
	return bt, a
}

// rootOfNorm returns √‖x‖. It is scaled by the largest entry: squares of tiny errors
// would underflow.
func rootOfNorm(x []float64) float64 {
	top := 0.0
	for _, v := range x {
		top = max(top, math.Abs(v))
	}
	sum := 0.0
	for _, v := range x {
		v /= top
		sum += float64(v * v)
	}
	return math.Sqrt(top * math.Sqrt(sum))
}
