package nn

// BlockGradOf says which gradients of a block are wanted: non-nil slices are
// added to. Linears is in the order of BlockOf.Linears.
type BlockGradOf[T Float] struct {
	InputNorm, PostNorm []T // as in BlockOf
	QNorm, KNorm        []T // [head dim]
	Linears             [7]LinearGradOf[T]
	// AfterAttention and AfterMLP are nil where nothing of an adapter is wanted.
	AfterAttention, AfterMLP *BottleneckGradOf[T]
}

// BlockGrad is the float32 form.
type BlockGrad = BlockGradOf[float32]

// backScratch is what one block's backward pass needs besides the tape.
type backScratch[T Float] struct {
	linear       gradScratch[T]
	mid, gate    []T // [n, intermediate]
	h            []T // [n, hidden]
	att, q, k, v []T // [n, heads·dim], [n, kv heads·dim]
	partK, partV []T
	exp          []T // a row of e^−gate for each worker
	low, beside  []T // of an adapter: [n, width], [n, hidden]
}

// Backward turns dx [n, hidden], the gradient at the block's output, into the
// one at its input, and adds the gradients that g asks for. tape is what
// ForwardTape recorded with the same block; it is read only, so a tape can be
// used again.
func (r *RunnerOf[T]) Backward(b *BlockOf[T], tape *TapeOf[T], dx []T, g *BlockGradOf[T]) {
	c, n, a, s, pool := r.c, tape.rows, &tape.act, &r.grad, r.pool
	d, qw, kw, f := c.Hidden, b.Q.Out, b.K.Out, b.Up.Out
	mustLen("dx", len(dx), n*d)
	if g == nil {
		g = &BlockGradOf[T]{}
	}
	linear := func(i int, l *LinearOf[T], x, dy []T, beta T, to []T) {
		l.backward(pool, x, dy, n, a.hidden[i], &g.Linears[i], beta, to, &s.linear)
	}

	// MLP. dx stands for the residual branch and is only added to.
	dMid, dH := grown(&s.mid, n*f), grown(&s.h, n*d)
	linear(6, &b.Down, a.mid, r.yieldBack(b.AfterMLP, g.AfterMLP, dx, n, &a.afterMLP), 0, dMid)
	if c.Plain {
		r.activateBack(c.Activation, dMid, a.up)
		linear(5, &b.Up, a.h2, dMid, 0, dH)
	} else {
		dGate := grown(&s.gate, n*f)
		r.gateBackward(a, dMid, dGate, n, f)
		linear(4, &b.Gate, a.h2, dGate, 0, dH)
		linear(5, &b.Up, a.h2, dMid, 1, dH)
	}
	r.normBackward(dx, dH, a.x1, b.PostNorm, n, a.inv2, g.PostNorm)

	// Attention.
	dAtt := grown(&s.att, n*qw)
	linear(3, &b.O, a.att, r.yieldBack(b.AfterAttention, g.AfterAttention, dx, n, &a.afterAttention), 0, dAtt)
	dQ, dK, dV := grown(&s.q, n*qw), grown(&s.k, n*kw), grown(&s.v, n*kw)
	partK, partV := grown(&s.partK, attnParts*n*qw), grown(&s.partV, attnParts*n*qw)
	r.attention(b).backward(pool, a.q, a.k, a.v, dAtt, dQ, dK, dV, n, r.tile(n), partK, partV)
	r.turnBack(b, a, dQ, dK, n, g)
	linear(0, &b.Q, a.h1, dQ, 0, dH)
	linear(1, &b.K, a.h1, dK, 1, dH)
	linear(2, &b.V, a.h1, dV, 1, dH)
	r.normBackward(dx, dH, a.x, b.InputNorm, n, a.inv1, g.InputNorm)
}

// gateBackward replaces dMid, the gradient at silu(gate)·up, by the one at up,
// and sets dGate.
func (r *RunnerOf[T]) gateBackward(a *activations[T], dMid, dGate []T, n, f int) {
	scratch := grown(&r.grad.exp, r.workers()*f)
	r.pool.For(n, func(worker, t int) {
		lo, hi := t*f, (t+1)*f
		gateGradient(dMid[lo:hi], dGate[lo:hi], a.gate[lo:hi], a.up[lo:hi], scratch[worker*f:(worker+1)*f])
	})
}

// turnBack undoes the rotary embedding and the query and key norms in dQ, dK.
func (r *RunnerOf[T]) turnBack(b *BlockOf[T], a *activations[T], dQ, dK []T, n int, g *BlockGradOf[T]) {
	dim := r.c.HeadDim
	rotate := func(d []T, heads int) {
		overRows(r.pool, n, func(lo, hi int) {
			for t := lo; t < hi; t++ {
				for h := range heads {
					r.rope.rotate(d[(t*heads+h)*dim:(t*heads+h+1)*dim], t, true)
				}
			}
		})
	}
	heads, kvHeads := b.heads(dim)
	if !r.c.Learned {
		rotate(dQ, heads)
		rotate(dK, kvHeads)
	}
	norm := func(d, in, gain, inv, dGain []T, heads int) {
		if gain == nil {
			return
		}
		if dGain != nil {
			addGainGradient(r.pool, dGain, d, in, n*heads, inv)
		}
		rmsRowsBackward(r.pool, d, nil, d, in, gain, n*heads, inv)
	}
	norm(dQ, a.qIn, b.QNorm, a.invQ, g.QNorm, heads)
	norm(dK, a.kIn, b.KNorm, a.invK, g.KNorm, kvHeads)
}
