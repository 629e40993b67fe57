//go:build unix

package vmath

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel"
	"github.com/compressc/compressc/internal/linalg/kernel/kerneltest"
)

// panel draws a Panel whose numbers are special ones now and then.
func panel(r *rand.Rand, share int) *Panel {
	p := &Panel{Top: float32(int(1)<<(2+r.IntN(7)) - 1)}
	for k := range p.W {
		w := hostile(r, PanelRows, share)
		for i := range PanelRows {
			p.W[k][i] = float64(w[i]) * math.Pi
			p.D[k][i] = r.NormFloat64()
			p.Zero[k][i] = float32(r.IntN(int(p.Top) + 1))
			p.Base[k][i] = float32(r.IntN(int(p.Top)+1)) - p.Zero[k][i]
			p.Scale[k][i] = float32(math.Exp(2 * r.NormFloat64()))
		}
		p.On[k] = r.Uint64() & (1<<PanelRows - 1)
	}
	for i := range p.Loss {
		p.Loss[i] = r.Float64()
	}
	return p
}

func samePanel(t *testing.T, path kernel.Path, what string, got, want *Panel) {
	t.Helper()
	for k := range PanelColumns {
		for name, x := range map[string][2][PanelRows]float64{"W": {got.W[k], want.W[k]}, "D": {got.D[k], want.D[k]}, "Loss": {got.Loss, want.Loss}} {
			for i := range PanelRows {
				if bits64(x[0][i]) != bits64(x[1][i]) {
					t.Fatalf("%s %s: %s of column %d, row %d is %x, want %x", path, what, name, k, i, x[0][i], x[1][i])
				}
			}
		}
		equal(t, path, what, k, got.Next[k][:], want.Next[k][:])
	}
	if got.Base != want.Base || got.Scale != want.Scale || got.Zero != want.Zero || got.On != want.On || got.Top != want.Top {
		t.Fatalf("%s %s wrote to what it reads", path, what)
	}
}

// Every path against plain Go, any share of special numbers, matrices that end
// where memory ends.
func TestPanel(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 12))
	for round := range 600 {
		share := []int{0, 0, 2, 30}[round%4]
		width := 1 + r.IntN(PanelColumns)
		from := r.IntN(width)
		to := from + 1 + r.IntN(width-from)
		ld := width + r.IntN(3)
		grid := r.IntN(2) == 0
		start := panel(r, share)
		matrix, inv := kerneltest.Guarded[float64](t, (width-1)*ld+width), kerneltest.Guarded[float64](t, width)
		for i, v := range hostile(r, len(matrix), share) {
			matrix[i] = float64(v) * math.E / 50
		}
		for i := range width {
			matrix[i*ld+i] = math.Abs(matrix[i*ld+i])
			inv[i] = 1 / matrix[i*ld+i]
		}
		// No more of u is read than the rows that are gone over.
		u := matrix[len(matrix)-((to-1)*ld+width):]
		restore := kernel.Use(kernel.Go)
		frozen, descended := *start, *start
		frozen.Freeze(from, to, width, u, ld, inv, grid)
		descended.Descend(width, matrix, ld, grid)
		restore()
		for _, path := range kernel.Paths() {
			restore := kernel.Use(path)
			got := *start
			got.Freeze(from, to, width, u, ld, inv, grid)
			samePanel(t, path, "Freeze", &got, &frozen)
			got = *start
			got.Descend(width, matrix, ld, grid)
			samePanel(t, path, "Descend", &got, &descended)
			restore()
		}
	}
}

// Freeze and Descend against their definitions, one row at a time.
func TestPanelRows(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 13))
	for range 100 {
		width, grid := 1+r.IntN(PanelColumns), r.IntN(2) == 0
		h, inv := make([]float64, width*width), make([]float64, width)
		for i := range h {
			h[i] = r.NormFloat64()
		}
		for i := range width {
			h[i*width+i] = 1 + r.Float64()
			inv[i] = 1 / h[i*width+i]
		}
		start := panel(r, 0)
		frozen, descended := *start, *start
		frozen.Freeze(0, width, width, h, width, inv, grid)
		descended.Descend(width, h, width, grid)
		code := func(k, i int, v float32) float32 {
			n := math.RoundToEven(float64(v / start.Scale[k][i]))
			return float32(min(max(n, -float64(start.Zero[k][i])), float64(start.Top-start.Zero[k][i])))
		}
		for i := range PanelRows {
			var w, g [PanelColumns]float64
			for k := range width {
				w[k], g[k] = start.W[k][i], start.W[k][i]
			}
			loss, gain := start.Loss[i], start.Loss[i]
			for k := range width {
				on := start.On[k]>>i&1 == 1
				q := 0.0
				if on {
					q = w[k]
				}
				if grid {
					q = float64(code(k, i, float32(q)) * start.Scale[k][i])
				}
				d := (w[k] - q) * inv[k]
				loss += float64(d * d)
				t1 := -(g[k] / h[k*width+k])
				if grid {
					v := float64(start.Base[k][i] * start.Scale[0][i])
					t1 = float64(code(0, i, float32(v+t1))*start.Scale[0][i]) - v
				}
				change := float64(t1 * (float64(2*g[k]) + float64(h[k*width+k]*t1)))
				if !on || change >= 0 {
					t1, change = 0, 0
				}
				gain -= change
				if frozen.W[k][i] != q || frozen.D[k][i] != d || descended.D[k][i] != t1 {
					t.Fatalf("column %d, row %d: %v with %v, expected %v with %v; step %v, expected %v", k, i, frozen.W[k][i], frozen.D[k][i], q, d, descended.D[k][i], t1)
				}
				for j := k + 1; j < width; j++ {
					w[j] -= float64(d * h[k*width+j])
					g[j] += float64(t1 * h[k*width+j])
				}
			}
			if frozen.Loss[i] != loss || descended.Loss[i] != gain {
				t.Fatalf("row %d: losses %v and %v, expected %v and %v", i, frozen.Loss[i], descended.Loss[i], loss, gain)
			}
		}
	}
}

func BenchmarkPanel(b *testing.B) {
	r := rand.New(rand.NewPCG(14, 14))
	const width = 16
	h, inv := make([]float64, width*width), make([]float64, width)
	for i := range h {
		h[i] = 0.01 * r.NormFloat64()
	}
	for i := range width {
		h[i*width+i], inv[i] = 1, 1
	}
	start := panel(r, 0)
	for name, f := range map[string]func(*Panel){
		"freeze":       func(p *Panel) { p.Freeze(0, width, width, h, width, inv, false) },
		"freeze grid":  func(p *Panel) { p.Freeze(0, width, width, h, width, inv, true) },
		"descend":      func(p *Panel) { p.Descend(width, h, width, false) },
		"descend grid": func(p *Panel) { p.Descend(width, h, width, true) },
	} {
		for _, path := range kernel.Paths() {
			b.Run(name+"/"+string(path), func(b *testing.B) {
				defer kernel.Use(path)()
				p := *start
				for b.Loop() {
					f(&p)
				}
			})
		}
	}
}
