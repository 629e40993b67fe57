package vmath

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

func bits64(x float64) uint64 {
	if x != x {
		return 0x7ff8000000000000
	}
	return math.Float64bits(x)
}

// Every path against plain loops, every length around the vector step, nothing
// written past the end.
func TestAccumulate(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for n := range 70 {
		for _, share := range []int{0, 3, 40} {
			x, base := hostile(r, n+1, share), hostile(r, n+1, share)
			bits := make([]byte, n/8+1)
			for i := range bits {
				bits[i] = byte(r.Uint32())
			}
			sums, kept, scaled := make([]float64, n+1), append([]float32{}, x...), append([]float32{}, x...)
			for i := range sums {
				sums[i] = float64(base[i]) * math.Pi
			}
			start := append([]float64{}, sums...)
			by := float32(r.NormFloat64())
			for i := range n {
				sums[i] += float64(x[i])
				if bits[i/8]>>(i%8)&1 == 0 {
					kept[i] *= 0
				}
				scaled[i] = base[i] + float32(by*x[i])
			}
			for _, path := range kernel.Paths() {
				restore := kernel.Use(path)
				s := append([]float64{}, start...)
				AddTo(s[:n], x[:n])
				for i := range s {
					if bits64(s[i]) != bits64(sums[i]) {
						t.Fatalf("%s AddTo of %d: element %d is %v, want %v", path, n, i, s[i], sums[i])
					}
				}
				got := append([]float32{}, x...)
				Keep(got[:n], bits)
				equal(t, path, "Keep", n, got, kept)
				copy(got, x)
				AddScaled(got[:n], base[:n], by)
				equal(t, path, "AddScaled", n, got, scaled)
				restore()
			}
		}
	}
}

func TestColumns(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 10))
	for columns := 1; columns <= ColumnGroup; columns++ {
		for _, rows := range []int{0, 1, 2, 7, 33} {
			for _, share := range []int{0, 2, 30} {
				ld := columns + r.IntN(5)
				x := hostile(r, rows*ld+columns, share)
				var start, want Columns
				for i := range ColumnGroup {
					start.Sum[i], start.SumSq[i], start.SumAbs[i] = r.NormFloat64(), r.Float64(), r.Float64()
					if r.IntN(8) == 0 {
						start.MaxAbs[i] = math.NaN()
					}
				}
				want = start
				for row := range rows {
					for j := range columns {
						v := float64(x[row*ld+j])
						want.Sum[j] += v
						want.SumSq[j] += float64(v * v)
						want.SumAbs[j] += math.Abs(v)
						switch m := want.MaxAbs[j]; {
						case m != m:
						case v != v:
							want.MaxAbs[j] = v
						default:
							want.MaxAbs[j] = max(m, math.Abs(v))
						}
					}
				}
				for _, path := range kernel.Paths() {
					restore := kernel.Use(path)
					got := start
					AddColumns(&got, x, rows, columns, ld)
					restore()
					for k, pair := range [][2][ColumnGroup]float64{{got.Sum, want.Sum}, {got.SumSq, want.SumSq}, {got.SumAbs, want.SumAbs}, {got.MaxAbs, want.MaxAbs}} {
						for j := range ColumnGroup {
							if bits64(pair[0][j]) != bits64(pair[1][j]) {
								t.Fatalf("%s, %d×%d: moment %d of column %d is %v, want %v", path, rows, columns, k, j, pair[0][j], pair[1][j])
							}
						}
					}
				}
			}
		}
	}
}

func BenchmarkAccumulate(b *testing.B) {
	const rows, width = 512, 576
	x := hostile(rand.New(rand.NewPCG(11, 11)), rows*width, 0)
	bits, sums := make([]byte, rows*width/8), make([]float64, rows*width)
	for i := range bits {
		bits[i] = byte(i * 37)
	}
	for name, f := range map[string]func(){
		"Columns": func() {
			for lo := 0; lo < width; lo += ColumnGroup {
				var m Columns
				AddColumns(&m, x[lo:], rows, ColumnGroup, width)
			}
		},
		"AddTo":     func() { AddTo(sums, x) },
		"Keep":      func() { Keep(x, bits) },
		"AddScaled": func() { AddScaled(x, x, 0.25) },
	} {
		for _, path := range kernel.Paths() {
			b.Run(name+"/"+string(path), func(b *testing.B) {
				defer kernel.Use(path)()
				b.SetBytes(4 * rows * width)
				for b.Loop() {
					f()
				}
			})
		}
	}
}
