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

// CompacterArgs are the arguments of retrain "compacter".
type CompacterArgs struct {
	Model      *passes.Model `arg:"model" doc:"the model to retrain"`
	Data       *passes.Data  `arg:"data" doc:"training windows"`
	N          int           `arg:"n" default:"4" min:"1" max:"16" doc:"number of Kronecker products; divides both sides of every weight"`
	Rank       int           `arg:"rank" default:"1" min:"1" max:"64" doc:"rank of each layer's own factor of a product"`
	Placement  string        `arg:"placement" default:"delta" enum:"delta|both|ffn" doc:"delta: the products change the weights of linear layers, without a non-linearity, so that they can be merged; both: adapters with a non-linearity stand behind attention and behind the MLP; ffn: behind the MLP alone"`
	Bottleneck int           `arg:"bottleneck" optional:"true" min:"1" doc:"width of the adapters of placement both and ffn, a multiple of n; by default the largest up to a 32nd of the residual stream's, and at least n"`
	Norms      Switch        `arg:"train_norms" optional:"true" doc:"train the norms as well, with delta only where the update is merged; by default with adapters, and not with delta"`
	merging
	training.Run
	blockwise.Target
}

// compacterRate is ten times the paper's, which is for adapters: as changes of
// weights the products learn too little at lower rates (docs/methods.md).
const compacterRate = 3e-2

func (a *CompacterArgs) update() update {
	rank, norms := a.N*a.N*a.Rank, a.Norms.or(false)
	u := update{model: a.Model, data: a.Data, merge: a.Merge, run: a.Run, target: a.Target, rate: compacterRate, init: train.Kaiming, norms: norms,
		of: func(l *model.Linear, masked bool) training.Linear {
			return training.Linear{Name: l.Name, Kind: train.Compacter, Rank: a.Rank, Order: a.N, Masked: masked}
		},
		misfit: func(l *model.Linear) *misfit {
			if l.Out%a.N != 0 || l.In%a.N != 0 {
				return &misfit{"n", "Products do not divide the layer", fmt.Sprintf("are [%d, %d], which %d does not divide. Use a divisor of %d.", l.Out, l.In, a.N, gcd(l.Out, l.In))}
			}
			return nil
		}}
	if !norms {
		u.side = func(*model.Linear) int { return rank }
		u.adapter = func() *passes.Adapter { return &passes.Adapter{Rank: rank} }
	}
	return u
}

// Compacter trains updates that are sums of Kronecker products of small
// matrices, which all layers share, with factors of each layer's own; or adapters
// of such weights.
//
// Karimi Mahabadi et al. 2021, arXiv:2106.04647. Departures: the placement delta,
// and the spread at the start of the shared matrices, which is that of the
// authors' class and not the smaller one of their configuration.
var Compacter = &passes.Pass{
	Verb: "retrain", Method: "compacter",
	Summary: "Trains updates made of Kronecker products of small shared matrices and merges them, keeping the mask; or adapters of such products.",
	Doc: `With ` + "`placement = \"both\"`" + ` or ` + "`\"ffn\"`" + ` these are the adapters of the paper: what a
sublayer yields, y, goes on as y + up(gelu(down(y))), through a bottleneck. The weights
stand still and nothing is merged, so that it works beside zeros and codes of any kind.
The adapters are part of the model from there on: whatever prunes, quantises, retrains or
measures it runs with them. What merges models or rewrites the residual stream refuses
them, and of the exports only "safetensors" with ` + "`layout = \"native\"`" + ` holds them.

The learning rate is 0.003 by default with adapters, the paper's, and 0.03 with delta:
products that change the weights themselves learn too little at lower rates.
`,
	Paper:   "Karimi Mahabadi et al. 2021, arXiv:2106.04647",
	NewArgs: func() any { return &CompacterArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*CompacterArgs)
		if a.Placement != "delta" {
			return a.bottlenecksOf(c.Node)
		}
		res, ds := a.update().typeOf(c.Node)
		if a.Bottleneck != 0 {
			ds.Errorf("bottleneck", "Argument has no effect", "With placement = \"delta\" there is no bottleneck. Remove it, or use placement = \"both\".")
		}
		return res, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*CompacterArgs)
		if a.Placement != "delta" {
			return a.lowerBottlenecks(c, g, r)
		}
		return a.update().lower(c, g, r)
	},
}
