package retrain

import (
	"slices"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/train"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/prune"
	"github.com/compressc/compressc/passes/training"
)

// PERPArgs are the arguments of retrain "perp".
type PERPArgs struct {
	Model    *passes.Model `arg:"model" doc:"the pruned model"`
	Data     *passes.Data  `arg:"data" doc:"training windows"`
	Train    []string      `arg:"train" default:"[\"norms\", \"lora\"]" enum:"biases|norms|lm_head|lora" doc:"what is trained; everything else stands still"`
	LoRAType string        `arg:"lora_type" default:"mask_lora" enum:"mask_lora|scale_lora|lora_prune" doc:"how low-rank updates respect the mask: W + s·(BA)⊙M trained and merged so; W⊙(BA); or trained as W + s·BA and masked when merged"`
	Rank     int           `arg:"rank" default:"16" min:"1" max:"1024" doc:"rank of the updates"`
	Alpha    float64       `arg:"alpha" optional:"true" above:"0" doc:"updates are scaled by alpha / rank; 2 · rank by default; not for scale_lora"`
	Init     string        `arg:"init" default:"kaiming" enum:"kaiming|formula" doc:"how A starts"`
	Mode     string        `arg:"mode" default:"retrain" enum:"retrain|reconstruct" doc:"retrain: the whole model on the next token; reconstruct: block by block, each to what the reference's block makes of the same inputs"`

	Reference *passes.Model `arg:"reference" optional:"true" doc:"the model before pruning, for mode = \"reconstruct\""`
	training.Run
	blockwise.Target
}

const perpRate = 5e-4

func (a *PERPArgs) trains(what string) bool { return slices.Contains(a.Train, what) }

func (a *PERPArgs) scale() float64 {
	switch {
	case a.LoRAType == "scale_lora":
		return 0
	case a.Alpha == 0:
		return 2
	}
	return a.Alpha / float64(a.Rank)
}

// PERP retrains a small part of a pruned model's parameters and keeps every
// zero.
//
// Zimmer et al. 2023, arXiv:2312.15230.
var PERP = &passes.Pass{
	Verb: "retrain", Method: "perp",
	Summary: "Retrains norms, biases, head or masked low-rank updates of a pruned model.",
	Paper:   "Zimmer et al. 2023, arXiv:2312.15230",
	NewArgs: func() any { return &PERPArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*PERPArgs)
		out := &passes.Model{From: c.Node}
		ds := a.Run.Check(a.Data.Type.SequenceLength)
		if a.LoRAType == "scale_lora" && a.Alpha != 0 {
			ds.Errorf("alpha", "Argument has no effect", "scale_lora multiplies the weights by B·A, which has no scale. Remove alpha.")
		}
		if a.Model.Type == nil {
			return passes.Result{Model: out}, ds
		}
		ds = append(ds, a.Target.Check(a.Model.Type)...)
		switch {
		case a.Mode == "reconstruct" && a.Reference == nil:
			ds.Errorf("mode", "No reference model", "mode = \"reconstruct\" fits each block to the reference's. Add reference = the model before pruning.")
		case a.Mode == "reconstruct" && a.trains("lm_head"):
			ds.Errorf("train", "No head to train", "mode = \"reconstruct\" trains decoder blocks one by one and never sees the head. Remove \"lm_head\".")
		case a.Mode == "retrain" && a.Reference != nil:
			ds.Warnf("reference", "Reference is not used", "mode = \"retrain\" trains on the next token; reference has no effect.")
		}
		ds = append(ds, blockwise.CheckReference(a.Model.Type, a.Reference)...)
		ty := a.Model.Type.Clone()
		var packed, sided, wide []*model.Linear
		masked := false
		biases := false
		for _, l := range ty.Linears {
			masked = masked || l.Masked()
			biases = biases || l.HasBias
			if !a.trains("lora") || !a.Selects(l) {
				continue
			}
			switch {
			case l.Format.Quantized():
				packed = append(packed, l)
			case len(l.Sides) > 0:
				sided = append(sided, l)
			case a.Rank > min(l.Out, l.In):
				wide = append(wide, l)
			}
			l.StoredBits = prune.DenseBits
		}
		if !masked {
			ds.Warnf("model", "Nothing pruned", "%s has no mask, so there are no zeros to keep; retrain \"lora\" trains the same parameters.", a.Model.From)
		}
		if a.trains("biases") && !biases {
			ds.Warnf("train", "No biases", "This architecture has no biases in its linear layers; \"biases\" trains nothing.")
			if len(a.Train) == 1 {
				ds.Errorf("train", "Nothing to train", "Add \"norms\" or \"lora\".")
			}
		}
		if len(packed) > 0 {
			ds.Errorf("model", "Merging into codes", "%s are %s; an update cannot be merged without quantising again. Retrain before quantising, or train [\"norms\"].", blockwise.Paths(packed), packed[0].Format)
			ds.Since(packed[0].QuantizedBy)
		}
		if len(sided) > 0 {
			ds.Errorf("model", "Retraining beside side paths", "%s carry side paths since %s, which would no longer fit. Retrain before the compensation.", blockwise.Paths(sided), sided[0].SidedBy)
			ds.Since(sided[0].SidedBy)
		}
		if len(wide) > 0 {
			ds.Errorf("rank", "Rank is larger than the layer", "%s have at most rank %d.", blockwise.Paths(wide), min(wide[0].Out, wide[0].In))
		}
		if a.trains("lm_head") && ty.Config.Tied {
			ds.Errorf("train", "Tied head", "The head of this model is its embedding table, which other parts of the model read as well. Train \"norms\" and \"lora\" instead.")
		}
		out.Type = ty
		return passes.Result{Model: out}, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*PERPArgs)
		j := training.Job{Node: c.Node, Model: a.Model, Data: a.Data, Spec: training.NewSpec(a.Model.Type.Config)}
		a.Run.Apply(&j, perpRate, c.Seed)
		j.Spec.Init = train.Init(a.Init)
		j.Spec.Norms, j.Spec.Biases = a.trains("norms"), a.trains("biases")
		if a.trains("lm_head") {
			j.Spec.Head = training.Linear{Name: "lm_head", Kind: train.LoRA, Rank: a.Rank, Scale: 2}
		}
		for _, l := range a.Model.Type.Linears {
			if !a.trains("lora") || !a.Selects(l) {
				continue
			}
			k := train.Kind(a.LoRAType)
			if !l.Masked() && k != train.ScaleLoRA {
				k = train.LoRA
			}
			j.Spec.Linears[l.Block] = append(j.Spec.Linears[l.Block], training.Linear{Name: l.Name, Kind: k, Rank: a.Rank, Scale: a.scale()})
		}
		next := *a.Model
		next.Type, next.From = r.Model.Type, c.Node
		if a.Mode == "reconstruct" {
			return passes.Result{Model: &next, Layers: j.Reconstruct(g, a.Reference, &next)}
		}
		_, logs := j.Merge(g, &next)
		return passes.Result{Model: &next, Logs: logs}
	},
}
