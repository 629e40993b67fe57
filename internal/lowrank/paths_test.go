package lowrank

import (
	"fmt"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

func TestSameBitsOnEveryPath(t *testing.T) {
	const long, short = 150, 90
	dw, c, d := normal(1, long*short), moments(2, long, 200), moments(3, short, 200)
	var wide, tall *Factors
	for _, path := range kernel.Paths() {
		t.Run(fmt.Sprint(path), func(t *testing.T) {
			defer kernel.Use(path)()
			for _, threads := range []int{1, 2, 3, 8} {
				p := newPool(t, threads)
				w := mustDecompose(t, p, dw, short, long, c, 20)
				h := mustDecompose(t, p, dw, long, short, d, 20)
				if wide == nil {
					wide, tall = w, h
				}
				for _, pair := range [][2]*Factors{{w, wide}, {h, tall}} {
					a, b := pair[0], pair[1]
					if !slices.Equal(a.U, b.U) || !slices.Equal(a.A, b.A) || !slices.Equal(a.Sigma2, b.Sigma2) {
						t.Errorf("[%d, %d], %d threads: other bits", a.Out, a.In, threads)
					}
				}
			}
		})
	}
}
