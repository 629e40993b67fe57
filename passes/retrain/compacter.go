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
	Model     *passes.Model `arg:"model" doc:"the model to retrain"`
	Data      *passes.Data  `arg:"data" doc:"training windows"`
	N         int           `arg:"n" default:"4" min:"1" max:"16" doc:"number of Kronecker products; divides both sides of every weight"`
	Rank      int           `arg:"rank" default:"1" min:"1" max:"64" doc:"rank of each layer's own factor of a product"`
	Placement string        `arg:"placement" default:"delta" enum:"delta" doc:"delta: the products change the weights of linear layers, without a non-linearity, so that they can be merged"`
	Norms     bool          `arg:"train_norms" default:"false" doc:"train the norms' gains as well; only where the update is merged"`
	merging
	training.Run
	blockwise.Target
}

// compacterRate is ten times the paper's, which is for adapters: as changes of
// weights the products learn too little at lower rates (docs/methods.md).
const compacterRate = 3e-2

func (a *CompacterArgs) update() update {
	rank := a.N * a.N * a.Rank
	u := update{model: a.Model, data: a.Data, merge: a.Merge, run: a.Run, target: a.Target, rate: compacterRate, init: train.Kaiming, norms: a.Norms,
		of: func(l *model.Linear, masked bool) training.Linear {
			return training.Linear{Name: l.Name, Kind: train.Compacter, Rank: a.Rank, Order: a.N, Masked: masked}
		},
		misfit: func(l *model.Linear) *misfit {
			if l.Out%a.N != 0 || l.In%a.N != 0 {
				return &misfit{"n", "Products do not divide the layer", fmt.Sprintf("are [%d, %d], which %d does not divide. Use a divisor of %d.", l.Out, l.In, a.N, gcd(l.Out, l.In))}
			}
			return nil
		}}
	if !a.Norms {
		u.side = func(*model.Linear) int { return rank }
		u.adapter = func() *passes.Adapter { return &passes.Adapter{Rank: rank} }
	}
	return u
}

// Compacter trains updates that are sums of Kronecker products of small
// matrices, which all layers share, with factors of each layer's own.
//
// Karimi Mahabadi et al. 2021, arXiv:2106.04647.
var Compacter = &passes.Pass{
	Verb: "retrain", Method: "compacter",
	Summary: "Trains updates made of Kronecker products of small shared matrices and merges them, keeping the mask.",
	Doc: `The learning rate is 0.03 by default, ten times that of the paper's adapters: products
that change the weights themselves learn too little at lower rates.
`,
	Paper:   "Karimi Mahabadi et al. 2021, arXiv:2106.04647",
	NewArgs: func() any { return &CompacterArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		return c.Args.(*CompacterArgs).update().typeOf(c.Node)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		return c.Args.(*CompacterArgs).update().lower(c, g, r)
	},
}
