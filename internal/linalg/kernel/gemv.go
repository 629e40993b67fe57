package kernel

import (
	"fmt"
	"math"
	"unsafe"
)

// GemvRows computes y[i] = Σ_j a[i·lda+j]·x[j] for i < m and j < n, n a
// multiple of 8. Each sum runs in eight lanes, lane l taking j ≡ l (mod 8) in
// ascending order by fused multiply-adds from +0, added up as
// ((l0+l4)+(l2+l6)) + ((l1+l5)+(l3+l7)).
func GemvRows(m, n int, a []float64, lda int, x, y []float64) {
	if m == 0 {
		return
	}
	checkGemv(m, n, len(a), lda, len(x), n, len(y), m)
	if n == 0 {
		clear(y[:m])
		return
	}
	active.gemvRows(m, n, &a[0], lda, &x[0], &y[0])
}

// GemvCols computes y[j] += Σ_i c[i]·a[i·lda+j] for j < n, n a multiple of 8,
// as one chain of fused multiply-adds in ascending i < m from y[j].
func GemvCols(m, n int, a []float64, lda int, c, y []float64) {
	if m == 0 || n == 0 {
		return
	}
	checkGemv(m, n, len(a), lda, len(c), m, len(y), n)
	active.gemvCols(m, n, &a[0], lda, &c[0], &y[0])
}

func checkGemv(m, n, na, lda, nx, needX, ny, needY int) {
	if n%8 != 0 || m < 0 || n < 0 || lda < n || na < (m-1)*lda+n || nx < needX || ny < needY {
		panic(fmt.Sprintf("kernel: matrix-vector product of %d×%d, lda %d, with slices of %d, %d, %d", m, n, lda, na, nx, ny))
	}
}

func gemvRowsGo(m, n int, a *float64, lda int, x, y *float64) {
	A, X, Y := unsafe.Slice(a, (m-1)*lda+n), unsafe.Slice(x, n), unsafe.Slice(y, m)
	for i := range m {
		row := A[i*lda : i*lda+n]
		var l [8]float64
		for j := 0; j < n; j += 8 {
			r, v := row[j:j+8], X[j:j+8]
			for q := range l {
				l[q] = math.FMA(r[q], v[q], l[q])
			}
		}
		Y[i] = ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
	}
}

func gemvColsGo(m, n int, a *float64, lda int, c, y *float64) {
	A, C, Y := unsafe.Slice(a, (m-1)*lda+n), unsafe.Slice(c, m), unsafe.Slice(y, n)
	for i, v := range C {
		row := A[i*lda : i*lda+n]
		for j := range Y {
			Y[j] = math.FMA(v, row[j], Y[j])
		}
	}
}
