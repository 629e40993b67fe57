package nn

import "github.com/compressc/compressc/internal/arch"

// HeadGradOf says which gradients of the final norm and the head are wanted.
// Head.Weight is not available: the head is worked through in pieces.
type HeadGradOf[T Float] struct {
	Norm []T // as in ModelOf
	Head LinearGradOf[T]
}

// HeadGrad is the float32 form.
type HeadGrad = HeadGradOf[float32]

// logitBytes is how much memory the loss may take to keep a piece of rows'
// logits between its two passes over the vocabulary; above it they are computed
// again, to the same bits.
const logitBytes = 256 << 20

// Loss returns Σ NLL over the rows that have a target, and sets dx [rows,
// hidden] to the gradient of scale·Σ NLL at x, the last block's output. Wanted
// gradients in g (nil: none) are added to.
func (r *RunnerOf[T]) Loss(norm []T, head *LinearOf[T], x []T, rows int, targets []int32, scale T, dx []T, g *HeadGradOf[T]) float64 {
	d := r.c.Hidden
	mustLen("x", len(x), rows*d)
	mustLen("dx", len(dx), rows*d)
	mustLen("targets", len(targets), rows)
	if g == nil {
		g = &HeadGradOf[T]{}
	}
	if g.Head.Weight != nil {
		panic("nn: the head's weight gradient is not formed whole; ask for Head.W")
	}
	var total float64
	for lo := 0; lo < rows; lo += headRows {
		hi := min(lo+headRows, rows)
		total += r.lossPiece(norm, head, x[lo*d:hi*d], hi-lo, targets[lo:hi], scale, dx[lo*d:hi*d], g)
	}
	return total
}

func (r *RunnerOf[T]) lossPiece(norm []T, head *LinearOf[T], x []T, rows int, targets []int32, scale T, dx []T, g *HeadGradOf[T]) float64 {
	h, d := &r.head, r.c.Hidden
	r.normed(norm, x, rows)
	var keep []T
	if int64(rows)*int64(head.Out)*4 <= logitBytes {
		keep = grown(&h.kept, rows*head.Out)
	}
	nll := grown(&h.nll, rows)
	r.logSum(head, rows, targets, nll, keep)

	dNormed := grown(&h.dNormed, rows*d)
	clear(dNormed)
	for lo := 0; lo < head.Out; lo += headColumns {
		hi := min(lo+headColumns, head.Out)
		n := hi - lo
		part := head.columns(lo, hi)
		hidden := grown(&h.hidden, part.hiddenLen(rows))
		piece := grown(&h.logits, rows*n)
		if keep != nil {
			piece, keep = keep[:rows*n], keep[rows*n:]
			part.hiddenForward(r.pool, h.normed, rows, hidden)
		} else {
			part.forward(r.pool, h.normed, 0, piece, rows, hidden)
		}
		scratch := grown(&h.exps, r.workers()*n)
		r.pool.For(rows, func(worker, t int) {
			row, e := piece[t*n:(t+1)*n], scratch[worker*n:(worker+1)*n]
			if targets[t] < 0 {
				clear(row)
				return
			}
			less(e, row, h.top[t])
			expOf(row, e)
			fill(e, T(float64(scale)/h.total[t]))
			multiply(row, e)
			if id := int(targets[t]); id >= lo && id < hi {
				row[id-lo] -= scale
			}
		})
		part.backward(r.pool, h.normed, piece, rows, hidden, g.Head.columns(lo, hi, head), 1, dNormed, &r.grad.linear)
	}
	if r.c.Norm != arch.NormRMS || r.c.NormBias {
		clear(dx)
		r.normBackward(dx, dNormed, x, norm, rows, h.inv, g.Norm)
		return Sum(nll)
	}
	if g.Norm != nil {
		addGainGradient(r.pool, g.Norm, dNormed, x, rows, h.inv)
	}
	rmsRowsBackward(r.pool, dx, nil, dNormed, x, norm, rows, h.inv)
	return Sum(nll)
}

// columns is the part of g that belongs to outputs [lo, hi) of l.
func (g *LinearGradOf[T]) columns(lo, hi int, l *LinearOf[T]) *LinearGradOf[T] {
	c := &LinearGradOf[T]{}
	if g.W != nil {
		c.W = g.W[lo*l.In : hi*l.In]
	}
	if g.Bias != nil {
		c.Bias = g.Bias[lo:hi]
	}
	if g.Sides != nil {
		c.Sides = make([]SideGradOf[T], len(g.Sides))
		for i, s := range g.Sides {
			c.Sides[i].A = s.A
			if s.B != nil {
				rank := l.Sides[i].Rank
				c.Sides[i].B = s.B[lo*rank : hi*rank]
			}
		}
	}
	return c
}

// AddEmbedGradient adds the gradient dx [len(ids), hidden] at the embedded rows
// to g [vocab, hidden], positions ascending.
func (r *RunnerOf[T]) AddEmbedGradient(g []T, ids []int32, dx []T) {
	d := r.c.Hidden
	mustLen("g", len(g), r.c.Vocab*d)
	mustLen("dx", len(dx), len(ids)*d)
	for t, id := range ids {
		add(g[int(id)*d:(int(id)+1)*d], dx[t*d:(t+1)*d])
	}
}
