package nn

// Attention sets y [windows·n, hidden] to what the attention of b adds to the
// residual stream where its layers read the normed rows h [windows·n, hidden]
// (site attn_in): the block without norms, MLP and residual stream.
func (r *RunnerOf[T]) Attention(b *BlockOf[T], h []T, windows, n int, y []T) {
	r.sublayer(b, h, windows, n, y, func(a *activations[T], h []T, windows int, y []T) {
		copy(a.h1, h)
		r.attend(b, a, windows, n)
		r.yield(&b.O, b.AfterAttention, a.att, 0, y, windows*n, a.hidden[3], &a.afterAttention)
	})
}

// MLP sets y [rows, hidden] to what the MLP of b adds to the residual stream
// where its layers read the normed rows h [rows, hidden] (site mlp_in).
func (r *RunnerOf[T]) MLP(b *BlockOf[T], h []T, rows int, y []T) {
	r.sublayer(b, h, rows, 1, y, func(a *activations[T], h []T, rows int, y []T) {
		copy(a.h2, h)
		r.gated(b, a, rows)
		r.yield(&b.Down, b.AfterMLP, a.mid, 0, y, rows, a.hidden[6], &a.afterMLP)
	})
}

// sublayer calls f for groups of whole windows with the runner's scratch.
func (r *RunnerOf[T]) sublayer(b *BlockOf[T], h []T, windows, n int, y []T, f func(a *activations[T], h []T, windows int, y []T)) {
	mustLen("h", len(h), windows*n*r.c.Hidden)
	mustLen("y", len(y), len(h))
	group := max(1, groupRows/max(n, 1))
	for w0 := 0; w0 < windows; w0 += group {
		w1 := min(w0+group, windows)
		lo, hi := w0*n*r.c.Hidden, w1*n*r.c.Hidden
		r.free.scratch(r.c, b, (w1-w0)*n, false)
		f(&r.free, h[lo:hi], w1-w0, y[lo:hi])
	}
}
