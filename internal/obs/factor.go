// Package obs prunes and quantises a linear layer so that its output changes
// little: the Optimal Brain Surgeon in the form that GPTQ (Frantar et al. 2022,
// arXiv:2210.17323) and SparseGPT (Frantar and Alistarh 2023, arXiv:2301.00774)
// made cheap.
//
// A layer has weights W [out, in] and sees inputs X [tokens, in]; its Hessian is
// the Gram matrix H = XᵀX [in, in] (any positive multiple gives the same
// weights). The columns are visited one by one. A visited column is frozen: each
// of its weights is dropped, rounded to its grid, or left as it is; the error
// made is passed on to the columns not yet visited in the way that keeps
// ‖(W−Ŵ)Xᵀ‖² smallest. All that H contributes is one triangular factor, the same
// for every row: Prepare computes it, Sweep uses it. Refine goes over a sweep's
// result again, with the Hessian itself, and only ever improves it.
//
// The statistics, the factor and the working weights are float64; weights go in
// and out as float32. Results are the same bits for any number of threads. The
// package knows nothing of models, of files, or of where H comes from.
package obs

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
)

// Factor is what a Sweep needs of a Hessian. It depends on the Hessian, the
// damping and the order of the columns alone, so one Factor serves every layer
// with these inputs, every pattern and every grid. It is read-only after
// Prepare and safe for concurrent use, until Give, which may be left out.
type Factor struct {
	// N is the number of inputs.
	N int
	// Order is the column visited at each step, nil for the natural order.
	Order []int
	// Dead marks the inputs that were zero on all tokens, by column. Their
	// weights have no effect and become zero.
	Dead []bool
	// Lambda was added to the diagonal.
	Lambda float64
	// u [N, N] is upper triangular in the visited order, with
	// uᵀu = (H + Lambda·I)⁻¹.
	u   []float64
	buf *linalg.Buffer[float64] // that u lies in
}

// Errors that Prepare wraps.
var (
	// ErrHessian: the statistics are not those of any inputs.
	ErrHessian = errors.New("unusable Hessian")
	// ErrNotPositiveDefinite: no damping that was tried made it invertible.
	ErrNotPositiveDefinite = errors.New("the Hessian is not positive definite")
)

// dampingTries is how often the damping is raised tenfold before giving up.
const dampingTries = 4

// Prepare factorises the Hessian h [n, n], of which it reads the upper triangle.
//
// damping is relative: damping times the mean diagonal entry of the live inputs
// is added to the diagonal; 0.01 is the published value. If the sum cannot be
// inverted the damping is raised tenfold, at most four times; damping 0 is never
// raised. order lists every column once in the order of visit, nil for the
// natural one; it panics on any other list.
//
// It returns an error if h has an entry that is not finite or a negative
// diagonal (ErrHessian), if every input is dead (ErrHessian), and if no damping
// helps (ErrNotPositiveDefinite).
func Prepare(p *linalg.Pool, h []float64, n int, damping float64, order []int) (*Factor, error) {
	if len(h) != n*n || n < 1 {
		panic(fmt.Sprintf("obs: Hessian of %d entries for %d inputs", len(h), n))
	}
	if !(damping >= 0) || math.IsInf(damping, 0) {
		panic(fmt.Sprintf("obs: damping %v", damping))
	}
	checkOrder(order, n)
	f := &Factor{N: n, Order: slices.Clone(order), Dead: make([]bool, n)}
	mean, err := f.survey(h)
	if err != nil {
		return nil, err
	}
	full := h
	if order != nil { // its rows are read in parts, all over the place
		buf := linalg.TakeBuffer[float64](n * n)
		defer buf.Give()
		full = buf.S
		copy(full, h)
		linalg.GramMirror(p, full, n)
	}
	for try := range dampingTries + 1 {
		f.Lambda = damping * mean
		if err = f.factorize(p, full, mean); err == nil {
			return f, nil
		}
		if damping == 0 || try == dampingTries {
			break
		}
		damping *= 10
	}
	hint := "use more calibration tokens"
	if damping == 0 {
		hint = "use a damping above 0, such as 0.01, or more calibration tokens"
	}
	return nil, fmt.Errorf("%w with damping %.3g: %w; %s", ErrNotPositiveDefinite, damping, f.explain(err), hint)
}

// explain names the input at which a factorization stopped, which went through
// them in the reverse of the order of visit.
func (f *Factor) explain(err error) error {
	var e *linalg.NotPositiveDefinite
	if errors.As(err, &e) {
		return fmt.Errorf("input %d is a combination of others", f.Column(f.N-1-e.Pivot))
	}
	return err
}

func checkOrder(order []int, n int) {
	if order == nil {
		return
	}
	seen := make([]bool, n)
	for _, c := range order {
		if c < 0 || c >= n || seen[c] {
			panic(fmt.Sprintf("obs: order names column %d twice or outside %d", c, n))
		}
		seen[c] = true
	}
	if len(order) != n {
		panic(fmt.Sprintf("obs: order of %d columns for %d", len(order), n))
	}
}

