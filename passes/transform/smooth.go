package transform

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/linalg/vmath"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/prune"
)

// Alpha is the argument "alpha": how much of the activations' range moves into
// the weights, from 0 to 1, or "search".
type Alpha struct {
	Value  float64
	Search bool
}

// ArgType names the type in documentation.
func (Alpha) ArgType() string { return `number or "search"` }

// ParseArg reads a number from 0 to 1, or "search".
func (a *Alpha) ParseArg(v cty.Value) error {
	if v.Type() == cty.String && v.AsString() == "search" {
		a.Search = true
		return nil
	}
	if v.Type() == cty.Number {
		x, _ := v.AsBigFloat().Float64()
		if x >= 0 && x <= 1 {
			a.Value = x
			return nil
		}
	}
	return fmt.Errorf(`expected a number from 0 (all of the range stays in the activations) to 1 (all of it moves to the weights), or "search"`)
}

// MarshalJSON writes the number, or "search".
func (a Alpha) MarshalJSON() ([]byte, error) {
	if a.Search {
		return []byte(`"search"`), nil
	}
	return strconv.AppendFloat(nil, a.Value, 'g', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (a *Alpha) UnmarshalJSON(b []byte) (err error) {
	if a.Search = string(b) == `"search"`; !a.Search {
		a.Value, err = strconv.ParseFloat(string(b), 64)
	}
	return err
}

// SmoothArgs are the arguments of transform "smooth".
type SmoothArgs struct {
	Model        *passes.Model `arg:"model" doc:"the model to rewrite"`
	Data         *passes.Data  `arg:"data" doc:"calibration windows, for the range of each channel"`
	Alpha        Alpha         `arg:"alpha" default:"0.5" doc:"how much of the activations' range moves into the weights: 0 none, 1 all of it; \"search\" chooses for each site by the error of 8-bit products"`
	Sites        []string      `arg:"sites" default:"[\"qkv\", \"gate_up\"]" enum:"qkv|o|gate_up|down" doc:"whose inputs to smooth: \"qkv\" and \"gate_up\" (into the norms), \"o\" (into v) and \"down\" (into up)"`
	ScaleClip    float64       `arg:"scale_clip" default:"1e5" above:"1" doc:"factors are kept between 1/scale_clip and scale_clip"`
	SearchTokens int           `arg:"search_tokens" default:"512" min:"1" doc:"calibration tokens that alpha = \"search\" measures on, rounded up to whole windows"`
}

// siteNames are the sites as users know them.
var siteNames = map[string]string{"qkv": arch.SiteAttnIn, "o": arch.SiteAttnOut, "gate_up": arch.SiteMLPIn, "down": arch.SiteMLPMid}

// sites returns the chosen sites.
func (a *SmoothArgs) sites() map[string]bool {
	out := map[string]bool{}
	for _, n := range a.Sites {
		out[siteNames[n]] = true
	}
	return out
}

type smoothParams struct {
	Geometry blockwise.Geometry `json:"geometry"`
	Sites    []string           `json:"sites"`
	Alpha    Alpha              `json:"alpha"`
	Clip     float64            `json:"clip"`
	Windows  int                `json:"windows,omitempty"`
}

// smoothKernel rewrites one block by the statistics "norms" and tells the factors,
// F32 [Free] for each site; a search looks at
// the block's inputs "hidden" too.
var smoothKernel = action.NewKernel("transform.smooth", 2, func(c *action.Context, p smoothParams) error {
	cfg := p.Geometry.Config()
	in := c.Input("block")
	var inputs map[string][]float32
	if p.Alpha.Search {
		var err error
		if inputs, err = blockwise.Inputs(c, cfg, in, c.Input("hidden"), p.Windows); err != nil {
			return err
		}
	}
	r := blockwise.NewRescale(cfg)
	report := map[string]map[string]float64{}
	for i, site := range p.Sites {
		k, _ := cfg.Coupling(site)
		ranges, err := siteRanges(c, cfg, k, in)
		if err != nil {
			return err
		}
		alpha, numbers := p.Alpha.Value, map[string]float64{}
		if p.Alpha.Search {
			if alpha, err = ranges.search(c, p.Clip, inputs[site], numbers); err != nil {
				return err
			}
		}
		s := ranges.factors(alpha, p.Clip)
		numbers["alpha"] = alpha
		numbers["range_before"], numbers["range_after"] = ranges.spread(nil), ranges.spread(s)
		for _, l := range k.Columns {
			report[l] = numbers
		}
		r.Add(k, s)
		c.Output("scales").PutFloat32(site, []int{k.Free}, s)
		if err := c.Step(i+1, len(p.Sites)); err != nil {
			return err
		}
	}
	if err := r.Put(c.Output("block"), in, func(string) bool { return false }); err != nil {
		return err
	}
	return c.Output("report").PutJSON("report", report)
})

// ranges are what the factors of one site depend on.
type ranges struct {
	coupling arch.Coupling
	width    int
	// act and weight [Free] are the largest magnitudes of the inputs and of
	// the weights that read them, over all channels that share a factor.
	act, weight []float64
	channels    []float64 // act of each channel of the site
	linears     [][]float32
}

func siteRanges(c *action.Context, cfg *arch.Config, k arch.Coupling, in *artifact.Value) (*ranges, error) {
	z := &ranges{coupling: k, width: cfg.SiteWidth(k.Site), act: make([]float64, k.Free), weight: make([]float64, k.Free)}
	var err error
	if z.channels, err = c.Input("norms").Float64(k.Site + ".max_abs"); err != nil {
		return nil, err
	}
	for j, v := range z.channels {
		z.act[k.Of(j)] = max(z.act[k.Of(j)], v)
	}
	for _, l := range k.Columns {
		w, err := blockwise.Dense(in, l)
		if err != nil {
			return nil, err
		}
		z.linears = append(z.linears, w)
		most := make([]float32, z.width)
		for row := w; len(row) > 0; row = row[z.width:] {
			for j, v := range row[:z.width] {
				most[j] = max(most[j], v, -v)
			}
		}
		for j, v := range most {
			z.weight[k.Of(j)] = max(z.weight[k.Of(j)], float64(v))
		}
	}
	return z, nil
}

// factors returns s = act^α / weight^(1−α) [Free]; 1 where a channel is never
// used, as nothing would be gained there.
func (z *ranges) factors(alpha, clip float64) []float32 {
	s := make([]float32, len(z.act))
	for j, a := range z.act {
		s[j] = 1
		if w := z.weight[j]; a > 0 && w > 0 {
			f := vmath.Pow64(max(a, 1e-5), alpha) / vmath.Pow64(max(w, 1e-5), 1-alpha)
			s[j] = float32(min(max(f, 1/clip), clip))
		}
	}
	return s
}

// spread is the largest magnitude of the inputs, divided by s unless nil, over
// the mean of the channels' largest: what a scale for all channels wastes.
func (z *ranges) spread(s []float32) float64 {
	most, sum := 0.0, 0.0
	for j, a := range z.channels {
		if s != nil {
			a /= float64(s[z.coupling.Of(j)])
		}
		most = max(most, a)
		sum += a
	}
	if sum == 0 {
		return 1
	}
	return most / (sum / float64(len(z.channels)))
}

// searchSteps is how many parts the range of alpha is cut into.
const searchSteps = 10

// search returns the alpha of 0, 0.1, …, 1 with the smallest error of the
// layers' outputs for inputs x in 8 bits with one scale, and weights in 8 bits
// with a scale a row; the smallest of equal ones.
func (z *ranges) search(c *action.Context, clip float64, x []float32, numbers map[string]float64) (float64, error) {
	best, least := 0.0, math.Inf(1)
	rows := len(x) / z.width
	xs := make([]float32, len(x))
	for i := range searchSteps + 1 {
		alpha := float64(i) / searchSteps
		s := z.coupling.Expand(z.factors(alpha, clip), z.width)
		top := 0.0
		for j, a := range z.channels {
			top = max(top, a/float64(s[j]))
		}
		for r := 0; r < len(x); r += z.width {
			for j, f := range s {
				xs[r+j] = x[r+j] / f
			}
		}
		blockwise.RoundRows(xs, float32(top), 8)
		loss := 0.0
		for _, w := range z.linears {
			ws := slices.Clone(w)
			for lo := 0; lo < len(ws); lo += z.width {
				row := ws[lo : lo+z.width]
				most := float32(0)
				for j, f := range s {
					row[j] *= f
					most = max(most, row[j], -row[j])
				}
				blockwise.RoundRows(row, most, 8)
			}
			out := len(w) / z.width
			y := make([]float32, rows*out)
			c.Pool.Sgemm(false, true, rows, out, z.width, 1, x, z.width, w, z.width, 0, y, out)
			c.Pool.Sgemm(false, true, rows, out, z.width, -1, xs, z.width, ws, z.width, 1, y, out)
			loss += vmath.Dot(y, y)
		}
		if i == 0 {
			numbers["loss_at_0"] = loss
		}
		if loss < least {
			best, least = alpha, loss
		}
		if err := c.Err(); err != nil {
			return 0, err
		}
	}
	if math.IsInf(least, 1) {
		return 0, fmt.Errorf("the 8-bit products of site %s are not finite for any alpha", z.coupling.Site)
	}
	numbers["loss"] = least
	return best, nil
}

// Smooth divides the inputs of layers by a factor a channel, where they arise,
// and multiplies the layers' columns by it: what the model computes stays, but
// channels with large values no longer waste the range of an 8-bit scale.
//
// Xiao et al. 2022, arXiv:2211.10438.
var Smooth = &passes.Pass{
	Verb: "transform", Method: "smooth",
	Summary: "Moves the range of activation channels into the weights, exactly; for 8-bit activations.",
	Doc: "What the model computes stays the same, but for rounding in float32. It pays where activations become integers " +
		"(`activation_bits` of `evaluate \"perplexity\"` measures that); weights alone are rounded no better by it.\n\n" +
		"Smooth before quantising: columns of codes cannot be scaled. Masks are kept, and side paths follow their layers.",
	Paper:   "Xiao et al. 2022, arXiv:2211.10438",
	NewArgs: func() any { return &SmoothArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*SmoothArgs)
		out := &passes.Model{From: c.Node}
		var ds diag.List
		if len(a.Sites) == 0 {
			ds.Errorf("sites", "Nothing to smooth", `sites is empty; name one or more of "qkv", "o", "gate_up", "down", or take the block out.`)
		}
		if a.Model.Type == nil {
			return passes.Result{Model: out}, ds
		}
		ty := a.Model.Type.Clone()
		sites := a.sites()
		for _, s := range a.Sites {
			if _, ok := ty.Config.Coupling(siteNames[s]); !ok {
				ds.Errorf("sites", "Site cannot be smoothed", "What enters %q goes through an activation that is not linear, so no factor can be taken out before it in a model of type %s.", s, ty.Config.ModelType)
			}
		}
		ds = append(ds, blockwise.Rescaled(ty, c.Node, func(_ int, site string) bool { return sites[site] }, prune.DenseBits, "Smoothing codes", func(*model.Linear) bool { return false })...)
		out.Type = ty
		return passes.Result{Model: out}, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*SmoothArgs)
		next := *a.Model
		next.Type, next.From = r.Model.Type, c.Node
		next.Blocks = slices.Clone(a.Model.Blocks)
		res := passes.Result{Model: &next}
		var sites []string
		for _, s := range arch.Sites() {
			if a.sites()[s] {
				sites = append(sites, s)
			}
		}
		scaling := passes.Scaling{By: c.Node, Blocks: make([]action.Ref, len(next.Blocks))}
		stats := blockwise.Stream(g, c.Node, a.Model, a.Data, blockwise.Needs{Norms: true}, func(int) bool { return true })
		for b := range next.Blocks {
			cfg := a.Model.Type.Config.At(b)
			p := smoothParams{Geometry: blockwise.BlockGeometry(a.Model.Type.Config, b), Sites: sites, Alpha: a.Alpha, Clip: a.ScaleClip}
			in := []action.Input{{Name: "block", Ref: a.Model.Blocks[b]}, {Name: "norms", Ref: stats[b].Norms}}
			bytes := blockwise.BlockWeights(cfg) * 4
			spec := action.Spec{Kernel: smoothKernel, Node: c.Node, Label: fmt.Sprintf("block %d", b),
				Outputs: []action.Output{{Name: "block", Class: action.Durable, Bytes: bytes}, {Name: "report", Class: action.Durable, Bytes: 4096},
					{Name: "scales", Class: action.Durable, Bytes: int64(2*cfg.Hidden+cfg.QDim()+cfg.Intermediate) * 4}},
				Flops: float64(bytes), Peak: 3 * bytes}
			if a.Alpha.Search {
				p.Windows = blockwise.WindowsFor(a.Data, a.SearchTokens)
				tokens := int64(p.Windows) * int64(a.Data.Type.SequenceLength)
				in = append(in, action.Input{Name: "hidden", Ref: stats[b].Hidden})
				spec.Flops += float64(float64(bytes) * float64(tokens) * (searchSteps + 1))
				spec.Peak += tokens * int64(2*cfg.Hidden+3*cfg.Intermediate+2*cfg.QDim()) * 4
			}
			spec.Params, spec.Inputs = p, in
			act := g.Add(spec)
			next.Blocks[b], scaling.Blocks[b] = action.Ref{Action: act, Output: "block"}, action.Ref{Action: act, Output: "scales"}
			res.Layers = append(res.Layers, passes.LayerReport{Block: b, Ref: action.Ref{Action: act, Output: "report"}})
		}
		next.Scalings = append(slices.Clip(next.Scalings), scaling)
		return res
	},
}
