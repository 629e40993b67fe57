package linalg

import "github.com/compressc/compressc/internal/linalg/kernel"

const (
	// triBase is the order up to which triangular systems and Cholesky factors
	// are computed by substitution; larger ones are split, and the bulk becomes
	// matrix products.
	triBase = 64
	// solveChunk is the number of right-hand sides a task solves for at once.
	solveChunk = 64
)

// TriSolve overwrites B [m, n] with the solution X of op(A)·X = B (left) or of
// X·op(A) = B, where A is triangular of order m (left) or n. upper says which
// triangle of A is stored and read; trans means op(A) = Aᵀ; unit means a
// diagonal of ones, not read. A zero on the diagonal gives infinities or NaNs.
func (p *Pool) TriSolve(left, upper, trans, unit bool, m, n int, a []float64, lda int, b []float64, ldb int) {
	order := n
	if left {
		order = m
	}
	checkMatrix("triangular solve", "A", order, order, lda, len(a))
	checkMatrix("triangular solve", "B", m, n, ldb, len(b))
	if m == 0 || n == 0 {
		return
	}
	p.triSolve(left, upper, trans, unit, m, n, a, lda, b, ldb)
}

func (p *Pool) triSolve(left, upper, trans, unit bool, m, n int, a []float64, lda int, b []float64, ldb int) {
	order := n
	if left {
		order = m
	}
	if order <= triBase {
		p.triSolveBase(left, upper, trans, unit, m, n, a, lda, b, ldb)
		return
	}
	h := triSplit(order)
	a22 := a[h*lda+h:]
	off := a[h*lda:] // the stored block beside the diagonal
	if upper {
		off = a[h:]
	}
	lower := upper == trans // op(A) is lower triangular
	if left {
		b2 := b[h*ldb:]
		if lower {
			p.triSolve(left, upper, trans, unit, h, n, a, lda, b, ldb)
			p.Dgemm(trans, false, m-h, n, h, -1, off, lda, b, ldb, 1, b2, ldb)
			p.triSolve(left, upper, trans, unit, m-h, n, a22, lda, b2, ldb)
		} else {
			p.triSolve(left, upper, trans, unit, m-h, n, a22, lda, b2, ldb)
			p.Dgemm(trans, false, h, n, m-h, -1, off, lda, b2, ldb, 1, b, ldb)
			p.triSolve(left, upper, trans, unit, h, n, a, lda, b, ldb)
		}
		return
	}
	b2 := b[h:]
	if lower {
		p.triSolve(left, upper, trans, unit, m, n-h, a22, lda, b2, ldb)
		p.Dgemm(false, trans, m, h, n-h, -1, b2, ldb, off, lda, 1, b, ldb)
		p.triSolve(left, upper, trans, unit, m, h, a, lda, b, ldb)
	} else {
		p.triSolve(left, upper, trans, unit, m, h, a, lda, b, ldb)
		p.Dgemm(false, trans, m, n-h, h, -1, b, ldb, off, lda, 1, b2, ldb)
		p.triSolve(left, upper, trans, unit, m, n-h, a22, lda, b2, ldb)
	}
}

// triSplit halves an order at a multiple of triBase.
func triSplit(order int) int { return (order/2 + triBase - 1) / triBase * triBase }

// triSolveBase substitutes, a chunk of right-hand sides at a time. A right solve
// is the left solve of the transposed system, so chunks are transposed on the
// way in and out: rows of right-hand sides are what the vector kernel runs over.
func (p *Pool) triSolveBase(left, upper, trans, unit bool, m, n int, a []float64, lda int, b []float64, ldb int) {
	order, sides := n, m
	if left {
		order, sides = m, n
	}
	// neg holds -op(A), or -op(A)ᵀ for a right solve, row-major.
	neg := TakeBuffer[float64](order * order)
	flip := trans == left
	for i := range order {
		for j := range order {
			if i != j && (j > i) != upper {
				continue
			}
			v := -a[i*lda+j]
			if flip {
				neg.S[j*order+i] = v
			} else {
				neg.S[i*order+j] = v
			}
		}
	}
	lower := (upper == trans) == left // what is in neg is lower triangular
	if order*order*sides < serialBelow/8 {
		p = nil
	}
	chunks := (sides + solveChunk - 1) / solveChunk
	p.For(chunks, func(_, task int) {
		s0 := task * solveChunk
		w := min(solveChunk, sides-s0)
		const ld = solveChunk
		x := TakeBuffer[float64](order * ld)
		if w < ld {
			clear(x.S)
		}
		if left {
			for i := range order {
				copy(x.S[i*ld:i*ld+w], b[i*ldb+s0:])
			}
		} else {
			kernel.Transpose(w, order, b[s0*ldb:], ldb, x.S, ld)
		}
		w8 := (w + 7) &^ 7
		for step := range order {
			i, lo, hi := step, 0, step
			if !lower {
				i = order - 1 - step
				lo, hi = i+1, order
			}
			row := x.S[i*ld : i*ld+w8]
			if hi > lo {
				kernel.GemvCols(hi-lo, w8, x.S[lo*ld:], ld, neg.S[i*order+lo:i*order+hi], row)
			}
			if !unit {
				kernel.Divide(row, -neg.S[i*order+i])
			}
		}
		if left {
			for i := range order {
				copy(b[i*ldb+s0:], x.S[i*ld:i*ld+w])
			}
		} else {
			kernel.Transpose(order, w, x.S, ld, b[s0*ldb:], ldb)
		}
		x.Give()
	})
	neg.Give()
}
