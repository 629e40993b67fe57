package linalg

import (
	"fmt"
	"sync"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// kBlockMax bounds a K block: at 320 a 48-column float32 panel of B is 60 KiB
// and ten 8-row panels of A 100 KiB, which share the L2 cache of every current
// core. Part of the numeric contract.
const kBlockMax = 320

const (
	taskPanelsA = 10   // panels of A a task runs over: they stay in L2
	taskPanelsB = 4    // panels of B a task runs over
	packWidth   = 192  // rows or columns packed by one task, about
	packDepth   = 128  // stored rows of a transposed operand read before the next
	columnsMax  = 4608 // columns of B packed at a time: bounds the buffer
	// serialBelow is the number of multiply-adds under which a product runs on
	// its caller alone: about 4 µs of work.
	serialBelow = 1 << 19
)

// kBlock returns the length of the K blocks (the last may be shorter). It
// depends on k alone: part of the numeric contract.
func kBlock(k int) int {
	blocks := (k + kBlockMax - 1) / kBlockMax
	return ((k+blocks-1)/blocks + 15) &^ 15
}

// triangle says which part of a square C a product writes.
type triangle int

const (
	whole triangle = iota
	upperPart
	lowerPart
)

func trianglePart(upper bool) triangle {
	if upper {
		return upperPart
	}
	return lowerPart
}

// Sgemm computes C = alpha·op(A)·op(B) + beta·C with op(A) [m, k], op(B) [k, n]
// and C [m, n]. tA means that A is stored [k, m], tB that B is stored [n, k].
// With beta = 0, C is not read; with alpha = 0 or k = 0, A and B are not.
func (p *Pool) Sgemm(tA, tB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	gemm(p, whole, tA, tB, m, n, k, alpha, a, lda, b, ldb, nil, beta, c, ldc)
}

// Rows sets dst to columns [lo, hi) of a row of a matrix that is stored in
// another form, as codes say. It is called from several goroutines at once.
type Rows func(dst []float32, row, lo, hi int)

// SgemmRows is Sgemm with a B that is stored [n, k] in another form: its rows
// are decoded where they are packed, a panel at a time, so that they never stand
// in memory as a whole. The bits are those of Sgemm with the decoded matrix.
func (p *Pool) SgemmRows(m, n, k int, alpha float32, a []float32, lda int, b Rows, beta float32, c []float32, ldc int) {
	gemm(p, whole, false, true, m, n, k, alpha, a, lda, nil, k, b, beta, c, ldc)
}

// Dgemm is Sgemm in float64.
func (p *Pool) Dgemm(tA, tB bool, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	gemm(p, whole, tA, tB, m, n, k, alpha, a, lda, b, ldb, nil, beta, c, ldc)
}

// Ssyrk computes one triangle, diagonal included, of C = alpha·A·Aᵀ + beta·C
// with A [n, k], or with trans of C = alpha·Aᵀ·A + beta·C with A stored [k, n].
// The other triangle of C [n, n] is left as it was. The triangles are bit for
// bit each other's mirror.
func (p *Pool) Ssyrk(upper, trans bool, n, k int, alpha float32, a []float32, lda int, beta float32, c []float32, ldc int) {
	gemm(p, trianglePart(upper), trans, !trans, n, n, k, alpha, a, lda, a, lda, nil, beta, c, ldc)
}

// Dsyrk is Ssyrk in float64.
func (p *Pool) Dsyrk(upper, trans bool, n, k int, alpha float64, a []float64, lda int, beta float64, c []float64, ldc int) {
	gemm(p, trianglePart(upper), trans, !trans, n, n, k, alpha, a, lda, a, lda, nil, beta, c, ldc)
}

// checkMatrix panics unless a rows×cols matrix of row stride ld fits size.
func checkMatrix(op, name string, rows, cols, ld, size int) {
	if rows < 0 || cols < 0 || ld < cols || rows > 0 && cols > 0 && size < (rows-1)*ld+cols {
		panic(fmt.Sprintf("linalg: %s: matrix %s is %d×%d with row stride %d, but its slice has %d elements", op, name, rows, cols, ld, size))
	}
}

func stored(trans bool, rows, cols int) (int, int) {
	if trans {
		return cols, rows
	}
	return rows, cols
}

// gemm is the product that all forms are. With rows, B is what they say instead
// of b, and stored [n, k].
func gemm[T kernel.Float](p *Pool, part triangle, tA, tB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, rows func(dst []T, row, lo, hi int), beta T, c []T, ldc int) {
	checkMatrix("product", "C", m, n, ldc, len(c))
	if m == 0 || n == 0 {
		return
	}
	if alpha == 0 || k == 0 {
		scale(part, m, n, beta, c, ldc)
		return
	}
	r, s := stored(tA, m, k)
	checkMatrix("product", "A", r, s, lda, len(a))
	if rows == nil {
		r, s = stored(tB, k, n)
		checkMatrix("product", "B", r, s, ldb, len(b))
	}
	if beta != 0 && beta != 1 {
		scale(part, m, n, beta, c, ldc)
	}
	if part == whole && n == 1 {
		if rows != nil {
			row := TakeBuffer[T](k)
			defer row.Give()
			rows(row.S, 0, 0, k)
			b = row.S
		}
		inc := ldb
		if tB {
			inc = 1
		}
		gemv(p, tA, m, k, alpha, a, lda, nil, b, inc, beta != 0, c, ldc)
		return
	}
	if part == whole && m == 1 {
		inc := 1
		if tA {
			inc = lda
		}
		gemv(p, !tB, n, k, alpha, b, ldb, rows, a, inc, beta != 0, c, 1)
		return
	}
	if m*n*k < serialBelow {
		p = nil
	}
	kn := kernel.Select[T](n)
	if part == whole && n <= kn.NR {
		thin(p, kn, tA, tB, m, n, k, alpha, a, lda, b, ldb, rows, beta != 0, c, ldc)
		return
	}
	mr, nr := kn.MR, kn.NR
	kcMax := kBlock(k)
	panelsA, panelsB := (m+mr-1)/mr, (n+nr-1)/nr
	stretches := (panelsB*nr + columnsMax - 1) / columnsMax
	ncMax := (panelsB + stretches - 1) / stretches * nr
	aBuf := TakeBuffer[T](panelsA*mr*min(kcMax, k) + kernel.PanelSlack)
	bBuf := TakeBuffer[T](ncMax*min(kcMax, k) + kernel.PanelSlack)
	scratch := TakeBuffer[T](p.Threads() * kernel.MaxTile)
	t := takeTiling[T]()
	t.kernel, t.part, t.alpha = kn, part, alpha
	t.m, t.a, t.b, t.c, t.ldc, t.scratch = m, aBuf.S, bBuf.S, c, ldc, scratch.S
	t.panelsA = panelsA
	for pc := 0; pc < k; pc += kcMax {
		kc := min(kcMax, k-pc)
		t.kc, t.add = kc, beta != 0 || pc > 0
		t.packs[1] = packing[T]{dst: aBuf.S, src: a, ld: lda, trans: tA, count: m, rows: m, width: mr, k0: pc, kc: kc}
		for jc := 0; jc < n; jc += ncMax {
			nc := min(ncMax, n-jc)
			t.n, t.jc, t.panelsB = nc, jc, (nc+nr-1)/nr
			t.packs[0] = packing[T]{dst: bBuf.S, src: b, decode: rows, ld: ldb, trans: !tB, first: jc, count: nc, rows: n, width: nr, k0: pc, kc: kc}
			if jc > 0 { // A is packed
				t.packs[1].count = 0
			}
			p.For(t.packs[0].groups()+t.packs[1].groups(), t.packTask)
			p.For(t.taskRows()*t.taskColumns(), t.tileTask)
		}
	}
	t.give()
	aBuf.Give()
	bBuf.Give()
	scratch.Give()
}

// packing is the work of packing one operand, or a stretch of it, into panels.
type packing[T kernel.Float] struct {
	dst, src     []T
	decode       func(dst []T, row, lo, hi int) // instead of src
	ld           int
	trans        bool // row i of the operand is a column of the stored matrix
	first, count int  // the operand's rows [first, first+count) are packed
	rows         int  // of the operand, for reads that may look ahead
	width        int  // of a panel
	k0, kc       int
}

func (p *packing[T]) perGroup() int { return max(1, packWidth/p.width) }

func (p *packing[T]) panels() int { return (p.count + p.width - 1) / p.width }

// groups returns the number of tasks.
func (p *packing[T]) groups() int { return (p.panels() + p.perGroup() - 1) / p.perGroup() }

// group packs the panels of one task.
func (p *packing[T]) group(g int) {
	lo := g * p.perGroup()
	p.some(lo, min(p.panels(), lo+p.perGroup()), p.dst[lo*p.width*p.kc:])
}

// some packs panels [lo, hi) to dst. Those of a transposed operand are packed
// side by side, a few stored rows at a time: a panel is a few bytes of each row,
// and rows of a wide matrix are a page or more apart.
func (p *packing[T]) some(lo, hi int, dst []T) {
	if p.decode != nil {
		flat := TakeBuffer[T](p.width * p.kc)
		for q := lo; q < hi; q++ {
			cnt := min(p.width, p.count-q*p.width)
			packDecoded(dst[(q-lo)*p.width*p.kc:], flat.S, p.decode, p.first+q*p.width, cnt, p.width, p.k0, p.kc)
		}
		flat.Give()
		return
	}
	depth := p.kc
	if p.trans {
		depth = packDepth
	}
	for k := 0; k < p.kc; k += depth {
		kc := min(depth, p.kc-k)
		for q := lo; q < hi; q++ {
			i := p.first + q*p.width
			cnt := min(p.width, p.count-q*p.width)
			src := p.src
			if p.trans {
				src = src[(p.k0+k)*p.ld+i:]
			} else {
				src = src[i*p.ld+p.k0+k:]
			}
			kernel.Pack(dst[((q-lo)*p.kc+k)*p.width:], src, p.ld, kc, p.width, cnt, p.rows-i, p.trans)
		}
	}
}

// packDecoded packs rows [i, i+cnt) of a matrix in another form, columns [k0,
// k0+kc), as a panel of the given width. flat is memory for them.
func packDecoded[T kernel.Float](dst, flat []T, decode func(dst []T, row, lo, hi int), i, cnt, width, k0, kc int) {
	for r := range cnt {
		decode(flat[r*kc:(r+1)*kc], i+r, k0, k0+kc)
	}
	kernel.Pack(dst, flat, kc, kc, width, cnt, cnt, false)
}

// scale multiplies the part of C by beta, and clears it for beta = 0.
func scale[T kernel.Float](part triangle, m, n int, beta T, c []T, ldc int) {
	for i := range m {
		lo, hi := 0, n
		switch part {
		case upperPart:
			lo = min(i, n)
		case lowerPart:
			hi = min(i+1, n)
		}
		row := c[i*ldc+lo : i*ldc+hi]
		if beta == 0 {
			clear(row)
			continue
		}
		for j := range row {
			row[j] = T(row[j] * beta)
		}
	}
}

// tiling is a product's work on one K block and one stretch of columns. It is
// pooled, with its tasks as functions, so that a product allocates nothing.
type tiling[T kernel.Float] struct {
	kernel           kernel.Gemm[T]
	part             triangle
	alpha            T
	add              bool
	m, n             int // n columns from jc on
	jc, kc           int
	panelsA, panelsB int
	packs            [2]packing[T] // of B and of A
	a, b, c          []T
	ldc              int
	scratch          []T
	sum              []float64 // of GramAdd, instead of c

	// Of thin: all of K, panels of A that a task takes, scratch of a worker, and the
	// kernel for A as it lies, if it is.
	k, perTask, own int
	asIs            func(kc int, a *T, lda int, b, c *T, ldc int, alpha T, add int)

	packTask, tileTask, gramTask, thinPackTask, thinTask func(worker, task int)
}

var tilings32, tilings64 sync.Pool

func tilingPool[T kernel.Float]() *sync.Pool {
	var z T
	if any(z) == any(float32(0)) {
		return &tilings32
	}
	return &tilings64
}

func takeTiling[T kernel.Float]() *tiling[T] {
	if v := tilingPool[T]().Get(); v != nil {
		return v.(*tiling[T])
	}
	t := &tiling[T]{}
	t.packTask, t.tileTask, t.thinPackTask, t.thinTask = t.pack, t.tiles, t.thinPack, t.thinTiles
	return t
}

func (t *tiling[T]) give() {
	// It must keep no matrices alive.
	*t = tiling[T]{packTask: t.packTask, tileTask: t.tileTask, gramTask: t.gramTask, thinPackTask: t.thinPackTask, thinTask: t.thinTask}
	tilingPool[T]().Put(t)
}

// pack takes groups of B and of A by turns: those of a Gram matrix are of the same
// memory.
func (t *tiling[T]) pack(_, task int) {
	both := 2 * min(t.packs[0].groups(), t.packs[1].groups())
	switch {
	case task < both:
		t.packs[task%2].group(task / 2)
	case both/2 < t.packs[0].groups():
		t.packs[0].group(task - both/2)
	default:
		t.packs[1].group(task - both/2)
	}
}

func (t *tiling[T]) taskRows() int    { return (t.panelsA + taskPanelsA - 1) / taskPanelsA }
func (t *tiling[T]) taskColumns() int { return (t.panelsB + taskPanelsB - 1) / taskPanelsB }

func (t *tiling[T]) tiles(worker, task int) {
	ti, tj := task/t.taskColumns(), task%t.taskColumns()
	for q := tj * taskPanelsB; q < min(t.panelsB, (tj+1)*taskPanelsB); q++ {
		for r := ti * taskPanelsA; r < min(t.panelsA, (ti+1)*taskPanelsA); r++ {
			t.tile(worker, r, q)
		}
	}
}

// tile computes the tile of A panel r and B panel q.
func (t *tiling[T]) tile(worker, r, q int) {
	mr, nr := t.kernel.MR, t.kernel.NR
	i, j := r*mr, t.jc+q*nr
	h, w := min(mr, t.m-i), min(nr, t.jc+t.n-j)
	lo, hi := 0, w // the columns of which some are wanted
	switch t.part {
	case upperPart:
		lo = max(0, i-j)
	case lowerPart:
		hi = min(w, i+h-j)
	}
	if lo >= hi {
		return
	}
	add := 0
	if t.add {
		add = 1
	}
	a, b := &t.a[r*mr*t.kc], &t.b[q*nr*t.kc]
	onDiagonal := t.part == upperPart && j < i+h-1 || t.part == lowerPart && j+w-1 > i
	if h == mr && !onDiagonal && t.kernel.Whole(hi) <= w {
		t.kernel.Columns(lo, hi, t.kc, a, b, t.c[i*t.ldc+j:], t.ldc, t.alpha, add)
		return
	}
	tmp := t.scratch[worker*kernel.MaxTile:][:mr*nr]
	if t.add {
		for y := range h {
			copy(tmp[y*nr+lo:y*nr+hi], t.c[(i+y)*t.ldc+j+lo:])
		}
	}
	t.kernel.Columns(lo, hi, t.kc, a, b, tmp, nr, t.alpha, add)
	for y := range h {
		from, to := lo, hi
		switch t.part {
		case upperPart:
			from = max(lo, i+y-j)
		case lowerPart:
			to = min(hi, i+y-j+1)
		}
		if from < to {
			copy(t.c[(i+y)*t.ldc+j+from:(i+y)*t.ldc+j+to], tmp[y*nr+from:y*nr+to])
		}
	}
}
