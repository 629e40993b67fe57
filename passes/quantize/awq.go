package quantize

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/obs"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/prune"
)

// AWQArgs are the arguments of quantize "awq".
type AWQArgs struct {
	Model *passes.Model `arg:"model" doc:"the model to quantise"`
	Data  *passes.Data  `arg:"data" doc:"calibration windows; all statistics are those of the model before quantisation"`
	Codes
	Symmetric    bool    `arg:"symmetric" default:"false" per_module:"true" doc:"zero point in the middle of the codes; otherwise an integer zero point a group"`
	Scale        bool    `arg:"scale" default:"true" doc:"scale the inputs of layers by how large they are, and take the factors out where the inputs arise"`
	GQAScale     bool    `arg:"gqa_scale" default:"true" doc:"scale what enters o_proj also where several query heads share the values; the published code leaves such models' o_proj alone"`
	Clip         bool    `arg:"clip" default:"true" doc:"search each group's range for the smallest error of the layer's outputs, but for q_proj and k_proj"`
	Grid         int     `arg:"grid" default:"20" min:"1" max:"1000" doc:"exponents of the scales that are tried, 0 to 1 in steps of 1/grid; ranges shrink in such steps too"`
	ClipShrink   float64 `arg:"clip_shrink" default:"0.5" min:"0" max:"0.95" doc:"how far ranges are shrunk at the most, as a share"`
	SearchTokens int     `arg:"search_tokens" default:"512" min:"1" doc:"calibration tokens that attention and MLP are run on for each exponent, rounded up to whole windows; o_proj, down_proj and ranges are measured on all tokens"`
	blockwise.Target
}

// grid is the grid of layers with these arguments.
func (a AWQArgs) grid() Grid { return Grid{Codes: a.Codes, Symmetric: a.Symmetric} }

// layers are the chosen layers of block b.
func (a *AWQArgs) layers(b int) (out []awqLayer) {
	for _, l := range a.Model.Type.Block(b) {
		if !a.Selects(l) {
			continue
		}
		x := awqLayer{Name: l.Name, Site: l.Site, Out: l.Out, In: l.In, Spec: schema.Resolve(*a, blockwise.ModuleOf(l)).grid().spec()}
		if a.Allocation != nil {
			x.Of = a.Allocation.Of
		}
		out = append(out, x)
	}
	return out
}

// sites are those of block b whose inputs are scaled: a chosen layer reads them.
func (a *AWQArgs) sites(ty *model.Type, b int) (out []string) {
	if !a.Scale {
		return nil
	}
	cfg := ty.Config.At(b)
	for _, k := range cfg.Couplings() {
		if k.Free != cfg.SiteWidth(k.Site) && !a.GQAScale {
			continue
		}
		if slices.ContainsFunc(ty.Block(b), func(l *model.Linear) bool { return l.Site == k.Site && a.Selects(l) }) {
			out = append(out, k.Site)
		}
	}
	return out
}

// awqLayer is one layer of a block in the kernels' parameters.
type awqLayer struct {
	Name string    `json:"name"`
	Site string    `json:"site"`
	Out  int       `json:"out"`
	In   int       `json:"in"`
	Spec grid.Spec `json:"grid"`
	// Of says what the layer takes from the input "allocation".
	Of string `json:"allocated,omitempty"`
}

// Allocate sets the bits of a code.
func (l *awqLayer) Allocate(bits float64) { l.Spec.Bits = int(bits) }

// allotted returns the layers with the bits that an allocation gives them.
func allotted(c *action.Context, ls []awqLayer) ([]awqLayer, error) {
	ls = slices.Clone(ls)
	for i := range ls {
		if l := &ls[i]; l.Of != "" {
			if _, err := blockwise.Allot(c.Input("allocation"), l.Of, l.Name, l); err != nil {
				return nil, err
			}
		}
	}
	return ls, nil
}

type awqParams struct {
	Geometry blockwise.Geometry `json:"geometry"`
	Sites    []string           `json:"sites,omitempty"`
	Layers   []awqLayer         `json:"layers"`
	// Steps and Shrink are those of the ranges; 0 leaves them as they are.
	Steps  int     `json:"steps,omitempty"`
	Shrink float64 `json:"shrink,omitempty"`
}