// survey checks h, marks the dead inputs and returns the mean diagonal entry of
// the others. Dead inputs stay out of the mean so that their number does not
// change the weights of the rest.
func (f *Factor) survey(h []float64) (mean float64, err error) {
	live, sum := 0, 0.0
	for i := range f.N {
		row := h[i*f.N : (i+1)*f.N]
		if !vmath.Finite64(row[i:]) {
			j := i + slices.IndexFunc(row[i:], func(v float64) bool { return v-v != 0 })
			return 0, fmt.Errorf("%w: entry [%d, %d] is %v; check the calibration for overflow", ErrHessian, i, j, row[j])
		}
		switch d := row[i]; {
		case d < 0:
			return 0, fmt.Errorf("%w: diagonal entry %d is %v, expected a sum of squares", ErrHessian, i, d)
		case d == 0:
			f.Dead[i] = true
		default:
			live++
			sum += d
		}
	}
	if live == 0 {
		return 0, fmt.Errorf("%w: all %d inputs are zero on every calibration token", ErrHessian, f.N)
	}
	return sum / float64(live), nil
}

// factorize computes f.u for f.Lambda. In the natural order of columns of h the
// upper triangle is read, in another one both. With J the reversal of the order, the
// lower Cholesky factor L of J(H+λI)J gives u = J·L⁻¹·J: one factorization and
// one triangular inverse, where inverting first and factorising the inverse
// would cost three times as much and be less accurate.
func (f *Factor) factorize(p *linalg.Pool, h []float64, mean float64) error {
	n := f.N
	buf := linalg.TakeBuffer[float64](n * n)
	l := buf.S
	give := func(err error) error {
		buf.Give()
		return err
	}
	reversed, anyDead := make([]int, n), slices.Contains(f.Dead, true)
	for i := range n {
		reversed[i] = f.Column(n - 1 - i)
	}
	p.For(n, func(_, i int) {
		ci, dst := reversed[i], l[i*n:(i+1)*n]
		row := h[ci*n : (ci+1)*n]
		if f.Order != nil {
			// A row is fetched from afar piece by piece if it is read in another order.
			buf := linalg.TakeBuffer[float64](n)
			defer buf.Give()
			copy(buf.S, row)
			row = buf.S
		}
		for j, cj := range reversed[:i+1] {
			dst[j] = row[cj]
		}
		if anyDead {
			for j, cj := range reversed[:i] {
				if f.Dead[ci] || f.Dead[cj] {
					dst[j] = 0
				}
			}
			if f.Dead[ci] {
				dst[i] = mean
			}
		}
		dst[i] += f.Lambda
		clear(dst[i+1:])
	})
	if err := p.Cholesky(n, l, n); err != nil {
		return give(err)
	}
	invertLower(p, n, l, n)
	// Reversing rows and columns is reversing all.
	const part = 1 << 15
	half := (n*n + 1) / 2
	var infinite atomic.Bool
	p.For((half+part-1)/part, func(_, task int) {
		lo, hi := task*part, min((task+1)*part, half)
		front, back := l[lo:hi], l[n*n-hi:n*n-lo]
		sum := 0.0 // not a number if one is not finite
		for i, v := range front {
			w := back[len(back)-1-i]
			sum += float64(v*0) + float64(w*0)
			front[i], back[len(back)-1-i] = w, v
		}
		if sum != 0 {
			infinite.Store(true)
		}
	})
	if infinite.Load() {
		return give(errors.New("the inverse is not finite"))
	}
	f.u, f.buf = l, buf
	return nil
}

// damped sets dst [n, n] to H+λI of the factor's Hessian h, both triangles, with
// zeros for dead inputs.
func (f *Factor) damped(p *linalg.Pool, dst, h []float64) {
	n := f.N
	copy(dst, h)
	linalg.GramMirror(p, dst, n)
	for c, dead := range f.Dead {
		if !dead {
			dst[c*n+c] += f.Lambda
			continue
		}
		clear(dst[c*n : (c+1)*n])
		for i := range n {
			dst[i*n+c] = 0
		}
	}
}

// Give hands back the memory of the factor, which must not be used any more.
func (f *Factor) Give() {
	f.buf.Give()
	f.buf, f.u = nil, nil
}

// Column returns the column visited at step i.
func (f *Factor) Column(i int) int {
	if f.Order == nil {
		return i
	}
	return f.Order[i]
}

// DescendingDiagonal returns the columns of h [n, n] by descending diagonal
// entry, equal ones in their natural order: the order that visits the inputs
// with the most energy first, while there are many columns left to take up the
// error.
func DescendingDiagonal(h []float64, n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(h[b*n+b], h[a*n+a]) })
	return order
}
