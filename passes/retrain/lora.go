// Package retrain heals compressed models by training few parameters.
package retrain

import (
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/internal/train"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/training"
)

// All lists the methods of the verb.
func All() []*passes.Pass { return []*passes.Pass{LoRA, PERP, AdaLoRA, Bone, Compacter} }

// LoRAArgs are the arguments of retrain "lora".
type LoRAArgs struct {
	Model *passes.Model `arg:"model" doc:"the model to retrain"`
	Data  *passes.Data  `arg:"data" doc:"training windows"`
	Rank  int           `arg:"rank" default:"16" min:"1" max:"1024" per_module:"true" doc:"rank of the update of each linear"`
	Alpha float64       `arg:"alpha" optional:"true" above:"0" doc:"the update is scaled by alpha / rank; 2 · rank by default"`
	merging
	Init string `arg:"init" default:"kaiming" enum:"kaiming|formula" doc:"how A starts (B is zero): uniform in ±1/√in from the seed, or by a fixed formula"`
	training.Run
	blockwise.Target
}

const loraRate = 2e-4

func (a *LoRAArgs) rank(l *model.Linear) int {
	return schema.Resolve(*a, blockwise.ModuleOf(l)).Rank
}

func (a *LoRAArgs) update() update {
	return update{model: a.Model, data: a.Data, merge: a.Merge, run: a.Run, target: a.Target, rate: loraRate, init: train.Init(a.Init),
		of: func(l *model.Linear, masked bool) training.Linear {
			k := train.LoRA
			if masked {
				k = train.MaskLoRA
			}
			return training.Linear{Name: l.Name, Kind: k, Rank: a.rank(l), Scale: a.scale(l)}
		},
		side: a.rank,
		misfit: func(l *model.Linear) *misfit {
			if r := a.rank(l); r > min(l.Out, l.In) {
				return &misfit{"rank", "Rank is larger than the layer", fmt.Sprintf("are [%d, %d] and have no update of rank %d; at most %d.", l.Out, l.In, r, min(l.Out, l.In))}
			}
			return nil
		},
		adapter: func() *passes.Adapter {
			if a.Alpha != 0 {
				return &passes.Adapter{Rank: a.Rank, Alpha: a.Alpha}
			}
			// A layer with a rank of its own has twice that.
			ad := &passes.Adapter{Rank: a.Rank, Alpha: 2 * float64(a.Rank), Alphas: map[string]float64{}}
			for _, l := range a.Model.Type.Linears {
				if r := a.rank(l); a.Selects(l) && r != a.Rank {
					ad.Alphas[l.Path] = 2 * float64(r)
				}
			}
			return ad
		},
	}
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
		return c.Args.(*LoRAArgs).update().typeOf(c.Node)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		return c.Args.(*LoRAArgs).update().lower(c, g, r)
	},
}

func (a *LoRAArgs) scale(l *model.Linear) float64 {
	if a.Alpha == 0 {
		return 2
	}
	return a.Alpha / float64(a.rank(l))
}
