package quantize

import (
	"math"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// ImatrixArgs are the arguments of quantize "imatrix".
type ImatrixArgs struct {
	Model *passes.Model `arg:"model" doc:"the model to quantise"`
	Codes
	Symmetric bool `arg:"symmetric" default:"true" per_module:"true" doc:"zero point in the middle of the codes; otherwise an integer zero point a group"`
	blockwise.Calibrated
	blockwise.Target
}

// grid are the codes as the verb's shared rule has them.
func (a ImatrixArgs) grid() Grid { return Grid{Codes: a.Codes, Symmetric: a.Symmetric} }

var imatrix = blockwise.New(blockwise.Method[layerGrid]{
	Kernel: "quantize.imatrix", Impl: 1,
	Needs: blockwise.Needs{Norms: true},
	Linear: func(w *blockwise.Work, s layerGrid) error {
		importance, err := w.SumSq()
		if err != nil {
			return err
		}
		q, err := grid.Quantize(w.Pool, w.W, w.Out, w.In, s.Spec, w.Mask)
		if err != nil {
			return err
		}
		w.Report("rounded_error", importantError(w, q, importance))
		fitImportant(w, q, importance)
		w.Report("weighted_error", importantError(w, q, importance))
		w.SetQuantized(q)
		return nil
	},
})

// Ranges that are tried for a group, as shares of the one that covers all its
// weights: from a little more, as the outermost code is rarely in the right
// place, to well inside.
const (
	widest     = 1.1
	rangeStep  = 0.025
	rangeSteps = 25
)

// fitImportant fits q's grids anew, beginning with those that it has, so that the
// error of weight i of a row, importance_i·√(σ² + w_i²)·(w_i − ŵ_i)², is smallest
// over the ranges that are tried, σ² being the row's mean square. For each range
// the scale is then the best one for the codes, by least squares.
func fitImportant(w *blockwise.Work, q *grid.Quantized, importance []float64) {
	q.EachRow(w.Pool, w.W, w.Mask, func(r int, row []float32) {
		squares := 0.0
		for _, x := range row {
			squares += float64(float64(x) * float64(x))
		}
		weight := make([]float64, w.In)
		for c, x := range row {
			weight[c] = importance[c] * math.Sqrt(squares/float64(w.In)+float64(float64(x)*float64(x)))
		}
		f := fitted{q: q, row: r, codes: make([]uint8, w.In), scaled: make([]float32, w.In)}
		for g := range q.Groups(w.In) {
			lo, hi := q.Columns(g, w.In)
			f.group(g, row[lo:hi], weight[lo:hi], q.Codes[r*w.In+lo:r*w.In+hi])
		}
	})
}

// fitted fits the groups of one row.
type fitted struct {
	q      *grid.Quantized
	row    int
	codes  []uint8
	scaled []float32
}

// group leaves the best grid in place, and its codes in best.
func (f *fitted) group(g int, x []float32, weight []float64, best []uint8) {
	i := f.row*f.q.Groups(f.q.In) + g
	scale, zero := f.q.Scales[i], f.q.Zeros[i]
	codes := f.codes[:len(x)]
	least := f.round(g, x, weight, codes)
	try := func() {
		if e := f.round(g, x, weight, codes); e < least {
			least, scale, zero = e, f.q.Scales[i], f.q.Zeros[i]
			copy(best, codes)
		}
	}
	for k := range rangeSteps {
		share := float32(widest - float64(rangeStep*float64(k)))
		scaled := f.scaled[:len(x)]
		for j, v := range x {
			scaled[j] = v * share
		}
		f.q.Fit(f.row, g, scaled)
		try()
		if s, ok := leastSquares(x, weight, codes, f.q.Zeros[i]); ok {
			f.q.Scales[i] = f.q.Storable(s)
			try()
		}
	}
	f.q.Scales[i], f.q.Zeros[i] = scale, zero
}

// round gives x its codes on the grid of group g and returns their error.
func (f *fitted) round(g int, x []float32, weight []float64, codes []uint8) (sum float64) {
	rd := f.q.Rounder(f.row, g)
	for j, v := range x {
		u, y := rd.Round(v)
		codes[j] = u
		d := float64(v) - float64(y)
		sum += float64(weight[j] * float64(d*d))
	}
	return sum
}

// leastSquares returns the scale for which scale·(codes − zero) is nearest to x
// under the weights; ok is false where no scale above zero is.
func leastSquares(x []float32, weight []float64, codes []uint8, zero uint8) (scale float32, ok bool) {
	var xl, ll float64
	for j, u := range codes {
		l := float64(int(u) - int(zero))
		wl := float64(weight[j] * l)
		xl += float64(wl * float64(x[j]))
		ll += float64(wl * l)
	}
	scale = float32(xl / ll)
	return scale, ll > 0 && xl > 0
}

// importantError is Σ importance_j·(w_ij − ŵ_ij)² as a share of the same sum with
// nothing left of the weights, 0 where that is 0.
func importantError(w *blockwise.Work, q *grid.Quantized, importance []float64) float64 {
	row := make([]float32, w.In)
	var lost, all float64
	for r := range w.Out {
		q.Row(row, r, 0, w.In)
		for c, y := range row {
			x := float64(w.W[r*w.In+c])
			d := x - float64(y)
			lost += float64(importance[c] * float64(d*d))
			all += float64(importance[c] * float64(x*x))
		}
	}
	if all == 0 {
		return 0
	}
	return lost / all
}

// Imatrix rounds every weight to the nearest point of its group's grid, which is
// fitted so that weights count by how large the inputs are that they meet.
//
// Kawrakow 2024, llama.cpp pull request 4861, and ggml/src/ggml-quants.c.
var Imatrix = &passes.Pass{
	Verb: "quantize", Method: "imatrix",
	Summary: "Rounds to the nearest point of grids that are fitted by the inputs' importance, as llama.cpp's importance matrix has it.",
	Paper:   "Kawrakow 2024, llama.cpp pull request 4861, and ggml/src/ggml-quants.c",
	NewArgs: func() any { return &ImatrixArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*ImatrixArgs)
		r, ds := typeOf(c.Node, a.Model, a.Target, func(l *model.Linear) Grid { return schema.Resolve(*a, blockwise.ModuleOf(l)).grid() })
		return r, append(ds, a.Calibrated.Check(a.Model.Type)...)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*ImatrixArgs)
		j := blockwise.Job{Node: c.Node, Model: a.Model, Type: r.Model.Type, Data: a.Data, Reference: a.Reference, Propagate: a.Propagate, Allocation: a.Allocation}
		return imatrix.Lower(g, j, func(l *model.Linear) (layerGrid, bool) {
			return layerGrid{schema.Resolve(*a, blockwise.ModuleOf(l)).grid().spec()}, a.Selects(l)
		})
	},
}
