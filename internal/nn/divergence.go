package nn

import (
	"github.com/compressc/compressc/internal/linalg/vmath"
)

// divergenceElements bounds the logits that Divergence holds of one model; how
// many rows that is changes no result, for each row's is its own.
const divergenceElements = 8 << 20

// Divergence compares what other hidden states say with what x says. For each
// row of x [rows, hidden], the last block's output, and of each of others alike,
// it sets kl[i][row] to KL(p‖q) in nats, p and q the softmax of the logits of x
// and of others[i], and mse[i][row] to the mean squared difference of the logits.
// Logits are in float32, sums in float64 by ascending vocabulary.
func (r *RunnerOf[T]) Divergence(norm []T, head *LinearOf[T], x []T, rows int, others [][]T, kl, mse [][]float64) {
	d, v := r.c.Hidden, head.Out
	mustLen("x", len(x), rows*d)
	step := max(1, min(128, divergenceElements/v))
	prob := make([]T, min(step, rows)*v)
	scratch := make([]T, r.workers()*v)
	zs := make([]float64, min(step, rows))
	for lo := 0; lo < rows; lo += step {
		n := min(step, rows-lo)
		own := r.Logits(norm, head, x[lo*d:(lo+n)*d], n)
		r.pool.For(n, func(_, t int) {
			e := prob[t*v : (t+1)*v]
			var total float64
			zs[t], total = logSumExp(e, own[t*v:(t+1)*v])
			f := T(1 / total)
			for i := range e {
				e[i] *= f
			}
		})
		for o, other := range others {
			mustLen("others", len(other), rows*d)
			theirs := r.Logits(norm, head, other[lo*d:(lo+n)*d], n)
			r.pool.For(n, func(worker, t int) {
				q := theirs[t*v : (t+1)*v]
				z, _ := logSumExp(scratch[worker*v:(worker+1)*v], q)
				var moved, square float64
				p := prob[t*v : (t+1)*v]
				for i, l := range own[t*v : (t+1)*v] {
					diff := float64(l) - float64(q[i])
					moved += float64(float64(p[i]) * diff)
					square += float64(diff * diff)
				}
				kl[o][lo+t] = moved - zs[t] + z
				mse[o][lo+t] = square / float64(v)
			})
		}
	}
}

// logSumExp sets e to the exponentials of x less its maximum, and returns the
// logarithm of Σ exp(x) and Σ e.
func logSumExp[T Float](e, x []T) (z, total float64) {
	top := maximum(x, x[0])
	less(e, x, top)
	expOf(e, e)
	total = Sum(e)
	return float64(top) + vmath.Log64(total), total
}