// awqKernel scales a block by what awqScaleKernel found, searches the ranges, and
// rounds.
var awqKernel = action.NewKernel("quantize.awq", 1, func(c *action.Context, p awqParams) error {
	layers, err := allotted(c, p.Layers)
	if err != nil {
		return err
	}
	cfg, in, out := p.Geometry.Config(), c.Input("block"), c.Output("block")
	r, wide := blockwise.NewRescale(cfg), map[string][]float32{}
	var found map[string]map[string]float64
	for _, site := range p.Sites {
		k, _ := cfg.Coupling(site)
		s, err := c.Input("scales").Float32(site)
		if err != nil {
			return err
		}
		r.Add(k, s)
		wide[site] = k.Expand(s, cfg.SiteWidth(site))
	}
	if p.Sites != nil {
		if err := c.Input("scales").JSON("numbers", &found); err != nil {
			return err
		}
	}
	names := make([]string, len(layers))
	for i, l := range layers {
		names[i] = l.Name
	}
	if err := r.Put(out, in, blockwise.OfLinears(names)); err != nil {
		return err
	}
	report := map[string]map[string]float64{}
	grams := map[string][]float64{}
	for i, l := range layers {
		h := grams[l.Site]
		if h == nil {
			if h, err = c.Input("gram").Float64(l.Site); err != nil {
				return err
			}
			h = scaledGram(h, wide[l.Site])
			grams[l.Site] = h
		}
		dense, err := blockwise.Dense(in, l.Name)
		if err != nil {
			return err
		}
		m, err := blockwise.Mask(in, l.Name)
		if err != nil {
			return err
		}
		scaled := slices.Clone(dense)
		r.Apply(l.Name, scaled)
		w, numbers := slices.Clone(scaled), maps.Clone(found[l.Site])
		if numbers == nil {
			numbers = map[string]float64{}
		}
		if p.Steps > 0 && clipped(l.Name) {
			if numbers["range"], err = awqClip(c.Pool, w, l, h, p.Steps, p.Shrink); err != nil {
				return fmt.Errorf("%s: %w", l.Name, err)
			}
		}
		q, err := grid.Quantize(c.Pool, w, l.Out, l.In, l.Spec, m)
		if err != nil {
			return fmt.Errorf("%s: %w", l.Name, err)
		}
		if err := blockwise.PutCoded(out, l.Name, blockwise.OnGrid(q), m); err != nil {
			return err
		}
		q.Dequantize(w)
		numbers["relative_output_error"] = obs.RelativeOutputError(c.Pool, scaled, w, l.Out, l.In, h)
		if l.Of != "" {
			numbers[l.Of] = float64(l.Spec.Bits)
		}
		if m != nil {
			numbers["zeros"] = 1 - float64(m.CountKept())/float64(l.Out*l.In)
		}
		report[l.Name] = numbers
		if err := c.Step(i+1, len(layers)); err != nil {
			return err
		}
	}
	return c.Output("report").PutJSON("report", report)
})

// scaledGram returns the Gram matrix [n, n] of inputs divided by s [n], h itself
// where s is nil.
func scaledGram(h []float64, s []float32) []float64 {
	if s == nil {
		return h
	}
	n := len(s)
	out := make([]float64, len(h))
	for i, si := range s {
		for j, sj := range s {
			out[i*n+j] = h[i*n+j] / (float64(si) * float64(sj))
		}
	}
	return out
}

// clipped reports whether a layer's ranges may shrink: what queries and keys
// multiply to reacts too strongly for a measure on one of them.
func clipped(name string) bool { return name != "self_attn.q_proj" && name != "self_attn.k_proj" }

