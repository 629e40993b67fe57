//go:build unix

package kernel

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/compressc/compressc/internal/linalg/kernel/kerneltest"
)

func TestPackStaysInside(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		testPack[float32](t)
		testPack[float64](t)
	})
}

func testPack[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	s, middle, narrow := Select[T](100), Select[T](20), Select[T](4)
	for range 400 {
		w := []int{s.MR, s.NR, middle.MR, middle.NR, narrow.MR, narrow.NR}[r.IntN(6)]
		kc := 1 + r.IntN(40)
		rows := 1 + r.IntN(60)
		trans := r.IntN(2) == 0
		n1, n2 := rows, kc
		if trans {
			n1, n2 = kc, rows
		}
		ld := n2 + r.IntN(4)
		src := kerneltest.Guarded[T](t, (n1-1)*ld+n2)
		for i := range src {
			src[i] = T(r.IntN(1000))
		}
		first := r.IntN(rows)
		cnt := min(w, rows-first)
		slack := PanelSlack
		if trans {
			slack = 0
		}
		dst := kerneltest.Guarded[T](t, kc*w+slack)
		at := func(i, k int) T {
			if trans {
				return src[k*ld+i]
			}
			return src[i*ld+k]
		}
		from := src[first:]
		if !trans {
			from = src[first*ld:]
		}
		Pack(dst, from, ld, kc, w, cnt, rows-first, trans)
		for k := range kc {
			for i := range w {
				var want T
				if i < cnt {
					want = at(first+i, k)
				}
				if dst[k*w+i] != want {
					t.Fatalf("w=%d kc=%d rows=%d from %d trans=%v: (%d,%d) is %v, want %v", w, kc, rows, first, trans, i, k, dst[k*w+i], want)
				}
			}
		}
	}
}

func TestTilesAndGemvStayInside(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		tileInside[float32](t)
		tileInside[float64](t)
		for _, m := range []int{1, 3, 4, 7, 8, 9, 17} {
			for _, n := range []int{8, 24, 64, 72, 200} {
				a, x, y := kerneltest.Guarded[float64](t, m*n), kerneltest.Guarded[float64](t, n), kerneltest.Guarded[float64](t, m)
				GemvRows(m, n, a, n, x, y)
				GemvCols(m, n, a, n, y, x)
			}
		}
	})
}

func tileInside[T Float](t *testing.T) {
	v := SelectVector[T]()
	for _, kc := range []int{1, 5} {
		ldb := v.Width + 3
		x, b, y := kerneltest.Guarded[T](t, kc), kerneltest.Guarded[T](t, (kc-1)*ldb+v.Width), kerneltest.Guarded[T](t, v.Width)
		v.Run(kc, &x[0], &b[0], ldb, &y[0], 1, 0)
		v.Run(kc, &x[0], &b[0], ldb, &y[0], 1, 1)
	}
	for _, n := range []int{4, 20, 100} {
		g := Select[T](n)
		for _, kc := range []int{1, 3, 4, 9, 110} {
			a, b := kerneltest.Guarded[T](t, g.MR*kc), kerneltest.Guarded[T](t, g.NR*kc)
			ldc := g.NR + 3
			c := kerneltest.Guarded[T](t, (g.MR-1)*ldc+g.NR)
			g.Run(kc, &a[0], &b[0], &c[0], ldc, 1, 1)
			g.Run(kc, &a[0], &b[0], &c[0], ldc, 1, 0)
			for lane := 0; lane < g.NR; lane += g.Lane() {
				c := kerneltest.Guarded[T](t, (g.MR-1)*ldc+lane+g.Lane())
				g.Columns(0, lane+1, kc, &a[0], &b[0], c, ldc, 1, 1)
				g.Columns(lane, lane+g.Lane(), kc, &a[0], &b[0], c, ldc, 1, 0)
			}
		}
	}
}

func TestTilesOfRowsStayInside(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		tilesOfRows(t, hostile32, FMA32)
		tilesOfRows(t, (*rand.Rand).NormFloat64, math.FMA)
	})
}

// tilesOfRows runs the tiles whose A is not packed on matrices that end at a page
// without access, against chains element by element.
func tilesOfRows[T Float](t *testing.T, draw func(*rand.Rand) T, fma func(a, b, c T) T) {
	r := rand.New(rand.NewPCG(7, 4))
	for _, n := range []int{4, 20, 100} {
		g := Select[T](n)
		for _, tile := range g.Rows {
			for range 60 {
				kc := 1 + r.IntN(30)
				lda, ldc, add := kc+r.IntN(4), g.NR+r.IntN(4), r.IntN(2)
				a, b, c := kerneltest.Guarded[T](t, (tile.MR-1)*lda+kc), kerneltest.Guarded[T](t, kc*g.NR), kerneltest.Guarded[T](t, (tile.MR-1)*ldc+g.NR)
				for _, x := range [][]T{a, b, c} {
					for i := range x {
						x[i] = draw(r)
					}
				}
				alpha := draw(r)
				want := append([]T{}, c...)
				for i := range tile.MR {
					for j := range g.NR {
						var acc, old T
						for k := range kc {
							acc = fma(a[i*lda+k], b[k*g.NR+j], acc)
						}
						if add != 0 {
							old = want[i*ldc+j]
						}
						want[i*ldc+j] = fma(alpha, acc, old)
					}
				}
				tile.Run(kc, &a[0], lda, &b[0], &c[0], ldc, alpha, add)
				for i, v := range c {
					if !same64(float64(v), float64(want[i])) {
						t.Fatalf("%T %d×%d, kc=%d, lda=%d: element (%d, %d) is %x, want %x", v, tile.MR, g.NR, kc, lda, i/ldc, i%ldc, v, want[i])
					}
				}
			}
		}
	}
}

