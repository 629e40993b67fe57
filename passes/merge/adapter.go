package merge

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/adapter"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/prune"
)

// AdapterArgs are the arguments of merge "adapter".
type AdapterArgs struct {
	Model   *passes.Model   `arg:"model" doc:"the model that the adapter goes into: the one it was trained on, or one of the same shape"`
	Adapter *passes.Adapter `arg:"adapter" doc:"the adapter: adapter.NAME, or retrain.NAME.adapter"`
	Merge   string          `arg:"merge" optional:"true" enum:"masked|dense|keep" doc:"masked: added where the mask keeps; dense: added to the weights; keep: a side path beside them. By default masked for pruned models, keep for quantised ones, dense for others"`
	Weight  float64         `arg:"weight" default:"1" doc:"what the update is multiplied by, beside its own scale"`
}

// scale is the factor before B·A of the layer at path, whose update has a rank.
func (a *AdapterArgs) scale(path string, rank int) float64 {
	return a.Weight * (a.Adapter.AlphaOf(path, rank) / float64(rank))
}

// mode is how updates go into the model.
func (a *AdapterArgs) mode() string {
	if a.Merge != "" {
		return a.Merge
	}
	mode := "dense"
	for _, l := range a.Model.Type.Linears {
		switch {
		case l.Format.Quantized():
			return "keep"
		case l.Masked():
			mode = "masked"
		}
	}
	return mode
}

// fits reports what the model lacks, or has in another shape.
func (a *AdapterArgs) fits() (ds diag.List) {
	if ty, base := a.Model.Type, a.Adapter.Base.Type; ty.Config.Adapters != base.Config.Adapters {
		from := cmp.Or(ty.AdaptedBy, base.AdaptedBy)
		ds.Errorf("adapter", "Adapter of another architecture", "%s was trained on %s. Either that or %s has adapters behind its sublayers, those of %s, that the other does not have. Give it the model that it was trained on.", a.Adapter.From, a.Adapter.Base.From, a.Model.From, from)
		ds.Since(from)
		return ds
	}
	have := map[string]*model.Linear{}
	for _, l := range a.Model.Type.Linears {
		have[l.Path] = l
	}
	for _, b := range a.Adapter.Base.Type.Linears {
		if a.Adapter.Ranks[b.Path] == 0 {
			continue
		}
		l := have[b.Path]
		if l == nil || l.Out != b.Out || l.In != b.In {
			what := "has no such layer"
			if l != nil {
				what = fmt.Sprintf("has one of [%d, %d]", l.Out, l.In)
			}
			ds.Errorf("adapter", "Adapter does not fit", "%s updates %s of [%d, %d], and %s %s. Give it a model of the shape of %s.", a.Adapter.From, b.Path, b.Out, b.In, a.Model.From, what, a.Adapter.Base.From)
			ds.Since(a.Adapter.From)
			return ds
		}
		if !slices.Equal(l.ScaledBy, b.ScaledBy) {
			by := slices.Concat(l.ScaledBy, b.ScaledBy)
			ds.Errorf("adapter", "Adapter of other weights", "Channels of %s were rewritten by %s, and %s was trained on weights that were not rewritten alike. Merge the adapter first, then transform.", b.Path, by[len(by)-1], a.Adapter.From)
			ds.Since(by[len(by)-1])
			return ds
		}
	}
	return ds
}

type adapterLayer struct {
	Name  string  `json:"name"`
	Scale float64 `json:"scale"`
}

type adapterParams struct {
	Keep   bool           `json:"keep"`
	Layers []adapterLayer `json:"layers"`
}

// adapterKernel puts the updates of one block's layers into it. The product is
// added in float32 to what the weights decode to, and zeros of a mask stay.
var adapterKernel = action.NewKernel("merge.adapter", 1, func(c *action.Context, p adapterParams) error {
	block, factors, out := c.Input("block"), c.Input("adapter"), c.Output("block")
	out.CopyExcept(block, func(leaf string) bool {
		return !p.Keep && slices.ContainsFunc(p.Layers, func(l adapterLayer) bool { return blockwise.OfLinear(leaf, l.Name) })
	})
	for _, l := range p.Layers {
		a, err := factors.Float32(adapter.Factor(l.Name, "A"))
		if err != nil {
			return err
		}
		b, err := factors.Float32(adapter.Factor(l.Name, "B"))
		if err != nil {
			return err
		}
		e, err := factors.Entry(adapter.Factor(l.Name, "A"))
		if err != nil {
			return err
		}
		rank, in := e.Meta.Shape[0], e.Meta.Shape[1]
		if p.Keep {
			scaled := make([]float32, len(b))
			for i, x := range b {
				scaled[i] = float32(float64(x) * l.Scale)
			}
			blockwise.PutSide(out, l.Name, blockwise.SideCount(block, l.Name), rank, slices.Clone(a), scaled)
			continue
		}
		w, err := blockwise.Dense(block, l.Name)
		if err != nil {
			return err
		}
		m, err := blockwise.Mask(block, l.Name)
		if err != nil {
			return err
		}
		sum, rows := slices.Clone(w), len(b)/rank
		c.Pool.Sgemm(false, false, rows, in, rank, float32(l.Scale), b, rank, a, in, 1, sum, in)
		if m != nil {
			for i := range sum {
				if !m.Keep(i/in, i%in) {
					sum[i] = 0
				}
			}
		}
		blockwise.PutDense(out, l.Name, rows, in, sum, m)
	}
	return nil
})

