package merge

import (
	"fmt"
	"math"

	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/linalg/vmath"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// SLERPArgs are the arguments of merge "slerp".
type SLERPArgs struct {
	Sources
	T         Gradient         `arg:"t" default:"0.5" per_module:"true" doc:"how far to go from the first model to the second; a list gives values along the depth, from the embedding to the head"`
	Overrides schema.Overrides `overrides:"true"`
}

// Gradient is a number, or numbers spread evenly over the depth of a model with
// straight lines between them.
type Gradient []float64

// ArgType names the type in documentation.
func (Gradient) ArgType() string { return "number or list of numbers" }

// ParseArg reads a number or a list of numbers in [0, 1].
func (g *Gradient) ParseArg(v cty.Value) error {
	list, err := numbers(v, "expected a number between 0 and 1, or a list of such numbers")
	for _, x := range list {
		if !(x >= 0 && x <= 1) {
			return fmt.Errorf("expected numbers between 0, which is the first model, and 1, which is the second")
		}
	}
	*g = list
	return err
}

// At returns the value at a depth in [0, 1].
func (g Gradient) At(depth float64) float64 {
	x := float64(depth * float64(len(g)-1))
	i := min(int(x), len(g)-1)
	if i == len(g)-1 {
		return g[i]
	}
	f := x - float64(i)
	return float64((1-f)*g[i]) + float64(f*g[i+1])
}

type slerpParams struct {
	T float64 `json:"t"`
}

const (
	// tiny is the norm below which a tensor has no direction.
	tiny = 1e-8
	// parallel is the cosine above which two tensors are joined by a line: the
	// arc is as good as one, and its formula divides by the sine.
	parallel = 0.9995
)

var slerp = New(Method[slerpParams]{
	Kernel: "merge.slerp", Impl: 1,
	Tensor: func(t *Tensor, a slerpParams) error {
		n := t.Chunks()
		aa, bb, ab := make([]float64, n), make([]float64, n), make([]float64, n)
		err := t.Each(func(c *Chunk) {
			x, y := c.Models[0], c.Models[1]
			aa[c.Index], bb[c.Index], ab[c.Index] = vmath.SumSq(x), vmath.SumSq(y), vmath.Dot(x, y)
		})
		if err != nil {
			return err
		}
		p, q := arc(inOrder(aa), inOrder(bb), inOrder(ab), a.T)
		return t.Merge(func(c *Chunk, dst []float32) {
			y := c.Models[1]
			for i, x := range c.Models[0] {
				dst[i] = float32(float64(p*float64(x)) + float64(q*float64(y[i])))
			}
		})
	},
})

// arc returns the factors of v₀ and v₁ from ‖v₀‖², ‖v₁‖² and ⟨v₀,v₁⟩.
func arc(aa, bb, ab, t float64) (p, q float64) {
	length := func(sq float64) float64 {
		if l := math.Sqrt(sq); l > tiny {
			return l
		}
		return 1
	}
	c := ab / float64(length(aa)*length(bb))
	if math.Abs(c) > parallel {
		return 1 - t, t
	}
	theta := vmath.Acos64(c)
	s := vmath.Sin64(theta)
	return vmath.Sin64(float64((1-t)*theta)) / s, vmath.Sin64(float64(t*theta)) / s
}

// SLERP goes from one model to another on an arc.
//
// Shoemake 1985, "Animating rotation with quaternion curves"; for weights,
// White 2016, arXiv:1609.04468.
var SLERP = &passes.Pass{
	Verb: "merge", Method: "slerp",
	Summary: "Goes from one model to another on an arc, tensor by tensor; needs no base.",
	Doc:     "Each tensor counts as one vector; t = 0 is the first of the two models and t = 1 the second. Tensors of nearly the same direction are joined by a straight line. A list for t changes it over the depth, and override blocks give linear layers values of their own.",
	Paper:   "Shoemake 1985; for weights, White 2016, arXiv:1609.04468",
	NewArgs: func() any { return &SLERPArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*SLERPArgs)
		r, ds := job{c.Node, nil, a.Sources}.typeOf(2)
		if n := len(a.Models); n > 2 {
			ds.Errorf("models", "Too many models", "An arc joins two models; models has %d. Merge the first two, and the result with the next.", n)
		}
		if ty := r.Model.Type; ty != nil {
			modules := make([]schema.Module, len(ty.Linears))
			for i, l := range ty.Linears {
				modules[i] = blockwise.ModuleOf(l)
			}
			ds = append(ds, a.Overrides.Check(modules)...)
		}
		return r, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*SLERPArgs)
		return slerp.lower(g, job{c.Node, nil, a.Sources}, r, func(p place) slerpParams {
			return slerpParams{a.at(p.layer).At(p.depth)}
		}, nil)
	},
}

// at returns the gradient of a linear layer, or of what is none.
func (a *SLERPArgs) at(l *model.Linear) Gradient {
	if l == nil {
		return a.T
	}
	return schema.Resolve(*a, blockwise.ModuleOf(l)).T
}
