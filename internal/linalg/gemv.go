package linalg

import "github.com/compressc/compressc/internal/linalg/kernel"

// gemv computes y = alpha·op(A)·x + y, or without add y = alpha·op(A)·x, with
// op(A) [rows, k] stored [k, rows] if trans is set. y's elements are incY apart.
// It is what gemm computes for one column, bit for bit, but each element of A is
// used once, so that it is packed, if at all, a panel at a time. With decode, A
// is what that says instead of a, and not transposed.
func gemv[T kernel.Float](p *Pool, trans bool, rows, k int, alpha T, a []T, lda int, decode func(dst []T, row, lo, hi int), x []T, incX int, add bool, y []T, incY int) {
	if rows*k < serialBelow {
		p = nil
	}
	kn := kernel.SelectVector[T]()
	w, kcMax := kn.Width, kBlock(k)
	size := w*min(kcMax, k) + kernel.PanelSlack
	panels := TakeBuffer[T](p.Threads()*(size+w) + k)
	if incX != 1 {
		flat := panels.S[len(panels.S)-k:]
		for i := range flat {
			flat[i] = x[i*incX]
		}
		x = flat
	}
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