// Adapter puts an adapter into a model: added to its weights, or as side paths
// beside them.
//
// Hu et al. 2021, arXiv:2106.09685, section 4.1: W = W₀ + (α/r)·B·A.
var Adapter = &passes.Pass{
	Verb: "merge", Method: "adapter",
	Summary: "Puts an adapter into a model: added to the weights, or beside them.",
	Paper:   "Hu et al. 2021, arXiv:2106.09685",
	NewArgs: func() any { return &AdapterArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*AdapterArgs)
		out := &passes.Model{From: c.Node}
		res := passes.Result{Model: out}
		var ds diag.List
		if a.Model.Type == nil || !a.Adapter.Known() {
			return res, ds
		}
		if ds = a.fits(); ds.HasErrors() {
			return res, ds
		}
		ty := a.Model.Type.Clone()
		var masked, packed, dense []*model.Linear
		mode, updated := a.mode(), 0
		for _, l := range ty.Linears {
			rank := a.Adapter.Ranks[l.Path]
			if rank == 0 {
				continue
			}
			updated++
			if mode == "keep" {
				l.Sides = append(slices.Clone(l.Sides), rank)
				l.SideBits, l.SidedBy = 32, c.Node
				continue
			}
			switch {
			case l.Format.Quantized():
				packed = append(packed, l)
			case mode == "dense" && l.Masked():
				masked = append(masked, l)
			case mode == "masked" && !l.Masked():
				dense = append(dense, l)
			}
			l.StoredBits = prune.DenseBits
		}
		if len(packed) > 0 {
			ds.Errorf("merge", "Merging into codes", "%s are %s; an update cannot be added without quantising again. Use merge = \"keep\", or merge before quantising.", blockwise.Paths(packed), packed[0].Format)
			ds.Since(packed[0].QuantizedBy)
		}
		if len(masked) > 0 {
			ds.Errorf("merge", "Merging would fill zeros", "%s are pruned to %s; merge = \"dense\" adds a full update and fills the zeros. Use merge = \"masked\", which adds it where the mask keeps, or \"keep\" for a side path.", blockwise.Paths(masked), masked[0].Mask)
			ds.Since(masked[0].MaskedBy)
		}
		if a.Merge == "masked" && len(dense) == updated && !ds.HasErrors() {
			ds.Errorf("merge", "No mask to keep", "%s is not pruned where the adapter updates it, so there is no mask; leave merge out, or prune first.", a.Model.From)
		}
		out.Type = ty
		return res, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*AdapterArgs)
		next := *a.Model
		next.Type, next.From = r.Model.Type, c.Node
		next.Blocks = slices.Clone(a.Model.Blocks)
		keep := a.mode() == "keep"
		per := make([]adapterParams, len(next.Blocks))
		flops, bytes := make([]float64, len(next.Blocks)), make([]int64, len(next.Blocks))
		for _, l := range a.Model.Type.Linears {
			rank := a.Adapter.Ranks[l.Path]
			if rank == 0 {
				continue
			}
			per[l.Block].Keep = keep
			per[l.Block].Layers = append(per[l.Block].Layers, adapterLayer{l.Name, a.scale(l.Path, rank)})
			flops[l.Block] += float64(2 * float64(l.Out) * float64(l.In) * float64(rank))
			if bytes[l.Block] += 4 * int64(l.Out) * int64(l.In); keep {
				bytes[l.Block] += 4*int64(l.Out+l.In)*int64(rank) - 4*int64(l.Out)*int64(l.In)
			}
		}
		for b, p := range per {
			if len(p.Layers) == 0 {
				continue
			}
			do := g.Add(action.Spec{Kernel: adapterKernel, Params: p, Node: c.Node, Label: fmt.Sprintf("block%d", b),
				Inputs:  []action.Input{{Name: "block", Ref: a.Model.Blocks[b]}, {Name: "adapter", Ref: a.Adapter.Blocks[b]}},
				Outputs: []action.Output{{Name: "block", Class: action.Durable, Bytes: bytes[b]}}, Flops: flops[b], Peak: 4 * bytes[b]})
			next.Blocks[b] = action.Ref{Action: do, Output: "block"}
		}
		return passes.Result{Model: &next}
	},
}