func TestRowsStayInside(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rowsInside(t, hostile32, FMA32)
		rowsInside(t, func(r *rand.Rand) float64 {
			if r.IntN(2) == 0 {
				return math.Float64frombits(r.Uint64())
			}
			return r.NormFloat64()
		}, math.FMA)
	})
}

// rowsInside runs the kernels for rows on matrices that end at a page without
// access, in all arrangements of lanes, against chains element by element.
func rowsInside[T Float](t *testing.T, draw func(*rand.Rand) T, fma func(a, b, c T) T) {
	r := rand.New(rand.NewPCG(6, 4))
	for _, kn := range SelectRows[T]() {
		for range 150 {
			kc := 1 + r.IntN(40)
			blocks := kn.Lanes >> r.IntN(bits.Len(uint(kn.Lanes)))
			ld := blocks*kc + r.IntN(4)
			l1, l2, rg := kn.Strides(kc, blocks, ld)
			rows := rg * kn.Vectors
			a, y := kerneltest.Guarded[T](t, (rows-1)*ld+blocks*kc), kerneltest.Guarded[T](t, rows)
			x, packed := kerneltest.Guarded[T](t, blocks*kc), kerneltest.Guarded[T](t, kn.Packed(kc))
			for _, v := range [][]T{a, y, x} {
				for i := range v {
					v[i] = draw(r)
				}
			}
			alpha := draw(r)
			if r.IntN(3) == 0 { // chains of −0, which one more term of +0 would turn
				tiny := T(0x1p-1074)
				if unsafe.Sizeof(tiny) == 4 {
					tiny = T(math.Float32frombits(1))
				}
				alpha = 1
				for i := range y {
					y[i] = T(math.Copysign(0, -1))
				}
				for i := range a {
					a[i] = -0.25
				}
				for i := range x {
					x[i] = tiny
				}
			}
			want := append([]T{}, y...)
			for i := range want {
				for b := range blocks {
					var acc T
					for k := b * kc; k < (b+1)*kc; k++ {
						acc = fma(x[k], a[i*ld+k], acc)
					}
					want[i] = fma(alpha, acc, want[i])
				}
			}
			kn.Pack(packed, x, kc, blocks)
			kn.Run(kc, &packed[0], &a[0], l1, l2, ld, rg, &y[0], alpha)
			for i, v := range y {
				if !same64(float64(v), float64(want[i])) {
					t.Fatalf("%T, %d lanes, %d blocks of %d columns, stride %d: row %d is %x, want %x", v, kn.Lanes, blocks, kc, ld, i, v, want[i])
				}
			}
		}
	}
}

func TestTransposeAndDivideStayInside(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 4))
		for range 300 {
			rows, cols := 1+r.IntN(40), 1+r.IntN(40)
			lds, ldd := cols+r.IntN(3), rows+r.IntN(3)
			src, dst := kerneltest.Guarded[float64](t, (rows-1)*lds+cols), kerneltest.Guarded[float64](t, (cols-1)*ldd+rows)
			for i := range src {
				src[i] = float64(i + 1)
			}
			Transpose(rows, cols, src, lds, dst, ldd)
			for i := range dst {
				var want float64
				if i%ldd < rows {
					want = src[i%ldd*lds+i/ldd]
				}
				if dst[i] != want {
					t.Fatalf("%d×%d, strides %d, %d: element %d is %v, want %v", rows, cols, lds, ldd, i, dst[i], want)
				}
			}
			x := append([]float64{}, src...)
			Divide(src, 3)
			for i, v := range x {
				if src[i] != v/3 {
					t.Fatalf("Divide of %d: element %d is %x, want %x", len(x), i, src[i], v/3)
				}
			}
		}
	})
}

func TestSecularSumsStayInsideAndAgree(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(6, 4))
		draw := func(n int) []float64 {
			x := kerneltest.Guarded[float64](t, n)
			for i := range x {
				x[i] = r.NormFloat64()
			}
			if n > 2 {
				x[r.IntN(n)] = []float64{math.Inf(1), 0, math.Copysign(0, -1), 0x1p-1060, 0x1p600, 1}[r.IntN(6)]
			}
			return x
		}
		for n := range 70 {
			gap, z2, d, x := draw(n), draw(n), draw(n), draw(n)
			mu := r.NormFloat64()
			var lanes [2][4]float64
			want := make([]float64, n)
			for j := range n {
				q := 1 / (gap[j] - mu)
				u := float64(z2[j] * q)
				lane := j % 4
				if j >= n&^3 {
					lane = 0
				}
				lanes[0][lane] += u
				lanes[1][lane] += float64(u * q)
				want[j] = float64(x[j] * (gap[j] / (d[j] - mu)))
			}
			f, df := PoleSums(gap, z2, mu)
			for i, got := range []float64{f, df} {
				l := lanes[i]
				if want := (l[0] + l[1]) + (l[2] + l[3]); math.Float64bits(got) != math.Float64bits(want) && (got == got || want == want) {
					t.Fatalf("sum %d over %d poles is %x, want %x", i, n, got, want)
				}
			}
			GapRatios(x, gap, d, mu)
			for j := range x {
				if math.Float64bits(x[j]) != math.Float64bits(want[j]) && (x[j] == x[j] || want[j] == want[j]) {
					t.Fatalf("ratio %d of %d is %x, want %x", j, n, x[j], want[j])
				}
			}
		}
	})
}
