// Package compensate adds low-rank side paths beside compressed weights so
// that the layers' outputs come closer to the original model's.
package compensate

import (
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
	"github.com/compressc/compressc/internal/lowrank"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/obs"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// All lists the methods of the verb.
func All() []*passes.Pass { return []*passes.Pass{EoRA, LoRC} }

// Common are the arguments that every compensation has.
type Common struct {
	Model     *passes.Model `arg:"model" doc:"the compressed model"`
	Reference *passes.Model `arg:"reference" doc:"the original model"`
	blockwise.Target
}

func (a Common) typeOf(node string, rank func(*model.Linear) int) (passes.Result, diag.List) {
	out := &passes.Model{From: node}
	if a.Model.Type == nil {
		return passes.Result{Model: out}, nil
	}
	ds := a.Check(a.Model.Type)
	ds = append(ds, blockwise.CheckReference(a.Model.Type, a.Reference)...)
	ty := a.Model.Type.Clone()
	var clamped []*model.Linear
	for i, l := range ty.Linears {
		if !a.Selects(l) {
			continue
		}
		if a.Reference.Type != nil && i < len(a.Reference.Type.Linears) && a.Reference.Type.Linears[i].Format.Quantized() {
			ds.Errorf("reference", "Reference is compressed", "The weights of %s are codes since %s; compensation brings a model back to its original. Name the model from before that block.",
				a.Reference.From, a.Reference.Type.Linears[i].QuantizedBy)
			ds.Since(a.Reference.Type.Linears[i].QuantizedBy)
			break
		}
		r := rank(l)
		if r > min(l.Out, l.In) {
			clamped = append(clamped, l)
			r = min(l.Out, l.In)
		}
		l.Sides = append(l.Sides, r)
		l.SideBits = 32
		l.SidedBy = node
	}
	if len(clamped) > 0 {
		ds.Warnf("rank", "Rank is larger than the layer", "%s have no more than %d independent directions; the rank is lowered to that there.", blockwise.Paths(clamped), min(clamped[0].Out, clamped[0].In))
	}
	out.Type = ty
	return passes.Result{Model: out}, ds
}

// layerParams name one layer of a block.
type layerParams struct {
	Name string `json:"name"`
	Site string `json:"site"`
	Out  int    `json:"out"`
	In   int    `json:"in"`
}

// decomposeParams hold the largest rank that truncations may ask for: the next
// multiple of rankStep, so that a sweep over ranks shares one decomposition.
// Truncating it gives the same bits for any Keep.
type decomposeParams struct {
	Layers []layerParams `json:"layers"`
	Keep   int           `json:"keep"`
}

const rankStep = 128

// decomposeKernel factors W − Ŵ of every layer of a block; weighted by the
// input "gram" where there is one.
var decomposeKernel = action.NewKernel("compensate.decompose", 2, func(c *action.Context, p decomposeParams) error {
	comp, ref := c.Input("block"), c.Input("reference")
	out := c.Output("factors")
	reports := map[string]float64{}
	for i, l := range p.Layers {
		if err := c.Err(); err != nil {
			return err
		}
		var gram []float64
		if v := c.In["gram"]; v != nil {
			var err error
			if gram, err = v.Float64(l.Site); err != nil {
				return err
			}
		}
		var weights blockwise.Scratch
		w, err := weights.Dense(ref, l.Name)
		if err != nil {
			return err
		}
		if gram != nil {
			reports[l.Name] = obs.OutputEnergy(c.Pool, w, nil, l.Out, l.In, gram)
		}
		dw := linalg.TakeBuffer[float64](len(w))
		if err := delta(dw.S, w, comp, l.Name, &weights); err != nil {
			return err
		}
		weights.Give()
		f, err := lowrank.Decompose(c.Pool, dw.S, l.Out, l.In, gram, min(p.Keep, l.Out, l.In))
		if err != nil {
			return fmt.Errorf("%s: %w", l.Name, err)
		}
		dw.Give()
		putFactors(out, l, f)
		f.Give()
		if err := c.Step(i+1, len(p.Layers)); err != nil {
			return err
		}
	}
	return out.PutJSON("energy", reports)
})

// delta sets d [out, in] to W − Ŵ − Σ B·A in float64: what is still missing.
func delta(d []float64, w []float32, comp *artifact.Value, linear string, s *blockwise.Scratch) error {
	v, err := s.Dense(comp, linear)
	if err != nil {
		return err
	}
	vmath.Difference(d, w, v)
	sides, err := blockwise.Sides(comp, linear)
	if err != nil {
		return err
	}
	for _, s := range sides {
		in := len(s.A) / s.Rank
		for r := range len(s.B) / s.Rank {
			row := d[r*in : (r+1)*in]
			for k := range s.Rank {
				b := float64(s.B[r*s.Rank+k])
				for j, a := range s.A[k*in : (k+1)*in] {
					row[j] -= float64(b * float64(a))
				}
			}
		}
	}
	return nil
}

type attachParams struct {
	Layers []layerParams `json:"layers"`
	Ranks  []int         `json:"ranks"`
}

// attachKernel sets the leading directions of the factors beside the weights.
// It carries leaves over and stores a report, so a further rank costs next to
// nothing, whatever the model.
var attachKernel = action.NewKernel("compensate.attach", 2, func(c *action.Context, p attachParams) error {
	in := c.Input("block")
	out := c.Output("block")
	out.CopyExcept(in, nil)
	var energy map[string]float64
	if err := c.Input("factors").JSON("energy", &energy); err != nil {
		return err
	}
	reports := map[string]map[string]float64{}
	for i, l := range p.Layers {
		f, err := getFactors(c.Input("factors"), l)
		if err != nil {
			return err
		}
		r := min(p.Ranks[i], f.rank)
		if r == 0 {
			continue
		}
		blockwise.ShareSide(out, l.Name, blockwise.SideCount(in, l.Name), r, f.a, f.bt)
		rep := map[string]float64{"residual_before": f.residual(0), "residual_after": f.residual(r)}
		if e := energy[l.Name]; e > 0 {
			rep["relative_output_error"] = f.residual(r) / e
			rep["relative_output_error_before"] = f.residual(0) / e
		}
		reports[l.Name] = rep
	}
	return c.Output("report").PutJSON("report", reports)
})

// lower emits decompose → attach for every block. gram is nil for methods that
// look at weights alone.
func (a Common) lower(node string, g *action.Graph, r passes.Result, gram func(block int) action.Ref, rank func(*model.Linear) int) passes.Result {
	cfg := a.Model.Type.Config
	next := *a.Model
	next.Type, next.From = r.Model.Type, node
	next.Blocks = append([]action.Ref(nil), a.Model.Blocks...)
	res := passes.Result{Model: &next}
	reference := blockwise.Aligned(g, node, a.Model, a.Reference)
	for b := 0; b < cfg.Layers; b++ {
		var ls []layerParams
		var ranks []int
		keep := 0
		var flops float64
		var bytes, energies int64
		for _, l := range a.Model.Type.Block(b) {
			if !a.Selects(l) {
				continue
			}
			k := rank(l)
			ls = append(ls, layerParams{l.Name, l.Site, l.Out, l.In})
			ranks = append(ranks, k)
			keep = max(keep, k)
			n := float64(min(l.Out, l.In))
			flops += 25*n*n*n + 6*float64(l.Out)*float64(l.In)*float64(l.In)
			energies += int64(min(l.Out, l.In)) * 8
		}
		if ls == nil {
			continue
		}
		keep = (keep + rankStep - 1) / rankStep * rankStep
		for _, l := range ls {
			bytes += int64(min(keep, l.Out, l.In)) * int64(l.Out+l.In) * 4
		}
		in := []action.Input{{Name: "block", Ref: a.Model.Blocks[b]}, {Name: "reference", Ref: reference.Blocks[b]}}
		if gram != nil {
			in = append(in, action.Input{Name: "gram", Ref: gram(b)})
		}
		dec := g.Add(action.Spec{Kernel: decomposeKernel, Params: decomposeParams{ls, keep}, Inputs: in, Node: node,
			Label: fmt.Sprintf("decompose block %d", b), Flops: flops, Peak: 64 << 20,
			Outputs: []action.Output{{Name: "factors", Class: action.Durable, Bytes: bytes + energies}}})
		att := g.Add(action.Spec{Kernel: attachKernel, Params: attachParams{ls, ranks}, Node: node, Label: fmt.Sprintf("block %d", b),
			Inputs:  []action.Input{{Name: "block", Ref: a.Model.Blocks[b]}, {Name: "factors", Ref: action.Ref{Action: dec, Output: "factors"}}},
			Outputs: []action.Output{{Name: "block", Class: action.Durable}, {Name: "report", Class: action.Durable, Bytes: 4096}},
			Flops:   float64(energies), Peak: 1 << 20})
		next.Blocks[b] = action.Ref{Action: att, Output: "block"}
		res.Layers = append(res.Layers, passes.LayerReport{Block: b, Ref: action.Ref{Action: att, Output: "report"}})
	}
	return res
}
