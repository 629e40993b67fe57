package nn

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/linalg/vmath"
)

// The head is worked through in pieces of headRows rows and headColumns
// vocabulary entries, so that no window's logits are ever held whole. Both are
// part of the numeric contract: the softmax's sum is taken piece by piece.
const (
	headRows    = 512
	headColumns = 4096
)

// headScratch serves one piece of the head.
type headScratch[T Float] struct {
	normed, logits, hidden []T
	exps                   []T // a row of e^logit for each worker
	inv, top               []T
	total, nll             []float64
	kept, dNormed          []T
}

// NLL returns, for every row of x [rows, hidden], the negative log-likelihood
// of its target in nats: −log softmax(head·norm(x))[target]. A target of −1 has
// 0. x is the last block's output; norm as ModelOf.Norm. Logits are in
// float32, the log-softmax is in float64 from their maximum on.
func (r *RunnerOf[T]) NLL(norm []T, head *LinearOf[T], x []T, rows int, targets []int32) []float64 {
	mustLen("x", len(x), rows*r.c.Hidden)
	mustLen("targets", len(targets), rows)
	out := make([]float64, rows)
	for lo := 0; lo < rows; lo += headRows {
		hi := min(lo+headRows, rows)
		r.normed(norm, x[lo*r.c.Hidden:hi*r.c.Hidden], hi-lo)
		r.logSum(head, hi-lo, targets[lo:hi], out[lo:hi], nil)
	}
	return out
}

// Logits returns head·norm(x) for every row of x: [rows, vocab]. It is for a
// few rows; NLL does not need them all at once.
func (r *RunnerOf[T]) Logits(norm []T, head *LinearOf[T], x []T, rows int) []T {
	mustLen("x", len(x), rows*r.c.Hidden)
	r.normed(norm, x, rows)
	out := make([]T, rows*head.Out)
	head.forward(r.pool, r.head.normed, 0, out, rows, grown(&r.head.hidden, head.hiddenLen(rows)))
	return out
}

// normed applies the final norm to x into scratch.
func (r *RunnerOf[T]) normed(norm, x []T, rows int) {
	h := &r.head
	h.normed = grown(&h.normed, rows*r.c.Hidden)
	r.norm(h.normed, x, norm, rows, grown(&h.inv, rows*normStats(r.c)))
}

// columns is the part of a linear layer that gives outputs [lo, hi).
func (l *LinearOf[T]) columns(lo, hi int) LinearOf[T] {
	c := LinearOf[T]{Out: hi - lo, In: l.In, W: l.W[lo*l.In : hi*l.In]}
	if l.Bias != nil {
		c.Bias = l.Bias[lo:hi]
	}
	for _, s := range l.Sides {
		s.B = s.B[lo*s.Rank : hi*s.Rank]
		c.Sides = append(c.Sides, s)
	}
	return c
}

// logSum runs the head over the normed rows, keeps each row's running maximum
// and Σ exp(logit − maximum), and sets nll. keep, when not nil, receives each
// piece's logits [rows, columns], one piece after the other.
func (r *RunnerOf[T]) logSum(head *LinearOf[T], rows int, targets []int32, nll []float64, keep []T) {
	h := &r.head
	top, total := grown(&h.top, rows), grown(&h.total, rows)
	for t := range rows {
		if id := targets[t]; id < -1 || int(id) >= head.Out {
			panic(fmt.Sprintf("nn: target id %d outside the vocabulary of %d", id, head.Out))
		}
		top[t], total[t], nll[t] = T(math.Inf(-1)), 0, 0
	}
	for lo := 0; lo < head.Out; lo += headColumns {
		hi := min(lo+headColumns, head.Out)
		n := hi - lo
		piece := grown(&h.logits, rows*n)
		if keep != nil {
			piece, keep = keep[:rows*n], keep[rows*n:]
		}
		part := head.columns(lo, hi)
		part.forward(r.pool, h.normed, 0, piece, rows, grown(&h.hidden, part.hiddenLen(rows)))
		exps := grown(&h.exps, r.workers()*n)
		r.pool.For(rows, func(worker, t int) {
			row := piece[t*n : (t+1)*n]
			if id := int(targets[t]); id >= lo && id < hi {
				nll[t] = -float64(row[id-lo])
			}
			e := exps[worker*n : (worker+1)*n]
			hi := maximum(row, top[t])
			less(e, row, hi)
			expOf(e, e)
			if hi != top[t] {
				total[t] = float64(total[t] * vmath.Exp64(float64(top[t])-float64(hi)))
				top[t] = hi
			}
			total[t] += Sum(e)
		})
	}
	for t := range rows {
		if targets[t] >= 0 {
			nll[t] += float64(top[t]) + vmath.Log64(total[t])
		}
	}
}

func (r *RunnerOf[T]) workers() int { return len(r.tiles) }
