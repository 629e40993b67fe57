package compensate

import (
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/lowrank"
)

// factors are one layer's decomposition as it is kept: the balanced side path
// of the largest rank, and the energies of all directions. The leading rows of
// its matrices are the side paths of the smaller ranks, bit for bit, so a
// truncation stores nothing.
type factors struct {
	rank     int
	a, bt    artifact.Entry // [rank, in] and [rank, out]; none where rank is 0
	energies []float64      // descending
}

func putFactors(out *artifact.Builder, l layerParams, f *lowrank.Factors) {
	bt, a := lowrank.Truncate[float32](f, f.Rank)
	if f.Rank > 0 {
		out.PutFloat32(l.Name+".A", []int{f.Rank, l.In}, a)
		out.PutFloat32(l.Name+".BT", []int{f.Rank, l.Out}, bt)
	}
	out.PutFloat64(l.Name+".energies", []int{len(f.Sigma2)}, f.Sigma2)
}

func getFactors(v *artifact.Value, l layerParams) (f factors, err error) {
	if f.energies, err = v.Float64(l.Name + ".energies"); err != nil || !v.Has(l.Name+".A") {
		return f, err
	}
	if f.a, err = v.Entry(l.Name + ".A"); err != nil {
		return f, err
	}
	f.rank = f.a.Meta.Shape[0]
	f.bt, err = v.Entry(l.Name + ".BT")
	return f, err
}

// residual is the squared output error that remains with rank r.
func (f factors) residual(r int) float64 {
	sum := 0.0
	for i := len(f.energies) - 1; i >= r; i-- { // small ones first
		sum += f.energies[i]
	}
	return sum
}
