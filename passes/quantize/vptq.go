package quantize

import (
	"math/bits"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/obs"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/internal/vq"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// VPTQArgs are the arguments of quantize "vptq".
type VPTQArgs struct {
	Model             *passes.Model `arg:"model" doc:"the model to quantise"`
	Vector            int           `arg:"vector" default:"4" min:"2" max:"16" per_module:"true" doc:"neighbouring outputs of an input that share an index"`
	Centroids         int           `arg:"centroids" default:"256" example:"64" min:"2" max:"65536" per_module:"true" doc:"vectors in a layer's codebook, a power of two; an index takes its logarithm in bits"`
	ResidualCentroids int           `arg:"residual_centroids" default:"0" min:"0" max:"65536" per_module:"true" doc:"vectors in a second codebook, for what the first leaves, a power of two; 0 is none"`
	OutlierFraction   float64       `arg:"outlier_fraction" default:"0" min:"0" max:"0.1" per_module:"true" doc:"the share of inputs, those with the most energy, that get vectors and a codebook of their own"`
	OutlierVector     int           `arg:"outlier_vector" default:"4" min:"2" max:"16" per_module:"true" doc:"outputs that share an index in an outlier's column"`
	OutlierCentroids  int           `arg:"outlier_centroids" default:"256" min:"2" max:"65536" per_module:"true" doc:"vectors in the outliers' codebook, a power of two"`
	Compensate        bool          `arg:"compensate" default:"true" doc:"pass each column's error on to later columns; otherwise every vector gets the nearest of the same codebook"`
	Permute           bool          `arg:"permute" default:"true" doc:"visit the columns by descending diagonal of the Hessian; it is an order of visit only and nothing of it is stored"`
	Damping           float64       `arg:"damping" default:"0.01" above:"0" max:"1" per_module:"true" doc:"added to the Hessian's diagonal, as a share of its mean"`
	Iterations        int           `arg:"iterations" default:"100" min:"1" max:"1000" doc:"the most steps of fitting a codebook"`
	blockwise.Calibrated
	blockwise.Target
}

func (a VPTQArgs) spec() vq.Spec {
	s := vq.Spec{Vector: a.Vector, Centroids: a.Centroids, Residual: a.ResidualCentroids}
	if a.OutlierFraction > 0 {
		s.OutlierFraction, s.OutlierVector, s.OutlierCentroids = a.OutlierFraction, a.OutlierVector, a.OutlierCentroids
	}
	return s
}

type vptqLayer struct {
	Spec       vq.Spec `json:"spec"`
	Compensate bool    `json:"compensate"`
	Permute    bool    `json:"permute"`
	Damping    float64 `json:"damping"`
	Iterations int     `json:"iterations"`
	Seed       uint64  `json:"seed"`
}

var vptq = blockwise.New(blockwise.Method[vptqLayer]{
	Kernel: "quantize.vptq", Impl: 1,
	Needs: blockwise.Needs{Gram: true},
	Linear: func(w *blockwise.Work, a vptqLayer) error {
		h, err := w.Gram()
		if err != nil {
			return err
		}
		diagonal := make([]float64, w.In)
		for i := range diagonal {
			diagonal[i] = h[i*w.In+i]
		}
		var f *obs.Factor
		if a.Compensate {
			if f, err = w.Factor(a.Damping, a.Permute); err != nil {
				return err
			}
		}
		m, err := vq.Quantize(w.Pool, w.W, w.Out, w.In, diagonal, vq.Options{Spec: a.Spec, Iterations: a.Iterations, Seed: a.Seed, Factor: f})
		if err != nil {
			return err
		}
		w.SetCoded(blockwise.Vectors(m))
		return nil
	},
})

// VPTQ replaces vectors of weights by indices into a codebook, column by column,
// and moves each column's error onto the columns that are still to come.
//
// Liu et al. 2024, arXiv:2409.17066. Codebooks are fitted to the weights as they
// are, weighted by their inputs' energies.
var VPTQ = &passes.Pass{
	Verb: "quantize", Method: "vptq",
	Summary: "Indices into codebooks of vectors, chosen column by column by second-order information.",
	Doc: `A layer [out, in] becomes, for each input, out/` + "`vector`" + ` indices into a codebook of
` + "`centroids`" + ` vectors of that length: log2(centroids)/vector bits a weight, and 16 bits
for each number of the codebooks. The bits in the plan and in reports count all of
it.

Codebooks are a layer's own, so they must be small beside it: at most one centroid
for eight vectors. No other program's format holds them: exports write the
floating point numbers that they stand for.
`,
	Paper:   "Liu et al. 2024, arXiv:2409.17066",
	NewArgs: func() any { return &VPTQArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*VPTQArgs)
		out := &passes.Model{From: c.Node}
		ty, chosen, ds := begin(c.Node, a.Model, a.Target)
		form := model.Format{Form: model.Vectors}
		ds = append(ds, unmasked(chosen, form)...)
		ds = append(ds, a.checkCodebooks(chosen)...)
		for _, l := range chosen {
			x := schema.Resolve(*a, blockwise.ModuleOf(l))
			l.Format = form
			l.StoredBits = float64(x.spec().StorageBits(l.Out, l.In)) / float64(l.Out*l.In)
			l.QuantizedBy = c.Node
		}
		out.Type = ty
		return passes.Result{Model: out}, append(ds, a.Calibrated.Check(a.Model.Type)...)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*VPTQArgs)
		j := blockwise.Job{Node: c.Node, Model: a.Model, Type: r.Model.Type, Data: a.Data, Reference: a.Reference, Propagate: a.Propagate}
		return vptq.Lower(g, j, func(l *model.Linear) (vptqLayer, bool) {
			x := schema.Resolve(*a, blockwise.ModuleOf(l))
			return vptqLayer{x.spec(), x.Compensate, x.Permute, x.Damping, x.Iterations, c.Seed}, a.Selects(l)
		})
	},
}

