package vmath

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// Every path against the definitions, every length around the vector step, nothing
// written past the end.
func TestElements(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 15))
	for n := range 70 {
		for _, share := range []int{0, 3, 40, 100} {
			draw := func() []float32 { return hostile(r, n+1, share) }
			a, b, c, d, e := draw(), draw(), draw(), draw(), draw()
			by := draw()[n]
			copied := func(x []float32) []float32 { return append([]float32{}, x...) }
			product, scaled := copied(a), copied(a)
			there, there2, back, back2 := copied(a), copied(b), copied(a), copied(b)
			mid, gate := copied(a), copied(b)
			for i := range n {
				product[i] *= b[i]
				scaled[i] = float32(b[i]*by) * c[i]
				there[i] = float32(a[i]*c[i]) - float32(b[i]*d[i])
				there2[i] = float32(b[i]*c[i]) + float32(a[i]*d[i])
				back[i] = float32(a[i]*c[i]) + float32(b[i]*d[i])
				back2[i] = float32(b[i]*c[i]) - float32(a[i]*d[i])
				s := 1 / (1 + e[i])
				gate[i] = float32(a[i]*d[i]) * float32(s*(1+float32(c[i]*(1-s))))
				mid[i] = a[i] * float32(c[i]*s)
			}
			for _, path := range kernel.Paths() {
				func() {
					defer kernel.Use(path)()
					check := func(what string, got, want []float32) {
						t.Helper()
						if !slices.Equal(bits32(got), bits32(want)) {
							t.Fatalf("%s %s of %d: %v, want %v", path, what, n, got, want)
						}
					}
					x, y := copied(a), copied(b)
					Multiply(x[:n], b[:n])
					check("product", x, product)
					x = copied(a)
					ScaleGain(x[:n], b[:n], c[:n], by)
					check("gain", x, scaled)
					x = copied(a)
					Rotate(x[:n], y[:n], c[:n], d[:n], false)
					check("rotation", x, there)
					check("rotation's second", y, there2)
					x, y = copied(a), copied(b)
					Rotate(x[:n], y[:n], c[:n], d[:n], true)
					check("rotation back", x, back)
					check("rotation's second back", y, back2)
					x, y = copied(a), copied(b)
					GateGradient(x[:n], y[:n], c[:n], d[:n], e[:n])
					check("gradient at up", x, mid)
					check("gradient at gate", y, gate)
				}()
			}
		}
	}
}

func BenchmarkElements(b *testing.B) {
	r := rand.New(rand.NewPCG(16, 16))
	const n = 1536
	draw := func() []float32 { return hostile(r, n, 0) }
	x, y, z, u, e := draw(), draw(), draw(), draw(), draw()
	for _, path := range kernel.Paths() {
		for name, f := range map[string]func(){
			"multiply":     func() { Multiply(x, y) },
			"scaleGain":    func() { ScaleGain(x, y, z, 1) },
			"rotate":       func() { Rotate(x, y, z, u, false) },
			"gateGradient": func() { GateGradient(x, y, z, u, e) },
		} {
			b.Run(string(path)+"/"+name, func(b *testing.B) {
				defer kernel.Use(path)()
				b.ReportAllocs()
				for b.Loop() {
					copy(x, z)
					f()
				}
			})
		}
	}
}
