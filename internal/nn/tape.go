package nn

import "github.com/compressc/compressc/internal/arch"

// TapeOf holds the activations of one block and one window for the backward
// pass. The zero value is ready; its memory is grown once and then reused.
type TapeOf[T Float] struct {
	act  activations[T]
	rows int
}

// Tape is the float32 form.
type Tape = TapeOf[float32]

// keep points the activations at memory of their own.
func (a *activations[T]) keep(c *arch.Config, b *BlockOf[T], rows int) {
	d, q, kv, f := c.Hidden, b.Q.Out, b.K.Out, b.Up.Out
	heads, kvHeads := b.heads(c.HeadDim)
	adapters := b.AfterAttention.width(false) + b.AfterMLP.width(false)
	rest := grown(&a.buf, rows*(tapeWidth(c, heads, kvHeads, f)+adapters))
	take := func(n int) []T {
		s := rest[: n*rows : n*rows]
		rest = rest[n*rows:]
		return s
	}
	a.x, a.h1, a.x1, a.h2 = take(d), take(d), take(d), take(d)
	a.q, a.k, a.v, a.att = take(q), take(kv), take(kv), take(q)
	a.gate, a.up, a.mid = take(f), take(f), take(f)
	a.inv1, a.inv2 = take(normStats(c)), take(normStats(c))
	a.afterAttention.take(b.AfterAttention, false, take)
	a.afterMLP.take(b.AfterMLP, false, take)
	a.qIn, a.kIn = a.q, a.k
	if c.QKNorm {
		a.qIn, a.kIn = take(q), take(kv)
		a.invQ, a.invK = take(heads), take(kvHeads)
	}
	linears := b.Linears()
	total := 0
	for _, l := range linears {
		total += l.hiddenLen(rows)
	}
	rest = grown(&a.side, total)
	for i, l := range linears {
		n := l.hiddenLen(rows)
		a.hidden[i], rest = rest[:n:n], rest[n:]
	}
}

// tapeWidth is the number of elements a tape of a block of the given shape keeps
// for each token, sides and adapters apart.
func tapeWidth(c *arch.Config, heads, kvHeads, f int) int {
	q, kv := heads*c.HeadDim, kvHeads*c.HeadDim
	n := 4*c.Hidden + 2*q + 2*kv + 3*f + 2*normStats(c)
	if c.QKNorm {
		n += q + kv + heads + kvHeads
	}
	return n
}

// TapeBytes returns the bytes a float32 tape of n tokens needs, of the widest
// block where they differ, apart from the low-rank sides' [n, rank] each.
func TapeBytes(c *arch.Config, n int) int64 {
	adapters := len(c.Adapters.Modules()) * (c.Hidden + 2*c.Adapters.Width)
	return int64(tapeWidth(c, c.Heads, c.KVHeads, c.Intermediate)+adapters) * int64(n) * 4
}

// ForwardTape replaces x [n, hidden], one window, by the block's output, as
// Forward does and to the same bits, and records the tape.
func (r *RunnerOf[T]) ForwardTape(b *BlockOf[T], x []T, n int, tape *TapeOf[T]) {
	mustLen("x", len(x), n*r.c.Hidden)
	tape.rows = n
	tape.act.keep(r.c, b, n)
	r.run(b, x, 1, n, &tape.act, nil, false)
}
