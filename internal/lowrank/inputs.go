package lowrank

import (
	"errors"
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
)

// fromInputs finds U of a matrix with more outputs than inputs by an eigenvalue
// problem of the inputs. With C = S·Sᵀ and G = ΔWᵀ·ΔW, the eigenvectors V of
// Sᵀ·G·S [in, in] are the right singular vectors of ΔW·S, and ΔW·S·V has
// orthogonal columns whose squared norms are the energies.
//
// Computed, those columns are orthogonal only relative to the largest energy, so
// they are made orthonormal in their order. That is done for the whole rank and
// cut afterwards: the bits of a column must not depend on keep.
func (f *Factors) fromInputs(p *linalg.Pool, dw, c []float64, keep int) error {
	m, n := f.Out, f.In
	gram := linalg.TakeBuffer[float64](n * n)
	defer gram.Give()
	p.Dsyrk(true, true, n, m, 1, dw, n, 0, gram.S, n)
	var s *linalg.Buffer[float64]
	if c != nil {
		s = linalg.TakeBuffer[float64](n * n)
		defer s.Give()
		if err := root(p, n, c, s.S); err != nil {
			return err
		}
		linalg.GramMirror(p, gram.S, n)
		t := linalg.TakeBuffer[float64](n * n)
		p.Dgemm(false, false, n, n, n, 1, gram.S, n, s.S, n, 0, t.S, n)
		p.Dgemm(true, false, n, n, n, 1, s.S, n, t.S, n, 0, gram.S, n)
		t.Give()
	}
	f.setEnergies(p.SymEigen(n, gram.S), n)
	rank := f.Rank
	if rank == 0 {
		return nil
	}
	v := linalg.TakeBuffer[float64](n * rank)
	defer func() { v.Give() }()
	for i := range n {
		row, from := v.S[i*rank:(i+1)*rank], gram.S[i*n:(i+1)*n]
		for k := range row {
			row[k] = from[n-1-k]
		}
	}
	if s != nil {
		sv := linalg.TakeBuffer[float64](n * rank)
		p.Dgemm(false, false, n, rank, n, 1, s.S, n, v.S, rank, 0, sv.S, rank)
		v.Give()
		v = sv
	}
	u := linalg.TakeBuffer[float64](m * rank)
	defer u.Give()
	p.Dgemm(false, false, m, rank, n, 1, dw, n, v.S, rank, 0, u.S, rank)
	ld := rank
	rank, err := orthonormalize(p, m, rank, u.S)
	if err != nil {
		return err
	}
	f.Rank = min(keep, rank)
	f.U = f.lent.Take(m * f.Rank)
	for i := range m {
		copy(f.U[i*f.Rank:(i+1)*f.Rank], u.S[i*ld:])
	}
	return nil
}

// nearlyOrthonormal is how far a Gram matrix may be from the identity for one
// factorization to leave columns orthonormal to rounding: the condition number
// is then 1, for all that float64 sees of its square.
const nearlyOrthonormal = 0x1p-20

// orthonormalize makes the columns of u [m, n] orthonormal, each in the span of
// those up to itself: Gram–Schmidt, as the Cholesky factorization of the Gram
// matrix, twice where the columns were far from orthogonal. It returns how many
// leading columns it could: the rest depend on them to rounding.
func orthonormalize(p *linalg.Pool, m, n int, u []float64) (rank int, err error) {
	normalize(p, m, n, u)
	rank = n
	buf := linalg.TakeBuffer[float64](n * n)
	defer buf.Give()
	for again := true; again; {
		g := buf.S[:rank*rank]
		p.Dsyrk(true, true, rank, m, 1, u, n, 0, g, rank)
		far := distanceFromIdentity(rank, g) > nearlyOrthonormal
		var dependent *linalg.NotPositiveDefinite
		switch err := p.CholeskyUpper(rank, g); {
		case errors.As(err, &dependent) && dependent.Pivot > 0:
			rank = dependent.Pivot
			continue
		case err != nil:
			return 0, fmt.Errorf("lowrank: %w", err)
		}
		p.TriSolve(false, true, false, false, m, rank, g, rank, u, n)
		again = far
	}
	return rank, nil
}

// distanceFromIdentity returns the largest entry of |G − I| in the upper
// triangle of g [n, n].
func distanceFromIdentity(n int, g []float64) float64 {
	d := 0.0
	for i := range n {
		d = max(d, math.Abs(g[i*n+i]-1))
		for _, v := range g[i*n+i+1 : (i+1)*n] {
			d = max(d, math.Abs(v))
		}
	}
	return d
}

// normalizeColumns is how many columns one task of normalize takes.
const normalizeColumns = 64

// normalize scales the columns of u [m, n] to norm 1, so that the Cholesky
// factorization sees angles only. Columns of zeros, and of numbers that are none,
// stay as they are.
func normalize(p *linalg.Pool, m, n int, u []float64) {
	p.For((n+normalizeColumns-1)/normalizeColumns, func(_, task int) {
		lo, hi := task*normalizeColumns, min(n, (task+1)*normalizeColumns)
		var tops, roots [normalizeColumns]float64
		top, root := tops[:hi-lo], roots[:hi-lo]
		for i := range m {
			for j, v := range u[i*n+lo : i*n+hi] {
				top[j] = max(top[j], math.Abs(v))
			}
		}
		for j, t := range top {
			if !(t > 0) {
				top[j] = 0 // nothing is divided by that
			}
		}
		for i := range m {
			row := u[i*n+lo : i*n+hi]
			vmath.DivideBy(row, top)
			for j, v := range row {
				root[j] += float64(v * v)
			}
		}
		for j, sum := range root {
			root[j] = math.Sqrt(sum)
			if top[j] == 0 {
				root[j] = 0
			}
		}
		for i := range m {
			vmath.DivideBy(u[i*n+lo:i*n+hi], root)
		}
	})
}

// root sets s [n, n] to a square root S of c, C ≈ S·Sᵀ: a Cholesky factor.
// Second moments of few tokens are singular, and sums of float32 products are not
// exactly positive semi-definite; so the diagonal is raised, relative to each
// entry: by a few units of rounding first, and tenfold more as long as that does
// not do.
func root(p *linalg.Pool, n int, c, s []float64) error {
	mean := 0.0
	for i := range n {
		mean += c[i*n+i] / float64(n)
	}
	var err error
	for raise := 4 * float64(n) * 0x1p-52; raise < 1e-2; raise *= 10 {
		copy(s, c)
		for i := range n {
			d := &s[i*n+i]
			if *d < 0 {
				return fmt.Errorf("lowrank: %w: diagonal entry %d is %v", ErrMoments, i, *d)
			}
			// An input that was always zero keeps a trace of weight.
			*d += float64(raise * max(*d, mean*0x1p-52))
		}
		if mean == 0 {
			clear(s)
			return nil
		}
		if err = p.Cholesky(n, s, n); err == nil {
			return nil
		}
	}
	return fmt.Errorf("lowrank: %w: %w", ErrMoments, err)
}
