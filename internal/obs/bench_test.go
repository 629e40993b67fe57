package obs

import (
	"fmt"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/mask"
)

func benchHessian(n int) []float64 {
	_, small := layer(1, 1, 8, 64)
	h := make([]float64, n*n)
	for i := range n {
		for j := range n {
			h[i*n+j] = small[i%8*8+j%8] / float64(1+(i/8-j/8)*(i/8-j/8))
		}
		h[i*n+i] += 64
	}
	return h
}

func BenchmarkPrepare(b *testing.B) {
	p := newPool(b, 2)
	for _, n := range []int{576, 1536} {
		h := benchHessian(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				mustPrepare(b, p, h, n, .01, nil)
			}
		})
	}
}

func BenchmarkSweep(b *testing.B) {
	p := newPool(b, 2)
	for _, shape := range [][2]int{{1536, 576}, {576, 1536}} {
		out, n := shape[0], shape[1]
		h := benchHessian(n)
		w, _ := layer(2, out, n, 0)
		natural := mustPrepare(b, p, h, n, .01, nil)
		ordered := mustPrepare(b, p, h, n, .01, DescendingDiagonal(h, n))
		spec := &grid.Spec{Bits: 4, GroupSize: 64, Symmetric: true}
		for name, c := range map[string]struct {
			f *Factor
			o Options
		}{
			"gptq":        {ordered, Options{Grid: spec}},
			"gptq live":   {natural, Options{Grid: spec, LiveGrids: true}},
			"gptq masked": {ordered, Options{Grid: spec, Mask: mask.New(out, n)}},
			"2:4":         {natural, Options{Pattern: mask.Pattern{N: 2, M: 4}}},
			"half":        {natural, Options{Pattern: mask.Pattern{Fraction: .5}}},
		} {
			b.Run(fmt.Sprintf("%s/%dx%d", name, out, n), func(b *testing.B) {
				for b.Loop() {
					if _, err := Sweep(p, c.f, w, out, c.o); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		for name, c := range map[string]struct {
			f *Factor
			o Options
		}{
			"refine gptq": {ordered, Options{Grid: spec}},
			"refine 2:4":  {natural, Options{Pattern: mask.Pattern{N: 2, M: 4}}},
		} {
			swept, err := Sweep(p, c.f, w, out, c.o)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/%dx%d", name, out, n), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					r := *swept
					r.Weights = slices.Clone(r.Weights)
					if q := r.Quantized; q != nil {
						c := *q
						c.Codes, c.Scales = slices.Clone(q.Codes), slices.Clone(q.Scales)
						r.Quantized = &c
					}
					b.StartTimer()
					if err := Refine(p, c.f, h, w, out, &r, 1); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(fmt.Sprintf("energy/%dx%d", out, n), func(b *testing.B) {
			for b.Loop() {
				OutputEnergy(p, w, nil, out, n, h)
			}
		})
	}
}
