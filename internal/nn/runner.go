package nn

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/linalg"
)

// groupRows bounds the rows that go through a block's linear layers at once:
// enough to pay for packing the weights, few enough to stay in cache.
const groupRows = 2048

// RunnerOf runs blocks of one architecture. It owns scratch that is grown once
// and then reused, so it serves one goroutine at a time; give each its own.
type RunnerOf[T Float] struct {
	c     *arch.Config
	pool  *linalg.Pool
	rope  *ropeTable[T]
	free  activations[T] // for passes that keep nothing
	tiles [][]T          // attention scores, for each worker, in score
	score *linalg.Buffer[T]
	head  headScratch[T]
	grad  backScratch[T]
}

// Runner is the float32 form.
type Runner = RunnerOf[float32]

// NewRunner makes a runner that works on pool; nil is serial.
func NewRunner(c *arch.Config, pool *linalg.Pool) *Runner { return NewRunnerOf[float32](c, pool) }

// NewRunnerOf makes a runner in the precision of T.
func NewRunnerOf[T Float](c *arch.Config, pool *linalg.Pool) *RunnerOf[T] {
	workers := 1
	if pool != nil {
		workers = pool.Threads()
	}
	return &RunnerOf[T]{c: c, pool: pool, rope: newRopeTable[T](c), tiles: make([][]T, workers)}
}

// Embed sets x [len(ids), hidden] to the rows of table [vocab, hidden]. It
// panics for an id outside the vocabulary.
func (r *RunnerOf[T]) Embed(table []T, ids []int32, x []T) {
	d := r.c.Hidden
	mustLen("table", len(table), r.c.Vocab*d)
	mustLen("x", len(x), len(ids)*d)
	for t, id := range ids {
		if id < 0 || int(id) >= r.c.Vocab {
			panic(fmt.Sprintf("nn: token id %d outside the vocabulary of %d", id, r.c.Vocab))
		}
		copy(x[t*d:(t+1)*d], table[int(id)*d:(int(id)+1)*d])
	}
}

// TapOf sees the rows [T, width] of an input site in one window. The rows are
// scratch of the runner: do not keep them. A tap that changes them changes what
// the site's linear layers read.
type TapOf[T Float] func(window int, site string, rows []T, width int)

// Tap is the float32 form.
type Tap = TapOf[float32]

// Forward replaces x [n, hidden], one window, by the block's output. tap may
// be nil.
func (r *RunnerOf[T]) Forward(b *BlockOf[T], x []T, n int, tap func(site string, rows []T, width int)) {
	var t TapOf[T]
	if tap != nil {
		t = func(_ int, site string, rows []T, width int) { tap(site, rows, width) }
	}
	r.ForwardWindows(b, x, 1, n, t, false)
}

// ForwardWindows replaces x [windows·n, hidden] by the block's output. Each
// site is tapped for the windows in ascending order, on the caller's goroutine.
// With skipDown the pass ends before the down projection and x is left as it
// was: enough when only statistics are wanted.
func (r *RunnerOf[T]) ForwardWindows(b *BlockOf[T], x []T, windows, n int, tap TapOf[T], skipDown bool) {
	mustLen("x", len(x), windows*n*r.c.Hidden)
	if n == 0 {
		return
	}
	group := max(1, groupRows/n)
	for w0 := 0; w0 < windows; w0 += group {
		w1 := min(w0+group, windows)
		part := x[w0*n*r.c.Hidden : w1*n*r.c.Hidden]
		r.free.scratch(r.c, b, (w1-w0)*n, skipDown)
		var t TapOf[T]
		if tap != nil {
			t = func(w int, site string, rows []T, width int) { tap(w0+w, site, rows, width) }
		}
		r.run(b, part, w1-w0, n, &r.free, t, skipDown)
	}
}

