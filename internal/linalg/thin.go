package linalg

import (
	"unsafe"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// Rows of A that a task of a thin product takes, about: more where they are
// columns of the stored matrix, so that it reads whole cache lines.
const (
	thinRows    = 24
	thinColumns = 96
)

// thin is gemm for a C of no more columns than a tile has, such as a product with
// the factors of LoRA. Each element of A is used in one tile only, so that A is
// packed, if at all, by the task that uses it, and a task runs over all K blocks.
// A's rows are read as they lie where the path has a kernel for that.
func thin[T kernel.Float](p *Pool, kn kernel.Gemm[T], tA, tB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, rows func(dst []T, row, lo, hi int), add bool, c []T, ldc int) {
	kc := kBlock(k)
	t := takeTiling[T]()
	var z T
	for _, tile := range kn.Rows {
		// Rows whose distance is a multiple of 2 KiB are in at most two sets of a
		// cache, which hold eight of them.
		if !tA && m >= tile.MR && kn.Whole(n) == kn.NR && (tile.MR <= 8 || lda*int(unsafe.Sizeof(z))%2048 != 0) {
			t.asIs, kn.MR = tile.Run, tile.MR
			break
		}
	}
	mr, nr := kn.MR, kn.NR
	t.kernel, t.alpha, t.add = kn, alpha, add
	t.m, t.n, t.k, t.kc, t.c, t.ldc = m, n, k, kc, c, ldc
	t.panelsA = (m + mr - 1) / mr
	t.perTask = max(1, thinRows/mr)
	if tA {
		t.perTask = max(1, thinColumns/mr)
	}
	t.own = mr * nr
	if t.asIs == nil {
		t.own += t.perTask*mr*min(kc, k) + kernel.PanelSlack
	}
	bBuf := TakeBuffer[T](nr*k + kernel.PanelSlack)
	scratch := TakeBuffer[T](p.Threads() * t.own)
	t.b, t.scratch = bBuf.S, scratch.S
	t.packs = [2]packing[T]{
		{dst: bBuf.S, src: b, decode: rows, ld: ldb, trans: !tB, count: n, rows: n, width: nr},
		{src: a, ld: lda, trans: tA, count: m, rows: m, width: mr},
	}
	packer := p
	if k*nr < serialBelow/16 {
		packer = nil // sooner done than handed on
	}
	packer.For((k+kc-1)/kc, t.thinPackTask)
	p.For((t.panelsA+t.perTask-1)/t.perTask, t.thinTask)
	t.give()
	bBuf.Give()
	scratch.Give()
}

// thinPack packs a K block of B. The blocks follow one another in its buffer.
func (t *tiling[T]) thinPack(_, block int) {
	p := t.packs[0]
	p.k0 = block * t.kc
	p.kc = min(t.kc, t.k-p.k0)
	p.some(0, 1, p.dst[p.k0*p.width:])
}

// thinTiles computes the rows of a few panels of A.
func (t *tiling[T]) thinTiles(worker, task int) {
	kn := &t.kernel
	mr, nr := kn.MR, kn.NR
	first, end := task*t.perTask, min(t.panelsA, (task+1)*t.perTask)
	own := t.scratch[worker*t.own:][:t.own]
	tile, panels := own[:mr*nr], own[mr*nr:]
	for k0 := 0; k0 < t.k; k0 += t.kc {
		kc := min(t.kc, t.k-k0)
		p := t.packs[1]
		if t.asIs == nil {
			p.k0, p.kc = k0, kc
			p.some(first, end, panels)
		}
		add := 0
		if t.add || k0 > 0 {
			add = 1
		}
		b := &t.b[k0*nr]
		for r := first; r < end; r++ {
			i := r * mr
			h := min(mr, t.m-i)
			top := i // the first row of the tile
			if t.asIs != nil {
				top = min(i, t.m-mr)
			}
			whole := top == i && h == mr && kn.Whole(t.n) <= t.n
			c, ldc := t.c[i*t.ldc:], t.ldc
			if !whole {
				c, ldc = tile, nr
				for y := range h {
					copy(tile[(i-top+y)*nr:][:t.n], t.c[(i+y)*t.ldc:])
				}
			}
			if t.asIs != nil {
				t.asIs(kc, &p.src[top*p.ld+k0], p.ld, b, &c[0], ldc, t.alpha, add)
			} else {
				kn.Columns(0, t.n, kc, &panels[(r-first)*mr*kc], b, c, ldc, t.alpha, add)
			}
			if !whole {
				for y := range h {
					copy(t.c[(i+y)*t.ldc:][:t.n], tile[(i-top+y)*nr:])
				}
			}
		}
	}
}
