package blockwise

import (
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/nn"
)

// roundedParams are those of a forward pass whose layers read integers.
type roundedParams struct {
	Geometry Geometry `json:"geometry"`
	Bits     int      `json:"bits"`
}

// roundedKernel runs one block as the walk does, but rounds the inputs of its
// linear layers to symmetric integers: with the ranges of the input "norms", one
// for a site, or without it with one for each token, as it comes.
var roundedKernel = action.NewKernel("walk.rounded", 1, func(c *action.Context, p roundedParams) error {
	g := p.Geometry
	cfg := g.Config()
	in, windows, T, err := States(c.Input("hidden"))
	if err != nil {
		return err
	}
	b, err := LoadForward(cfg, c.Input("block"))
	if err != nil {
		return err
	}
	static := map[string]float32{}
	if v := c.In["norms"]; v != nil {
		for _, s := range arch.Sites() {
			channels, err := v.Float64(s + ".max_abs")
			if err != nil {
				return err
			}
			most := 0.0
			for _, x := range channels {
				most = max(most, x)
			}
			static[s] = float32(most)
		}
	}
	round := func(_ int, site string, rows []float32, width int) {
		top, fixed := static[site]
		c.Pool.For(len(rows)/width, func(_, t int) {
			row, top := rows[t*width:(t+1)*width], top
			if !fixed {
				for _, v := range row {
					top = max(top, v, -v)
				}
			}
			RoundRows(row, top, p.Bits)
		})
	}
	r := nn.NewRunner(cfg, c.Pool)
	x := append([]float32(nil), in...)
	step := T * g.Hidden
	for w := range windows {
		r.ForwardWindows(b, x[w*step:(w+1)*step], 1, T, round, false)
		if err := c.Step(w+1, windows); err != nil {
			return err
		}
	}
	c.Output("hidden").PutFloat32("hidden", []int{windows, T, g.Hidden}, x)
	return nil
})

// WalkRounded lowers one block over hidden states whose linear layers read
// inputs rounded to integers of the given bits: norms, where it is valid, holds
// the ranges that one scale a site covers; otherwise each token has its own.
func WalkRounded(g *action.Graph, node string, cfg *arch.Config, i int, block, hidden, norms action.Ref, tokens int64, bits int) action.Ref {
	p := roundedParams{Geometry: BlockGeometry(cfg, i), Bits: bits}
	in := []action.Input{{Name: "block", Ref: block}, {Name: "hidden", Ref: hidden}}
	if norms.Valid() {
		in = append(in, action.Input{Name: "norms", Ref: norms})
	}
	cfg = cfg.At(i)
	bytes := tokens * int64(cfg.Hidden) * 4
	weights := BlockWeights(cfg)
	a := g.Add(action.Spec{Kernel: roundedKernel, Params: p, Node: node, Label: fmt.Sprintf("block %d", i), Inputs: in,
		Outputs: []action.Output{{Name: "hidden", Class: action.Transient, Bytes: bytes}},
		Flops:   2 * float64(weights) * float64(tokens), Peak: weights*4 + 2*bytes + 64<<20})
	return action.Ref{Action: a, Output: "hidden"}
}

// RoundRows rounds x in place to the symmetric integer grid of the given bits
// that reaches top, its largest magnitude: the values become k·top/(2^(bits−1)−1)
// for whole k. Values beyond top are cut off; top 0 makes all of them 0.
func RoundRows(x []float32, top float32, bits int) {
	most := float32(int32(1)<<(bits-1) - 1)
	scale := top / most
	if !(scale > 0) {
		if top == 0 {
			clear(x)
		}
		return
	}
	// Adding and taking away 1.5·2²³ rounds magnitudes below 2²² to nearest,
	// ties to even.
	const magic = 3 << 22
	for i, v := range x {
		t := min(max(v/scale, -most), most)
		t += magic
		t -= magic
		x[i] = t * scale
	}
}