// activations are a block's intermediate values for some rows. A pass that
// keeps nothing lets several of them share memory; see scratch and keep.
type activations[T Float] struct {
	x          []T // the block's input; nil: not kept
	h1         []T // after the input norm: site attn_in
	qIn, kIn   []T // queries and keys before their norms; q and k themselves where there are none
	q, k, v    []T // after norm and rotation
	att        []T // heads' outputs: site attn_out
	x1         []T // residual stream after attention; nil: updated in place
	h2         []T // after the post-attention norm: site mlp_in
	gate, up   []T
	mid        []T // silu(gate)·up, or the activations of up: site mlp_mid
	inv1, inv2 []T // factors of the two norms, a row each; then the means, where the norm takes them
	invQ, invK []T // factors of the query and key norms, a row and head each
	hidden     [7][]T

	afterAttention, afterMLP bottleneckTape[T] // what the adapters pass

	buf, side []T
	lent      *linalg.Buffer[T] // scratch's
}

// borrow returns n elements that are the passes' until Release.
func (a *activations[T]) borrow(n int) []T {
	if a.lent == nil || cap(a.lent.S) < n {
		a.release()
		a.lent = linalg.TakeBuffer[T](n)
	}
	return a.lent.S[:n]
}

func (a *activations[T]) release() {
	if a.lent != nil {
		a.lent.Give()
		a.lent = nil
	}
}

// Release hands back the memory that forward passes worked in. The runner may be
// used again.
func (r *RunnerOf[T]) Release() {
	r.free.release()
	if r.score != nil {
		r.score.Give()
		r.score = nil
	}
}

// scratch points the activations at memory that is reused from block to block.
func (a *activations[T]) scratch(c *arch.Config, b *BlockOf[T], rows int, keepX bool) {
	d, q, kv, f := c.Hidden, b.Q.Out, b.K.Out, b.Up.Out
	wide := max(d, q)
	adapter := max(b.AfterAttention.width(true), b.AfterMLP.width(true))
	need := rows * (wide + q + 2*kv + 2*f + adapter)
	if keepX {
		need += rows * d
	}
	rest := a.borrow(need)
	take := func(n int) []T {
		s := rest[: n*rows : n*rows]
		rest = rest[n*rows:]
		return s
	}
	// The rows at h1 are done with when the heads' outputs are written, those
	// in turn when h2 is.
	shared := take(wide)
	a.h1, a.att, a.h2 = shared[:rows*d], shared[:rows*q], shared[:rows*d]
	a.q, a.k, a.v = take(q), take(kv), take(kv)
	a.qIn, a.kIn = a.q, a.k
	a.gate, a.up = take(f), take(f)
	a.mid = a.gate // what a plain MLP has no gate to write to
	a.x, a.x1 = nil, nil
	if keepX {
		a.x1 = take(d)
	}
	a.inv1, a.inv2, a.invQ, a.invK = nil, nil, nil, nil
	// One adapter is done with before the other is reached.
	both := take(adapter)
	rest = both
	a.afterAttention.take(b.AfterAttention, true, take)
	rest = both
	a.afterMLP.take(b.AfterMLP, true, take)
	longest := 0
	for _, l := range b.Linears() {
		longest = max(longest, l.hiddenLen(rows))
	}
	side := grown(&a.side, longest)
	for i := range a.hidden {
		a.hidden[i] = side
	}
}

// run is the forward pass of one block over whole windows, whatever is kept.
func (r *RunnerOf[T]) run(b *BlockOf[T], x []T, windows, n int, a *activations[T], tap TapOf[T], skipDown bool) {
	c, rows := r.c, windows*n
	see := func(site string, rows []T, width int) {
		if tap == nil {
			return
		}
		for w := range windows {
			tap(w, site, rows[w*n*width:(w+1)*n*width], width)
		}
	}
	if a.x != nil {
		copy(a.x, x)
	}
	r.norm(a.h1, x, b.InputNorm, rows, a.inv1)
	see(arch.SiteAttnIn, a.h1, c.Hidden)
	r.attend(b, a, windows, n)
	see(arch.SiteAttnOut, a.att, b.O.In)

	x1 := x
	if a.x1 != nil {
		x1 = a.x1
		copy(x1, x)
	}
	r.yield(&b.O, b.AfterAttention, a.att, 1, x1, rows, a.hidden[3], &a.afterAttention)
	r.norm(a.h2, x1, b.PostNorm, rows, a.inv2)
	see(arch.SiteMLPIn, a.h2, c.Hidden)
	r.gated(b, a, rows)
	see(arch.SiteMLPMid, a.mid, b.Down.In)
	if skipDown {
		return
	}
	if a.x1 != nil {
		copy(x, x1)
	}
	r.yield(&b.Down, b.AfterMLP, a.mid, 1, x, rows, a.hidden[6], &a.afterMLP)
}