// awqClip limits the weights w [out, in] of each group of a row to the range, of
// its largest magnitude less i/steps of it for i/steps < shrink, whose codes change
// the group's share of the output least on the inputs behind h, d·H_g·dᵀ; the widest
// of equal ones. It returns the ranges' mean share of the largest magnitudes.
func awqClip(p *linalg.Pool, w []float32, l awqLayer, h []float64, steps int, shrink float64) (float64, error) {
	groups := l.Spec.Groups(l.In)
	whole := l.Spec
	whole.GroupSize = grid.RowGroup
	shares := 0.0
	for g := range groups {
		lo, hi := l.Spec.Columns(g, l.In)
		n := hi - lo
		block := make([]float64, n*n)
		for i := range n {
			copy(block[i*n:(i+1)*n], h[(lo+i)*l.In+lo:])
		}
		limit, share, least := make([]float32, l.Out), make([]float64, l.Out), make([]float64, l.Out)
		most := make([]float32, l.Out)
		for r := range l.Out {
			least[r] = math.Inf(1)
			for _, v := range w[r*l.In+lo : r*l.In+hi] {
				most[r] = max(most[r], v, -v)
			}
		}
		part := make([]float32, l.Out*n)
		d, y := make([]float64, l.Out*n), make([]float64, l.Out*n)
		for i := 0; i == 0 || float64(i) < float64(shrink*float64(steps)); i++ {
			keep := 1 - float64(i)/float64(steps)
			at := func(r int) float32 { return float32(float64(most[r]) * keep) }
			for r := range l.Out {
				clamp(part[r*n:(r+1)*n], w[r*l.In+lo:r*l.In+hi], at(r))
			}
			q, err := grid.Quantize(p, part, l.Out, n, whole, nil)
			if err != nil {
				return 0, err
			}
			q.Dequantize(part)
			for r := range l.Out {
				for j, v := range w[r*l.In+lo : r*l.In+hi] {
					d[r*n+j] = float64(part[r*n+j]) - float64(v)
				}
			}
			p.Dgemm(false, false, l.Out, n, n, 1, d, n, block, n, 0, y, n)
			p.For(l.Out, func(_, r int) {
				e := 0.0
				for j, v := range d[r*n : (r+1)*n] {
					e += float64(v * y[r*n+j])
				}
				if e < least[r] || i == 0 {
					least[r], limit[r], share[r] = e, at(r), keep
				}
			})
		}
		for r := range l.Out {
			group := w[r*l.In+lo : r*l.In+hi]
			clamp(group, group, limit[r])
			shares += share[r]
		}
	}
	return shares / float64(groups*l.Out), nil
}

// clamp sets dst to w limited to magnitudes of at most limit.
func clamp(dst, w []float32, limit float32) {
	for i, v := range w {
		dst[i] = min(max(v, -limit), limit)
	}
}

// AWQ scales up the input channels that see large activations, takes the factors
// out where the inputs arise, limits the range of each group, and rounds.
//
// Lin et al. 2023, arXiv:2306.00978. That what enters o_proj can be scaled with
// grouped queries too is this program's addition.
var AWQ = &passes.Pass{
	Verb: "quantize", Method: "awq",
	Summary: "Scales up the inputs that matter, exactly, limits each group's range by its effect on outputs, and rounds.",
	Doc: `For each site (what q, k and v read; what o reads; what gate and up read; what down
reads) the factors are s = a^α, with a the mean magnitude of each channel, and
the α is the one for which the rounded weights change the outputs least. Columns
are multiplied by s; 1/s goes into the norm before, into the rows of v, or into the
rows of up. Without rounding the model would compute what it did. An MLP without a
gate has an activation that no factor passes, so its down_proj is not scaled.

All statistics are those of the model before quantisation: a sweep over bits, group
sizes and ranges shares them, and one over ` + "`clip`" + ` and ` + "`clip_shrink`" + ` shares the factors.

Masks are kept. Layers that are codes already cannot be scaled; choose others with
` + "`targets`" + `, or set ` + "`scale = false`" + `.
`,
	Paper:   "Lin et al. 2023, arXiv:2306.00978",
	NewArgs: func() any { return &AWQArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*AWQArgs)
		r, ds := typeOf(c.Node, a.Model, a.Target, func(l *model.Linear) Grid { return schema.Resolve(*a, blockwise.ModuleOf(l)).grid() })
		ty := r.Model.Type
		if ty == nil {
			return r, ds
		}
		sites := make([][]string, ty.Config.Layers)
		for b := range sites {
			sites[b] = a.sites(ty, b)
		}
		return r, append(ds, blockwise.Rescaled(ty, c.Node, func(b int, site string) bool { return slices.Contains(sites[b], site) },
			prune.DenseBits, "Scaling codes", a.Selects)...)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*AWQArgs)
		ty := a.Model.Type
		next := *a.Model
		next.Type, next.From = r.Model.Type, c.Node
		next.Blocks = slices.Clone(a.Model.Blocks)
		res := passes.Result{Model: &next}
		layers := make([][]awqLayer, ty.Config.Layers)
		for b := range layers {
			layers[b] = a.layers(b)
		}
		scaling := passes.Scaling{By: c.Node, Blocks: make([]action.Ref, len(next.Blocks))}
		stats := blockwise.Stream(g, c.Node, a.Model, a.Data, blockwise.Needs{Norms: a.Scale, Gram: true}, func(b int) bool { return layers[b] != nil })
		for b := range next.Blocks {
			if layers[b] == nil {
				continue
			}
			p := awqParams{Geometry: blockwise.BlockGeometry(ty.Config, b), Sites: a.sites(ty, b), Layers: layers[b]}
			if a.Clip {
				p.Steps, p.Shrink = a.Grid, a.ClipShrink
			}
			in := append([]action.Input{{Name: "block", Ref: a.Model.Blocks[b]}, {Name: "gram", Ref: stats[b].Gram}}, blockwise.ShareOf(a.Allocation, b)...)
			bytes := blockwise.BlockWeights(ty.Config.At(b)) * 4
			if p.Sites != nil {
				scaling.Blocks[b] = a.lowerScales(c.Node, g, b, p, stats[b], in)
				in = append(in, action.Input{Name: "scales", Ref: scaling.Blocks[b]})
			}
			act := g.Add(action.Spec{Kernel: awqKernel, Params: p, Inputs: in, Node: c.Node, Label: fmt.Sprintf("block %d", b),
				Outputs: []action.Output{{Name: "block", Class: action.Durable, Bytes: bytes}, {Name: "report", Class: action.Durable, Bytes: 4096}},
				Flops:   p.flops(), Peak: 4*bytes + p.grams()})
			next.Blocks[b] = action.Ref{Action: act, Output: "block"}
			res.Layers = append(res.Layers, passes.LayerReport{Block: b, Ref: action.Ref{Action: act, Output: "report"}})
		}
		if slices.ContainsFunc(scaling.Blocks, action.Ref.Valid) {
			next.Scalings = append(slices.Clip(next.Scalings), scaling)
		}
		return res
	},
}

