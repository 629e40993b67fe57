package nn

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/compressc/compressc/internal/arch"
)

// A vector without mean has the same norm as LayerNorm, as RMSNorm, and, without
// its last entry, as CRMSNorm.
func TestNormsOfZeroMean(t *testing.T) {
	want := []float64{.462910, .925820, -1.388730} // of (1, 2, −3)
	for _, c := range []struct {
		kind string
		x    []float64
	}{
		{arch.NormRMS, []float64{1, 2, -3}},
		{arch.NormLayer, []float64{1, 2, -3}},
		{arch.NormCompressed, []float64{1, 2}},
	} {
		r := NewRunnerOf[float64](&arch.Config{Hidden: len(c.x), HeadDim: 2, RopeTheta: 10000, Norm: c.kind}, nil)
		y, gain := make([]float64, len(c.x)), []float64{1, 1, 1}
		r.norm(y, c.x, gain[:len(c.x)], 1, nil)
		for i, v := range y {
			if math.Abs(v-want[i]) > 5e-7 {
				t.Errorf("%s of %v is %v; expected %v", arch.NormName(c.kind), c.x, y, want[:len(c.x)])
				break
			}
		}
	}
	rnd := rand.New(rand.NewPCG(7, 8))
	for _, d := range []int{2, 5, 64, 769} {
		x, sum := make([]float64, d), 0.0
		for i := range d - 1 {
			x[i] = rnd.NormFloat64()
			sum += x[i]
		}
		x[d-1] = -sum
		gain := make([]float64, d)
		for i := range gain {
			gain[i] = rnd.NormFloat64()
		}
		out := map[string][]float64{}
		for kind, width := range map[string]int{arch.NormRMS: d, arch.NormLayer: d, arch.NormCompressed: d - 1} {
			r := NewRunnerOf[float64](&arch.Config{Hidden: width, HeadDim: 2, RopeTheta: 10000, Norm: kind, RMSEps: 1e-5}, nil)
			out[kind] = make([]float64, width)
			r.norm(out[kind], x[:width], gain[:width], 1, nil)
		}
		for kind, y := range out {
			for i, v := range y {
				if math.Abs(v-out[arch.NormLayer][i]) > 1e-12*math.Sqrt(float64(d)) {
					t.Fatalf("width %d, entry %d: %v as %s, %v as LayerNorm", d, i, v, arch.NormName(kind), out[arch.NormLayer][i])
				}
			}
		}
	}
}
