package blockwise

import (
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/linalg/vmath"
)

// The column sums of one window of 512 tokens at a site of width 1,536.
func BenchmarkColumnSums(b *testing.B) {
	p := linalg.NewPool(1)
	defer p.Close()
	c := &collector{pool: p, sites: map[string]*siteSums{}, columns: make([]vmath.Columns, 1)}
	const rows, width = 512, 1536
	z := &siteSums{width: width, sum: make([]float64, width), sumSq: make([]float64, width), sumAbs: make([]float64, width), maxAbs: make([]float64, width)}
	c.sites[arch.SiteMLPMid] = z
	x := make([]float32, rows*width)
	s := rng.New(1, "x")
	for i := range x {
		x[i] = float32(s.NormAt(uint64(i)))
	}
	b.SetBytes(int64(len(x) * 4))
	for b.Loop() {
		c.add(0, arch.SiteMLPMid, x, width)
	}
}