// lowerScales adds the search for the factors of block b, which has the inputs in
// and more.
func (a *AWQArgs) lowerScales(node string, g *action.Graph, b int, p awqParams, s blockwise.Stats, in []action.Input) action.Ref {
	cfg := a.Model.Type.Config.At(b)
	windows := blockwise.WindowsFor(a.Data, a.SearchTokens)
	tokens := int64(windows) * int64(a.Data.Type.SequenceLength)
	bytes := blockwise.BlockWeights(cfg) * 4
	in = append(slices.Clone(in), action.Input{Name: "norms", Ref: s.Norms}, action.Input{Name: "hidden", Ref: s.Hidden})
	act := g.Add(action.Spec{Kernel: awqScaleKernel, Params: awqScaleParams{p.Geometry, p.Sites, p.Layers, a.Grid, windows}, Inputs: in,
		Node: node, Label: fmt.Sprintf("scales of block %d", b),
		Outputs: []action.Output{{Name: "scales", Class: action.Durable, Bytes: int64(2*cfg.Hidden+cfg.QDim()+cfg.Intermediate)*4 + 1024}},
		Flops:   float64(a.Grid) * (float64(float64(bytes/2)*float64(tokens)) + float64(p.flops()/8)),
		Peak:    3*bytes + p.grams() + tokens*int64(4*cfg.Hidden+3*cfg.Intermediate+3*cfg.QDim())*4})
	return action.Ref{Action: act, Output: "scales"}
}

// flops estimates the products with Gram matrices.
func (p awqParams) flops() float64 {
	f := 0.0
	for _, l := range p.Layers {
		lo, hi := l.Spec.Columns(0, l.In)
		tries := 1 + float64(float64(p.Steps)*p.Shrink)
		f += float64(float64(l.Out) * float64(l.In) * (float64(l.In) + float64(2*tries*float64(hi-lo))))
	}
	return f
}

// grams estimates what scaled Gram matrices and the work with them take.
func (p awqParams) grams() int64 {
	n, widest := int64(0), map[string]int64{}
	for _, l := range p.Layers {
		widest[l.Site] = int64(l.In)
		n = max(n, int64(l.In)*int64(l.Out)*16)
	}
	for _, s := range arch.Sites() {
		n += 16 * widest[s] * widest[s]
	}
	return n
}
