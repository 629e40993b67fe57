package linalg

import "github.com/compressc/compressc/internal/linalg/kernel"

// gemv computes y = alpha·op(A)·x + y, or without add y = alpha·op(A)·x, with
// op(A) [rows, k] stored [k, rows] if trans is set. y's elements are incY apart.
// It is what gemm computes for one column, bit for bit, but each element of A is
// used once, so that it is packed, if at all, a panel at a time. With decode, A
// is what that says instead of a, and not transposed.
//
// Rows that lie one after another are not packed at all where the path has a
// kernel for that (rowProduct).
func gemv[T kernel.Float](p *Pool, trans bool, rows, k int, alpha T, a []T, lda int, decode func(dst []T, row, lo, hi int), x []T, incX int, add bool, y []T, incY int) {
	if rows*k < serialBelow {
		p = nil
	}
	if incX != 1 {
		flat := TakeBuffer[T](k)
		defer flat.Give()
		for i := range flat.S {
			flat.S[i] = x[i*incX]
		}
		x = flat.S
	}
	if !trans && decode == nil && rowProduct(p, rows, k, alpha, a, lda, x, add, y, incY) {
		return
	}
	kn := kernel.SelectVector[T]()
	w, kcMax := kn.Width, kBlock(k)
	size := w*min(kcMax, k) + kernel.PanelSlack
	panels := TakeBuffer[T](p.Threads() * (size + w))
	p.For((rows+w-1)/w, func(worker, task int) {
		buf := panels.S[worker*(size+w):][:size+w]
		out := buf[size:]
		i := task * w
		cnt := min(w, rows-i)
		direct := incY == 1 && cnt == w
		if direct {
			out = y[i : i+w]
		} else if add {
			for j := range cnt {
				out[j] = y[(i+j)*incY]
			}
		}
		for pc := 0; pc < k; pc += kcMax {
			kc := min(kcMax, k-pc)
			b, ldb := buf, w
			switch {
			case trans && cnt == w:
				b, ldb = a[pc*lda+i:], lda
			case trans:
				kernel.Pack(buf[:size], a[pc*lda+i:], lda, kc, w, cnt, rows-i, true)
			case decode != nil:
				flat := TakeBuffer[T](w * kc)
				packDecoded(buf[:size], flat.S, decode, i, cnt, w, pc, kc)
				flat.Give()
			default:
				kernel.Pack(buf[:size], a[i*lda+pc:], lda, kc, w, cnt, rows-i, false)
			}
			more := 0
			if add || pc > 0 {
				more = 1
			}
			kn.Run(kc, &x[pc], &b[0], ldb, &out[0], alpha, more)
		}
		if !direct {
			for j := range cnt {
				y[(i+j)*incY] = out[j]
			}
		}
	})
	panels.Give()
}

// rowTask is the number of rows of a task of rowProduct, rowGroup a number that
// the rows of its kernels divide.
const (
	rowTask  = 64
	rowGroup = 16
)

// kBlocks are K blocks that rowProduct takes side by side: count of them, each of
// kc columns, from k0 on, and their part of x.
type kBlocks[T kernel.Float] struct {
	k0, kc, count int
	kernel        kernel.Rows[T]
	x             []T
}

// rowProduct is gemv of a matrix whose rows lie one after another, by kernels that
// transpose them in registers; it reports false where the path has none, and
// where there are too few rows. Chains of different K blocks are independent, so
// several blocks of few rows are taken at once: that hides latency like more rows
// would, which often share the sets of a cache.
func rowProduct[T kernel.Float](p *Pool, rows, k int, alpha T, a []T, lda int, x []T, add bool, y []T, incY int) bool {
	kernels := kernel.SelectRows[T]()
	if len(kernels) == 0 || rows < rowGroup {
		return false
	}
	kcMax := kBlock(k)
	steps := make([]kBlocks[T], 0, (k+kcMax-1)/kcMax)
	size := 0
	for k0 := 0; k0 < k; {
		s := kBlocks[T]{k0: k0, kc: min(kcMax, k-k0), count: 1, kernel: kernels[len(kernels)-1]}
	choose:
		for _, kn := range kernels {
			for _, n := range kn.Blocks {
				if n*kcMax <= k-k0 {
					s.count, s.kernel = n, kn
					break choose
				}
			}
		}
		size += s.kernel.Packed(s.kc)
		steps = append(steps, s)
		k0 += s.count * s.kc
	}
	buf := TakeBuffer[T](size + p.Threads()*rowTask)
	rest := buf.S
	for i := range steps {
		s := &steps[i]
		n := s.kernel.Packed(s.kc)
		s.x, rest = rest[:n], rest[n:]
		s.kernel.Pack(s.x, x[s.k0:], s.kc, s.count)
	}
	whole := rows - rows%rowGroup
	p.For((whole+rowTask-1)/rowTask+(rows-whole+rowGroup-1)/rowGroup, func(worker, task int) {
		lo, hi := task*rowTask, min(whole, (task+1)*rowTask)
		first := lo // the first row that is this task's to write
		if lo >= whole {
			lo, hi, first = rows-rowGroup, rows, whole
		}
		c := rest[worker*rowTask:][:hi-lo]
		direct := incY == 1 && first == lo
		if direct {
			c = y[lo:hi]
		}
		if !add || !direct {
			clear(c)
		}
		if add && !direct {
			for i := first; i < hi; i++ {
				c[i-lo] = y[i*incY]
			}
		}
		for _, s := range steps {
			kn := s.kernel
			l1, l2, rg := kn.Strides(s.kc, s.count, lda)
			for i := lo; i < hi; i += rg * kn.Vectors {
				kn.Run(s.kc, &s.x[0], &a[i*lda+s.k0], l1, l2, lda, rg, &c[i-lo], alpha)
			}
		}
		if !direct {
			for i := first; i < hi; i++ {
				y[i*incY] = c[i-lo]
			}
		}
	})
	buf.Give()
	return true
}
