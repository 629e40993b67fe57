// Package retrain heals compressed models by training few parameters.
package retrain

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/internal/train"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/prune"
	"github.com/compressc/compressc/passes/training"
)

// All lists the methods of the verb.
func All() []*passes.Pass { return []*passes.Pass{LoRA, PERP} }

// LoRAArgs are the arguments of retrain "lora".
type LoRAArgs struct {
	Model *passes.Model `arg:"model" doc:"the model to retrain"`
	Data  *passes.Data  `arg:"data" doc:"training windows"`
	Rank  int           `arg:"rank" default:"16" min:"1" max:"1024" per_module:"true" doc:"rank of the update of each linear"`
	Alpha float64       `arg:"alpha" optional:"true" above:"0" doc:"the update is scaled by alpha / rank; 2 · rank by default"`
	Merge string        `arg:"merge" optional:"true" enum:"masked|dense|keep" doc:"masked: trained and added where the mask keeps; dense: added to the weights; keep: a side path beside them. By default masked for pruned models, keep for quantised ones, dense for others"`
	Init  string        `arg:"init" default:"kaiming" enum:"kaiming|formula" doc:"how A starts (B is zero): uniform in ±1/√in from the seed, or by a fixed formula"`
	training.Run
	blockwise.Target
}

const loraRate = 2e-4

// kind is how one layer is trained, and whether its update stays a side path.
func (a *LoRAArgs) kind(l *model.Linear) (k train.Kind, side bool) {
	merge := a.Merge
	if merge == "" {
		merge = a.defaultMerge()
	}
	switch {
	case merge == "keep":
		return train.LoRA, true
	case merge == "masked" && l.Masked():
		return train.MaskLoRA, false
	}
	return train.LoRA, false
}

// defaultMerge looks at all layers: an adapter is either kept or merged.
func (a *LoRAArgs) defaultMerge() string {
	merge := "dense"
	for _, l := range a.Model.Type.Linears {
		switch {
		case l.Format.Quantized():
			return "keep"
		case l.Masked():
			merge = "masked"
		}
	}
	return merge
}

func (a *LoRAArgs) rank(l *model.Linear) int {
	return schema.Resolve(*a, blockwise.ModuleOf(l)).Rank
}

// LoRA trains a low-rank update of each linear layer while the weights stand
// still.
//
// Hu et al. 2021, arXiv:2106.09685; with the mask in the update, Zimmer et al.
// 2023, arXiv:2312.15230.
var LoRA = &passes.Pass{
	Verb: "retrain", Method: "lora",
	Summary: "Trains low-rank updates of the linear layers and merges them, keeping the mask.",
	Paper:   "Hu et al. 2021, arXiv:2106.09685; masked: Zimmer et al. 2023, arXiv:2312.15230",
	NewArgs: func() any { return &LoRAArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*LoRAArgs)
		out := &passes.Model{From: c.Node}
		ds := a.Run.Check(a.Data.Type.SequenceLength)
		if a.Model.Type == nil {
			return passes.Result{Model: out}, ds
		}
		ds = append(ds, a.Target.Check(a.Model.Type)...)
		ty := a.Model.Type.Clone()
		var filled, packed, wide, unmasked []*model.Linear
		for _, l := range ty.Linears {
			if !a.Selects(l) {
				continue
			}
			k, side := a.kind(l)
			r := a.rank(l)
			switch {
			case r > min(l.Out, l.In):
				wide = append(wide, l)
			case a.Merge == "masked" && !l.Masked():
				unmasked = append(unmasked, l)
			case k == train.LoRA && !side && l.Masked():
				filled = append(filled, l)
			case !side && l.Format.Quantized():
				packed = append(packed, l)
			}
			if side {
				l.Sides = append(l.Sides, r)
				l.SideBits, l.SidedBy = 32, c.Node
			} else {
				l.StoredBits = prune.DenseBits
			}
		}
		if len(filled) > 0 {
			ds.Errorf("merge", "Merging would fill zeros", "%s are pruned to %s by %s; merge = \"dense\" adds a full update and fills the zeros. Use merge = \"masked\", which trains and merges only where the mask keeps, or \"keep\" for a side path.",
				blockwise.Paths(filled), filled[0].Mask, filled[0].MaskedBy)
			ds.Since(filled[0].MaskedBy)
		}
		if len(packed) > 0 {
			ds.Errorf("merge", "Merging into codes", "%s are %d-bit codes; an update cannot be merged without quantising again. Use merge = \"keep\", or retrain before quantising.",
				blockwise.Paths(packed), packed[0].Format.Bits)
			ds.Since(packed[0].QuantizedBy)
		}
		if len(wide) > 0 {
			ds.Errorf("rank", "Rank is larger than the layer", "%s are [%d, %d] and have no update of rank %d; at most %d.", blockwise.Paths(wide), wide[0].Out, wide[0].In, a.rank(wide[0]), min(wide[0].Out, wide[0].In))
		}
		if len(unmasked) > 0 && len(unmasked) == len(ty.Linears) {
			ds.Errorf("merge", "No mask to keep", "%s is not pruned, so there is no mask; leave merge out, or prune first.", a.Model.From)
			ds.Since(a.Model.From)
		}
		out.Type = ty
		return passes.Result{Model: out, Adapter: a.adapter(c.Node)}, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*LoRAArgs)
		j := training.Job{Node: c.Node, Model: a.Model, Data: a.Data, Spec: training.NewSpec(a.Model.Type.Config)}
		a.Run.Apply(&j, loraRate, c.Seed)
		j.Spec.Init = train.Init(a.Init)
		side := false
		for _, l := range a.Model.Type.Linears {
			if !a.Selects(l) {
				continue
			}
			k, s := a.kind(l)
			side = side || s
			j.Spec.Linears[l.Block] = append(j.Spec.Linears[l.Block], training.Linear{Name: l.Name, Kind: k, Rank: a.rank(l), Scale: a.scale(l)})
		}
		next := *a.Model
		next.Type, next.From = r.Model.Type, c.Node
		res := passes.Result{Model: &next}
		if side {
			state, logs := j.Chunks(g)
			next.Blocks, _ = j.Adapters(g, state, a.scale(a.Model.Type.Linears[0]), true)
			res.Logs = logs
		} else {
			res.Logs = j.Merge(g, &next)
		}
		if ad := r.Adapter; ad != nil {
			state, _ := j.Chunks(g)
			filled := *ad
			_, filled.Blocks = j.Adapters(g, state, a.scale(a.Model.Type.Linears[0]), side)
			res.Adapter = &filled
		}
		return res
	},
}

func (a *LoRAArgs) scale(l *model.Linear) float64 {
	if a.Alpha == 0 {
		return 2
	}
	return a.Alpha / float64(a.rank(l))
}

// adapter is the update apart, where it is one: masked updates are not a
// product of two matrices, and overrides give layers ranks of their own.
func (a *LoRAArgs) adapter(node string) *passes.Adapter {
	for _, l := range a.Model.Type.Linears {
		if k, _ := a.kind(l); a.Selects(l) && k != train.LoRA {
			return nil
		}
	}
	alpha := a.Alpha
	if alpha == 0 {
		alpha = 2 * float64(a.Rank)
	}
	ranks := map[string]int{}
	for _, l := range a.Model.Type.Linears {
		if a.Selects(l) {
			ranks[l.Path] = a.rank(l)
		}
	}
	return &passes.Adapter{Base: a.Model, From: node, Rank: a.Rank, Alpha: alpha, Ranks: ranks}
}
