package lowrank

import (
	"errors"
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/linalg"
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
	gram := make([]float64, n*n)
	p.Dsyrk(true, true, n, m, 1, dw, n, 0, gram, n)
	var s []float64
	if c != nil {
		var err error
		if s, err = root(p, n, c); err != nil {
			return err
		}
		linalg.GramMirror(nil, gram, n)
		t := make([]float64, n*n)
		p.Dgemm(false, false, n, n, n, 1, gram, n, s, n, 0, t, n)
		p.Dgemm(true, false, n, n, n, 1, s, n, t, n, 0, gram, n)
	}
	f.setEnergies(p.SymEigen(n, gram), n)
	rank := f.Rank
	if rank == 0 {
		return nil
	}
	v := make([]float64, n*rank)
	for i := range n {
		for k := range rank {
			v[i*rank+k] = gram[i*n+n-1-k]
		}
	}
	if s != nil {
		sv := make([]float64, n*rank)
		p.Dgemm(false, false, n, rank, n, 1, s, n, v, rank, 0, sv, rank)
		v = sv
	}
	u := make([]float64, m*rank)
	p.Dgemm(false, false, m, rank, n, 1, dw, n, v, rank, 0, u, rank)
	rank, err := orthonormalize(p, m, rank, u)
	if err != nil {
		return err
	}
	f.Rank = min(keep, rank)
	f.U = make([]float64, m*f.Rank)
	ld := len(u) / m
	for i := range m {
		copy(f.U[i*f.Rank:(i+1)*f.Rank], u[i*ld:])
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
	normalize(m, n, u)
	rank = n
	for again := true; again; {
		g := make([]float64, rank*rank)
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

// normalize scales the columns of u [m, n] to norm 1, so that the Cholesky
// factorization sees angles only.
func normalize(m, n int, u []float64) {
	sum := make([]float64, n)
	top := make([]float64, n)
	for i, v := range u {
		top[i%n] = max(top[i%n], math.Abs(v))
	}
	for i, v := range u {
		if t := top[i%n]; t > 0 {
			v /= t
			sum[i%n] += float64(v * v)
		}
	}
	for i := range u {
		if t := top[i%n]; t > 0 {
			u[i] = u[i] / t / math.Sqrt(sum[i%n])
		}
	}
}

// root returns a square root S of c, C ≈ S·Sᵀ: a Cholesky factor. Second moments
// of few tokens are singular, and sums of float32 products are not exactly
// positive semi-definite; so the diagonal is raised, relative to each entry: by
// a few units of rounding first, and tenfold more as long as that does not do.
func root(p *linalg.Pool, n int, c []float64) ([]float64, error) {
	mean := 0.0
	for i := range n {
		mean += c[i*n+i] / float64(n)
	}
	s := make([]float64, n*n)
	var err error
	for raise := 4 * float64(n) * 0x1p-52; raise < 1e-2; raise *= 10 {
		copy(s, c)
		for i := range n {
			d := &s[i*n+i]
			if *d < 0 {
				return nil, fmt.Errorf("lowrank: %w: diagonal entry %d is %v", ErrMoments, i, *d)
			}
			// An input that was always zero keeps a trace of weight.
			*d += float64(raise * max(*d, mean*0x1p-52))
		}
		if mean == 0 {
			clear(s)
			return s, nil
		}
		if err = p.Cholesky(n, s, n); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("lowrank: %w: %w", ErrMoments, err)
}