// vectorsPerCentroid is how many vectors a codebook must stand for with each of
// its own, or it would be a good part of the layer.
const vectorsPerCentroid = 8

// checkCodebooks reports codebooks whose size is no power of two or too large
// for a layer, one finding an argument.
func (a *VPTQArgs) checkCodebooks(ls []*model.Linear) (ds diag.List) {
	type book struct {
		arg  string
		k    func(vq.Spec) int
		many func(s vq.Spec, l *model.Linear) int
	}
	others := func(s vq.Spec, l *model.Linear) int { _, n := s.Vectors(l.Out, l.In); return n }
	outliers := func(s vq.Spec, l *model.Linear) int { n, _ := s.Vectors(l.Out, l.In); return n }
	for _, b := range []book{
		{"centroids", func(s vq.Spec) int { return s.Centroids }, others},
		{"residual_centroids", func(s vq.Spec) int { return s.Residual }, others},
		{"outlier_centroids", func(s vq.Spec) int { return s.OutlierCentroids }, outliers},
	} {
		var large []*model.Linear
		for _, l := range ls {
			s := schema.Resolve(*a, blockwise.ModuleOf(l)).spec()
			k, n := b.k(s), b.many(s, l)
			if k == 0 || b.arg == "outlier_centroids" && n == 0 {
				continue
			}
			if k < 2 || k&(k-1) != 0 {
				ds.Errorf(a.Overrides.Where(b.arg, blockwise.ModuleOf(l)), "Not a power of two", "A codebook of %d vectors wastes part of its indices. Use %d or %d.", k, max(2, 1<<(bits.Len(uint(k))-1)), 1<<bits.Len(uint(k)))
				return ds
			}
			if k*vectorsPerCentroid > n {
				large = append(large, l)
			}
		}
		if len(large) > 0 {
			l := large[0]
			s := schema.Resolve(*a, blockwise.ModuleOf(l)).spec()
			fits := b.many(s, l) / vectorsPerCentroid
			ds.Errorf(a.Overrides.Where(b.arg, blockwise.ModuleOf(l)), "Codebook is too large for the layer", "%s are [%d, %d] and have %d vectors there; a codebook of %d would be a good part of them. At most one centroid for %d vectors: use %d or fewer, or leave these layers out with targets.",
				blockwise.Paths(large), l.Out, l.In, b.many(s, l), b.k(s), vectorsPerCentroid, 1<<max(bits.Len(uint(fits))-1, 0))
		}
	}
	return ds
}