// attend goes from the normed rows at h1 to the heads' outputs.
func (r *RunnerOf[T]) attend(b *BlockOf[T], a *activations[T], windows, n int) {
	rows := windows * n
	b.Q.forward(r.pool, a.h1, 0, a.qIn, rows, a.hidden[0])
	b.K.forward(r.pool, a.h1, 0, a.kIn, rows, a.hidden[1])
	b.V.forward(r.pool, a.h1, 0, a.v, rows, a.hidden[2])
	r.turn(b, a, rows, n)
	at := r.attention(b)
	at.forward(r.pool, a.q, a.k, a.v, a.att, windows, n, r.tile(n))
}

// gated goes from the normed rows at h2 to what the down projection reads.
func (r *RunnerOf[T]) gated(b *BlockOf[T], a *activations[T], rows int) {
	c := r.c
	b.Up.forward(r.pool, a.h2, 0, a.up, rows, a.hidden[5])
	if c.Plain {
		r.activate(c.Activation, a.mid, a.up)
	} else {
		b.Gate.forward(r.pool, a.h2, 0, a.gate, rows, a.hidden[4])
		overRows(r.pool, rows, func(lo, hi int) {
			lo, hi = lo*b.Gate.Out, hi*b.Gate.Out
			silu(a.mid[lo:hi], a.gate[lo:hi])
			multiply(a.mid[lo:hi], a.up[lo:hi])
		})
	}
}

// turn applies the query and key norms, if any, and the rotary embedding.
func (r *RunnerOf[T]) turn(b *BlockOf[T], a *activations[T], rows, n int) {
	if !r.c.Learned {
		r.rope.grow(r.pool, n)
	}
	dim := r.c.HeadDim
	one := func(out, in, gain, inv []T, heads, lo, hi int) {
		for t := lo; t < hi; t++ {
			for h := range heads {
				at := (t*heads + h) * dim
				v := out[at : at+dim]
				switch {
				case gain != nil:
					f := rmsRow(v, in[at:at+dim], gain, r.c.RMSEps)
					if inv != nil {
						inv[t*heads+h] = f
					}
				case &out[0] != &in[0]:
					copy(v, in[at:at+dim])
				}
				if !r.c.Learned {
					r.rope.rotate(v, t%n, false)
				}
			}
		}
	}
	heads, kvHeads := b.heads(dim)
	overRows(r.pool, rows, func(lo, hi int) {
		one(a.q, a.qIn, b.QNorm, a.invQ, heads, lo, hi)
		one(a.k, a.kIn, b.KNorm, a.invK, kvHeads, lo, hi)
	})
}

func (r *RunnerOf[T]) attention(b *BlockOf[T]) *attention[T] {
	heads, kvHeads := b.heads(r.c.HeadDim)
	return &attention[T]{
		heads: heads, kvHeads: kvHeads, dim: r.c.HeadDim, window: b.Window,
		scale: T(1 / math.Sqrt(float64(r.c.HeadDim))),
	}
}

// tile returns the workers' attention scratch: two tiles of n keys each, and a row.
func (r *RunnerOf[T]) tile(n int) [][]T {
	each := (2*attnTile + 1) * n
	if r.score != nil && cap(r.score.S) < r.workers()*each {
		r.score.Give()
		r.score = nil
	}
	if r.score == nil {
		r.score = linalg.TakeBuffer[T](r.workers() * each)
	}
	for i := range r.tiles {
		r.tiles[i] = r.score.S[:cap(r.score.S)][i*each : (i+1)*each]
	}
	return r.tiles
}

func mustLen(what string, got, want int) {
	if got != want {
		panic(fmt.Sprintf("nn: %s has %d elements; expected %d", what, got, want))
	}
}
