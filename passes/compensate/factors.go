package compensate

import (
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/lowrank"
)

// factors are one layer's decomposition as it is kept: the balanced side path
// of the largest rank, whose leading parts are those of the smaller ranks, bit
// for bit, and the energies of all directions.
type factors struct {
	rank     int
	b        []float32 // [out, rank]
	a        []float32 // [rank, in]
	energies []float64 // descending
}

func putFactors(out *artifact.Builder, l layerParams, f *lowrank.Factors) {
	b, a := f.Truncate(f.Rank)
	if f.Rank > 0 {
		out.PutFloat32(l.Name+".B", []int{l.Out, f.Rank}, narrow(b))
		out.PutFloat32(l.Name+".A", []int{f.Rank, l.In}, narrow(a))
	}
	out.PutFloat64(l.Name+".energies", []int{len(f.Sigma2)}, f.Sigma2)
}

func narrow(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}

func getFactors(v *artifact.Value, l layerParams) (f factors, err error) {
	if f.energies, err = v.Float64(l.Name + ".energies"); err != nil || !v.Has(l.Name+".A") {
		return f, err
	}
	e, err := v.Entry(l.Name + ".A")
	if err != nil {
		return f, err
	}
	f.rank = e.Meta.Shape[0]
	if f.a, err = v.Float32(l.Name + ".A"); err != nil {
		return f, err
	}
	f.b, err = v.Float32(l.Name + ".B")
	return f, err
}

// truncate returns copies of the first r columns of b and rows of a.
func (f factors) truncate(l layerParams, r int) (b, a []float32) {
	a = append([]float32(nil), f.a[:r*l.In]...)
	b = make([]float32, l.Out*r)
	for i := 0; i < l.Out; i++ {
		copy(b[i*r:(i+1)*r], f.b[i*f.rank:])
	}
	return b, a
}

// residual is the squared output error that remains with rank r.
func (f factors) residual(r int) float64 {
	sum := 0.0
	for i := len(f.energies) - 1; i >= r; i-- { // small ones first
		sum += f.energies[i]
	}
	return sum
}
