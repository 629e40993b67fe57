package merge

import (
	"math"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg/vmath"
	"github.com/compressc/compressc/internal/lowrank"
	"github.com/compressc/compressc/passes"
)

// decomposeParams are all that a decomposition of one task's delta depends on.
// The other tasks, how many there are and what they count are not among it, so
// that merges of any of them share it.
type decomposeParams struct {
	// Keep is how many directions are kept.
	Keep int `json:"keep"`
	// Clip limits magnitudes to the mean and three standard deviations.
	Clip bool `json:"clip,omitempty"`
}

// taskStats are what is known of a delta besides its directions.
type taskStats struct {
	// Outliers is the share of magnitudes above the mean and three standard
	// deviations; Small that below 1e-5 of the largest.
	Outliers float64 `json:"outliers"`
	Small    float64 `json:"small"`
	// Rounding bounds the singular values of what rounding the model's weights to
	// float32 leaves of it: the rounding's norm, at most 2⁻²⁴ of the weights'.
	Rounding float64 `json:"rounding"`
}

// decompose puts the directions of a linear layer's delta, best first:
// NAME.UT [rank, out], orthonormal, and NAME.A [rank, in] = Uᵀ·δ, so that the
// norm of row i is the singular value σᵢ; NAME.energies, all σ²; NAME.stats.
var decompose = New(Method[decomposeParams]{
	Kernel: "merge.decompose", Impl: 2,
	Tensor: func(t *Tensor, a decomposeParams) error {
		delta, squares := make([]float64, t.Elements()), make([]float64, t.Chunks())
		err := t.Each(func(c *Chunk) {
			copy(delta[c.Lo:], c.Deltas[0])
			squares[c.Index] = vmath.SumSq(c.Models[0])
		})
		if err != nil {
			return err
		}
		s, limit := statsOf(delta)
		s.Rounding = float64(0x1p-24 * math.Sqrt(inOrder(squares)))
		if a.Clip {
			for i, x := range delta {
				delta[i] = max(-limit, min(limit, x))
			}
		}
		f, err := lowrank.Decompose(t.Pool, delta, t.rows, t.width, nil, a.Keep)
		if err != nil {
			return err
		}
		ut, rows := make([]float32, f.Rank*f.Out), make([]float32, f.Rank*f.In)
		for k := range f.Rank {
			for i := range f.Out {
				ut[k*f.Out+i] = float32(f.U[i*f.Rank+k])
			}
		}
		for i, x := range f.A {
			rows[i] = float32(x)
		}
		t.out.PutFloat32(t.Name+".UT", []int{f.Rank, f.Out}, ut)
		t.out.PutFloat32(t.Name+".A", []int{f.Rank, f.In}, rows)
		t.out.PutFloat64(t.Name+".energies", []int{len(f.Sigma2)}, f.Sigma2)
		return t.out.PutJSON(t.Name+".stats", s)
	},
})

// statsOf returns a delta's statistics and the limit of what is no outlier.
func statsOf(delta []float64) (s taskStats, limit float64) {
	n := float64(len(delta))
	sum, top := 0.0, 0.0
	for _, x := range delta {
		x = math.Abs(x)
		sum += x
		top = max(top, x)
	}
	mean, spread := sum/n, 0.0
	for _, x := range delta {
		d := math.Abs(x) - mean
		spread += float64(d * d)
	}
	limit = mean + float64(3*math.Sqrt(spread/n))
	small := float64(1e-5 * top)
	for _, x := range delta {
		x = math.Abs(x)
		if x > limit {
			s.Outliers++
		}
		if x < small {
			s.Small++
		}
	}
	s.Outliers /= n
	s.Small /= n
	return s, limit
}

// linears are the linear layers among a part's tensors.
func (p part) linears() part {
	q := p
	q.places = nil
	for _, t := range p.places {
		if t.class == linear {
			q.places = append(q.places, t)
		}
	}
	return q
}

// decompositions lowers a decomposition of a block for each model. keep gives
// how many directions of a layer are wanted at most.
func (j job) decompositions(g *action.Graph, p part, clip bool, keep func(place) int) []action.Ref {
	p = p.linears()
	e := cost{peak: 64 << 20}
	for _, t := range p.places {
		e.bytes += int64(keep(t)) * int64(t.layer.Out+t.layer.In) * 4
		n := float64(min(t.layer.Out, t.layer.In))
		e.flops += float64(25*n*n*n) + float64(6*n*float64(t.elements))
	}
	refs := make([]action.Ref, len(j.Models))
	for i, m := range j.Models {
		one := job{node: j.node, base: j.base, Sources: Sources{Models: []*passes.Model{m}}}
		a := decompose.add(g, one, p, e, false, func(t place) decomposeParams { return decomposeParams{keep(t), clip} })
		refs[i] = action.Ref{Action: a, Output: "merged"}
	}
	return refs
}

// task is one task's decomposition of one layer.
type task struct {
	rank     int
	u, a     []float32 // [rank, out], [rank, in]
	sigma    []float64 // of the directions held
	energies []float64
	stats    taskStats
}

// negligible is the part of the largest singular value below which a direction
// is what the decomposition's own float32 numbers left, not something learnt.
const negligible = 1e-6

func readTask(v *artifact.Value, name string, in int) (t task, err error) {
	if t.u, err = v.Float32(name + ".UT"); err != nil {
		return t, err
	}
	if t.a, err = v.Float32(name + ".A"); err != nil {
		return t, err
	}
	if t.energies, err = v.Float64(name + ".energies"); err != nil {
		return t, err
	}
	if err := v.JSON(name+".stats", &t.stats); err != nil {
		return t, err
	}
	for k := 0; k*in < len(t.a); k++ {
		sq := 0.0
		for _, x := range t.a[k*in : (k+1)*in] {
			sq += float64(float64(x) * float64(x))
		}
		s := math.Sqrt(sq)
		if s <= t.stats.Rounding || k > 0 && s <= float64(negligible*t.sigma[0]) {
			break
		}
		t.sigma = append(t.sigma, s)
	}
	t.rank = len(t.sigma)
	return t, nil
}
