package nn

import "github.com/compressc/compressc/internal/linalg"

// attnTile is how many query rows are scored at once. It bounds the scores held
// to [attnTile, T] a worker, never [T, T], and is part of the numeric contract:
// a tile's product with V runs over the keys up to the tile's last row.
const attnTile = 64

// attention holds the shapes of one attention call. q and o are [T, heads·dim],
// k and v [T, kvHeads·dim].
type attention[T Float] struct {
	heads, kvHeads, dim int
	window              int // 0: all positions before
	scale               T
}

func (a *attention[T]) tiles(n int) int { return (n + attnTile - 1) / attnTile }

// span returns the rows [r0, r1) of a tile and the first key any of them sees.
func (a *attention[T]) span(tile, n int) (r0, r1, k0 int) {
	r0 = tile * attnTile
	r1 = min(r0+attnTile, n)
	if a.window > 0 {
		k0 = max(0, r0-a.window+1)
	}
	return r0, r1, k0
}

// probabilities sets p [r1−r0, r1−k0] to the attention weights of one head and
// one tile; weights outside a row's reach are 0.
func (a *attention[T]) probabilities(p, q, k []T, head, r0, r1, k0 int) {
	qw, kw, n := a.heads*a.dim, a.kvHeads*a.dim, r1-k0
	kv := head / (a.heads / a.kvHeads)
	Gemm(nil, false, true, r1-r0, n, a.dim, a.scale, q[r0*qw+head*a.dim:], qw, k[k0*kw+kv*a.dim:], kw, 0, p, n)
	for s := r0; s < r1; s++ {
		row := p[(s-r0)*n : (s-r0+1)*n]
		lo := 0
		if a.window > 0 {
			lo = max(0, s-a.window+1-k0)
		}
		hi := s + 1 - k0
		softmax(row[lo:hi])
		clear(row[:lo])
		clear(row[hi:])
	}
}

// forward computes o for several windows of n rows each. tile is scratch of at
// least attnTile·n elements for each worker.
func (a *attention[T]) forward(p *linalg.Pool, q, k, v, o []T, windows, n int, tile [][]T) {
	qw, kw := a.heads*a.dim, a.kvHeads*a.dim
	tiles := a.tiles(n)
	group := a.heads / a.kvHeads
	p.For(windows*a.heads*tiles, func(worker, t int) {
		w, head := t/(a.heads*tiles), t/tiles%a.heads
		// Long tiles first, so that the last tasks handed out are short.
		r0, r1, k0 := a.span(tiles-1-t%tiles, n)
		q, k, v, o := q[w*n*qw:], k[w*n*kw:], v[w*n*kw:], o[w*n*qw:]
		keys := r1 - k0
		prob := tile[worker][:(r1-r0)*keys]
		a.probabilities(prob, q, k, head, r0, r1, k0)
		Gemm(nil, false, false, r1-r0, a.dim, keys, 1, prob, keys, v[k0*kw+head/group*a.dim:], kw, 0, o[r0*qw+head*a.dim:], qw)
	})
}

// attnParts is how many partial sums of a head's dK and dV are kept apart: the
// tiles of one head are dealt to so many tasks, so that few heads still occupy
// several workers. It is part of the numeric contract.
const attnParts = 2

// backward computes dq, dk and dv of one window from do. The weights are
// computed again from q and k: that costs less than keeping [heads, n, n].
// tiles is scratch of 2·attnTile·n elements for each worker; partK and partV
// are scratch of attnParts·n·heads·dim elements.
func (a *attention[T]) backward(p *linalg.Pool, q, k, v, do, dq, dk, dv []T, n int, tiles [][]T, partK, partV []T) {
	qw, kw := a.heads*a.dim, a.kvHeads*a.dim
	group := a.heads / a.kvHeads
	count := a.tiles(n)
	p.For(a.heads*attnParts, func(worker, t int) {
		head, part := t/attnParts, t%attnParts
		col := head * a.dim
		pk, pv := partK[part*n*qw:(part+1)*n*qw], partV[part*n*qw:(part+1)*n*qw]
		for s := range n {
			clear(pk[s*qw+col : s*qw+col+a.dim])
			clear(pv[s*qw+col : s*qw+col+a.dim])
		}
		kcol := head / group * a.dim
		for tile := part; tile < count; tile += attnParts {
			r0, r1, k0 := a.span(tile, n)
			rows, keys := r1-r0, r1-k0
			prob := tiles[worker][:rows*keys]
			ds := tiles[worker][attnTile*n : attnTile*n+rows*keys]
			centred := tiles[worker][2*attnTile*n : 2*attnTile*n+keys]
			a.probabilities(prob, q, k, head, r0, r1, k0)
			Gemm(nil, false, true, rows, keys, a.dim, 1, do[r0*qw+col:], qw, v[k0*kw+kcol:], kw, 0, ds, keys)
			Gemm(nil, true, false, keys, a.dim, rows, 1, prob, keys, do[r0*qw+col:], qw, 1, pv[k0*qw+col:], qw)
			for s := range rows {
				pr, d := prob[s*keys:(s+1)*keys], ds[s*keys:(s+1)*keys]
				less(centred, d, T(dot(pr, d)))
				copy(d, pr)
				multiply(d, centred)
			}
			Gemm(nil, false, false, rows, a.dim, keys, a.scale, ds, keys, k[k0*kw+kcol:], kw, 0, dq[r0*qw+col:], qw)
			Gemm(nil, true, false, keys, a.dim, rows, a.scale, ds, keys, q[r0*qw+col:], qw, 1, pk[k0*qw+col:], qw)
		}
	})
	// Heads of a group ascending, the parts of each ascending.
	overRows(p, n, func(lo, hi int) {
		for s := lo; s < hi; s++ {
			for kv := range a.kvHeads {
				rk, rv := dk[s*kw+kv*a.dim:][:a.dim], dv[s*kw+kv*a.dim:][:a.dim]
				clear(rk)
				clear(rv)
				for head := kv * group; head < (kv+1)*group; head++ {
					for part := range attnParts {
						at := (part*n+s)*qw + head*a.dim
						add(rk, partK[at:at+a.dim])
						add(rv, partV[at:at+a.dim])
					}
				}
			}
		}
	})
}
