package blockwise

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/nn"
)

// Rounding says how the inputs of a block's linear layers become integers.
type Rounding struct {
	Bits int `json:"bits"`
	// Fixed takes one scale for a site, fixed beforehand by the statistics of its
	// norms; otherwise each token has its own, as it comes.
	Fixed bool `json:"fixed,omitempty"`
	// Asymmetric grids of a token reach from its least to its greatest value.
	Asymmetric bool `json:"asymmetric,omitempty"`
	// Sites are those whose inputs are rounded, in the order of arch.Sites; nil
	// stands for all.
	Sites []string `json:"sites,omitempty"`
}

// tap rounds what a forward pass hands to the sites. norms are the statistics
// of the block where ranges are fixed by them.
func (r Rounding) tap(c *action.Context, norms *artifact.Value) (nn.Tap, error) {
	fixed := map[string]float32{}
	if r.Fixed {
		for _, s := range arch.Sites() {
			channels, err := norms.Float64(s + ".max_abs")
			if err != nil {
				return nil, err
			}
			fixed[s] = float32(slices.Max(append(channels[:len(channels):len(channels)], 0)))
		}
	}
	return func(_ int, site string, rows []float32, width int) {
		if r.Sites != nil && !slices.Contains(r.Sites, site) {
			return
		}
		c.Pool.For(len(rows)/width, func(_, t int) {
			row := rows[t*width : (t+1)*width]
			switch {
			case r.Fixed:
				RoundRows(row, fixed[site], r.Bits)
			case r.Asymmetric:
				RoundBetween(row, r.Bits)
			default:
				top := float32(0)
				for _, v := range row {
					top = max(top, v, -v)
				}
				RoundRows(row, top, r.Bits)
			}
		})
	}, nil
}

// roundedParams are those of a forward pass whose layers read integers.
type roundedParams struct {
	Geometry Geometry `json:"geometry"`
	Rounding
}

// roundedKernel runs one block as the walk does, but rounds the inputs of its
// linear layers; the input "norms" is there where ranges are fixed by it.
var roundedKernel = action.NewKernel("walk.rounded", 1, func(c *action.Context, p roundedParams) error {
	g := p.Geometry
	cfg := g.Config()
	in, windows, T, err := States(c.Input("hidden"))
	if err != nil {
		return err
	}
	var weights Scratch
	defer weights.Give()
	b, err := weights.LoadForward(cfg, c.Input("block"))
	if err != nil {
		return err
	}
	round, err := p.tap(c, c.In["norms"])
	if err != nil {
		return err
	}
	r := nn.NewRunner(cfg, c.Pool)
	defer r.Release()
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
// rounded inputs; norms are the statistics that r.Fixed takes.
func WalkRounded(g *action.Graph, node string, cfg *arch.Config, i int, block, hidden, norms action.Ref, tokens int64, r Rounding) action.Ref {
	p := roundedParams{Geometry: BlockGeometry(cfg, i), Rounding: r}
	in := []action.Input{{Name: "block", Ref: block}, {Name: "hidden", Ref: hidden}}
	if r.Fixed {
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
	for i, v := range x {
		x[i] = nearest(min(max(v/scale, -most), most)) * scale
	}
}

// RoundBetween rounds x in place to the grid of the given bits, at most 16, that
// reaches from its least to its greatest value, zero among them:
// s = (max − min)/(2^bits − 1), z = round(−min/s), and the values become
// s·(clip(round(x/s) + z, 0, 2^bits − 1) − z).
func RoundBetween(x []float32, bits int) {
	var lo, hi float32
	for _, v := range x {
		lo, hi = min(lo, v), max(hi, v)
	}
	most := float32(int32(1)<<bits - 1)
	scale := (hi - lo) / most
	if !(scale > 0) {
		return // all zero, or not finite
	}
	zero := nearest(-lo / scale)
	for i, v := range x {
		x[i] = (min(max(nearest(v/scale)+zero, 0), most) - zero) * scale
	}
}

// nearest rounds a magnitude below 2²² to a whole number, ties to even: adding
// and taking away 1.5·2²³ does.
func nearest(x float32) float32 {
	const magic = 3 << 22
	x += magic
	return x - magic
}
