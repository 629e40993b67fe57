package linalg

import (
	"github.com/compressc/compressc/internal/linalg/kernel"
	"github.com/compressc/compressc/internal/linalg/vmath"
)

// GramAdd adds XᵀX to the upper triangle, diagonal included, of C [n, n], where
// X [rows, n] holds the activations of one window. The product is one float32
// chain over the window's rows, added to C in float64, so a Gram matrix depends
// on the windows and their order, not on how many are at hand at once. The
// strict lower triangle of C is left as it was until GramMirror.
func (p *Pool) GramAdd(c []float64, x []float32, rows, n int) {
	checkMatrix("Gram matrix", "C", n, n, n, len(c))
	checkMatrix("Gram matrix", "X", rows, n, n, len(x))
	if rows == 0 || n == 0 {
		return
	}
	if n*n*rows < serialBelow {
		p = nil
	}
	kn := kernel.Select[float32](n)
	mr, nr := kn.MR, kn.NR
	panelsA, panelsB := (n+mr-1)/mr, (n+nr-1)/nr
	aBuf := TakeBuffer[float32](panelsA*mr*rows + kernel.PanelSlack)
	bBuf := TakeBuffer[float32](panelsB*nr*rows + kernel.PanelSlack)
	scratch := TakeBuffer[float32](p.Threads() * kernel.MaxTile)
	g := takeTiling[float32]()
	if g.gramTask == nil {
		g.gramTask = func(worker, task int) { gram(g, worker, task) }
	}
	g.kernel, g.m, g.n, g.kc = kn, n, n, rows
	g.panelsA, g.panelsB = panelsA, panelsB
	g.a, g.b, g.scratch = aBuf.S, bBuf.S, scratch.S
	g.packs = [2]packing[float32]{
		{dst: bBuf.S, src: x, ld: n, trans: true, count: n, rows: n, width: nr, kc: rows},
		{dst: aBuf.S, src: x, ld: n, trans: true, count: n, rows: n, width: mr, kc: rows},
	}
	g.sum = c
	p.For(g.packs[0].groups()+g.packs[1].groups(), g.packTask)
	p.For(g.taskRows()*panelsB, g.gramTask)
	g.give()
	aBuf.Give()
	bBuf.Give()
	scratch.Give()
}

// gram adds the tiles of a stretch of A panels and one B panel to sum [n, n].
func gram(t *tiling[float32], worker, task int) {
	mr, nr, n := t.kernel.MR, t.kernel.NR, t.n
	q, first := task/t.taskRows(), task%t.taskRows()*taskPanelsA
	j, width := q*nr, min(nr, n-q*nr)
	tmp := t.scratch[worker*kernel.MaxTile:][:mr*nr]
	for r := first; r < min(t.panelsA, first+taskPanelsA); r++ {
		i := r * mr
		if j+width-1 < i {
			return
		}
		t.kernel.Columns(max(0, i-j), width, t.kc, &t.a[r*mr*t.kc], &t.b[q*nr*t.kc], tmp, nr, 1, 0)
		for y := range min(mr, n-i) {
			lo := min(max(0, i+y-j), width)
			vmath.AddTo(t.sum[(i+y)*n+j+lo:(i+y)*n+j+width], tmp[y*nr+lo:y*nr+width])
		}
	}
}

// GramMirror copies the strict upper triangle of C [n, n] to the lower one. A nil
// pool does it serially.
func GramMirror(p *Pool, c []float64, n int) {
	checkMatrix("mirror", "C", n, n, n, len(c))
	mirrorUpper(p, n, c, n)
}

// mirrorBlock keeps both the rows read and the columns written in L1.
const mirrorBlock = 32

// mirrorUpper makes a symmetric by copying its upper triangle to the lower.
func mirrorUpper(p *Pool, n int, a []float64, lda int) {
	blocks := (n + mirrorBlock - 1) / mirrorBlock
	p.For(blocks, func(_, b int) {
		i0, i1 := b*mirrorBlock, min(n, (b+1)*mirrorBlock)
		mirrorTriangle(i0, i1, a, lda, true)
		if i1 < n {
			kernel.Transpose(i1-i0, n-i1, a[i0*lda+i1:], lda, a[i1*lda+i0:], lda)
		}
	})
}

// mirrorTriangle mirrors the block [i0, i1) on the diagonal.
func mirrorTriangle(i0, i1 int, a []float64, lda int, upper bool) {
	for i := i0; i < i1; i++ {
		for j := i + 1; j < i1; j++ {
			if upper {
				a[j*lda+i] = a[i*lda+j]
			} else {
				a[i*lda+j] = a[j*lda+i]
			}
		}
	}
}
