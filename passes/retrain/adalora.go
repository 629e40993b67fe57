package retrain

import (
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/train"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/training"
)

// AdaLoRAArgs are the arguments of retrain "adalora".
type AdaLoRAArgs struct {
	Model         *passes.Model `arg:"model" doc:"the model to retrain"`
	Data          *passes.Data  `arg:"data" doc:"training windows"`
	TargetRank    int           `arg:"target_rank" default:"8" min:"1" max:"1024" doc:"mean rank of the linears' updates at the end"`
	InitRank      int           `arg:"init_rank" default:"12" min:"1" max:"1024" doc:"rank of every update at the start"`
	Alpha         float64       `arg:"alpha" default:"16" above:"0" doc:"updates are scaled by alpha / init_rank"`
	Explore       float64       `arg:"explore" default:"0.1" min:"0" below:"1" doc:"share of the steps before the ranks begin to fall, at least one step: at the start no direction has a score"`
	Final         float64       `arg:"final" default:"0.3" min:"0" below:"1" doc:"share of the steps, the last ones, in which they stand"`
	Interval      int           `arg:"interval" default:"10" min:"1" doc:"steps from one choice of directions to the next"`
	Orthogonality float64       `arg:"orthogonality" default:"0.1" min:"0" doc:"weight of the distance of A and B from orthogonal matrices"`
	Beta1         float64       `arg:"beta1" default:"0.85" min:"0" below:"1" doc:"decay of the importance"`
	Beta2         float64       `arg:"beta2" default:"0.85" min:"0" below:"1" doc:"decay of the uncertainty"`
	merging
	training.Run
	blockwise.Target
}

const adaLoRARate = 1e-3

func (a *AdaLoRAArgs) budget(linears int) train.Budget {
	return train.Budget{Target: a.TargetRank * linears, Steps: a.Steps,
		Warmup: max(1, int(a.Explore*float64(a.Steps))), Final: int(a.Final * float64(a.Steps)), Interval: a.Interval,
		Beta1: a.Beta1, Beta2: a.Beta2, Orthogonality: a.Orthogonality}
}

func (a *AdaLoRAArgs) update() update {
	return update{model: a.Model, data: a.Data, merge: a.Merge, run: a.Run, target: a.Target, rate: adaLoRARate, init: train.Kaiming,
		of: func(l *model.Linear, masked bool) training.Linear {
			return training.Linear{Name: l.Name, Kind: train.AdaLoRA, Rank: a.InitRank, Scale: a.Alpha / float64(a.InitRank), Masked: masked}
		},
		// Which ranks come out is known after the run; this is their mean.
		side: func(*model.Linear) int { return a.TargetRank },
		misfit: func(l *model.Linear) *misfit {
			if a.InitRank > min(l.Out, l.In) {
				return &misfit{"init_rank", "Rank is larger than the layer", fmt.Sprintf("are [%d, %d] and have no update of rank %d; at most %d.", l.Out, l.In, a.InitRank, min(l.Out, l.In))}
			}
			return nil
		},
		adapter: func() *passes.Adapter { return &passes.Adapter{Rank: a.TargetRank} },
		prepare: func(j *training.Job) {
			n := 0
			for _, ls := range j.Spec.Linears {
				n += len(ls)
			}
			b := a.budget(n)
			j.Spec.Budget = &b
		},
	}
}

// AdaLoRA trains low-rank updates whose directions compete over all layers: the
// least important ones are dropped as training goes on.
//
// Zhang et al. 2023, arXiv:2303.10512.
var AdaLoRA = &passes.Pass{
	Verb: "retrain", Method: "adalora",
	Summary: "Trains low-rank updates, drops the least important directions of all layers, and merges the rest, keeping the mask.",
	Paper:   "Zhang et al. 2023, arXiv:2303.10512",
	NewArgs: func() any { return &AdaLoRAArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*AdaLoRAArgs)
		r, ds := a.update().typeOf(c.Node)
		if a.TargetRank > a.InitRank {
			ds.Errorf("target_rank", "Ranks only fall", "target_rank is %d and init_rank %d; expected at most init_rank.", a.TargetRank, a.InitRank)
		}
		b := a.budget(1)
		left := b.Steps - b.Warmup - b.Final
		switch {
		case left < 1:
			ds.Errorf("steps", "Ranks never fall", "Of %d steps %d come before the ranks fall and %d after, which leaves none to drop directions in. Use more steps, or a smaller share in explore or final.", b.Steps, b.Warmup, b.Final)
		case left < b.Interval:
			ds.Warnf("interval", "Ranks fall at once", "The ranks fall over %d of %d steps, fewer than the interval of %d: directions are dropped in one go.", left, b.Steps, b.Interval)
		}
		return r, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		return c.Args.(*AdaLoRAArgs).update().lower(c, g, r)
	},
}
