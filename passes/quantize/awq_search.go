package quantize

import (
	"fmt"
	"math"
	"slices"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/internal/obs"
	"github.com/compressc/compressc/passes/blockwise"
)

type awqScaleParams struct {
	Geometry blockwise.Geometry `json:"geometry"`
	Sites    []string           `json:"sites"`
	Layers   []awqLayer         `json:"layers"`
	Steps    int                `json:"steps"`
	Windows  int                `json:"windows"`
}

// awqScaleKernel finds the factors of each site, F32 [Free] under its name, and
// the leaf "numbers", JSON, site → what was found.
var awqScaleKernel = action.NewKernel("quantize.awq.scale", 1, func(c *action.Context, p awqScaleParams) error {
	layers, err := allotted(c, p.Layers)
	if err != nil {
		return err
	}
	s := &awqSearch{c: c, cfg: p.Geometry.Config(), layers: layers, steps: p.Steps, windows: p.Windows}
	defer s.close()
	numbers := map[string]map[string]float64{}
	for i, site := range p.Sites {
		k, _ := s.cfg.Coupling(site)
		factors, found, err := s.search(k)
		if err != nil {
			return fmt.Errorf("site %s: %w", site, err)
		}
		numbers[site] = found
		c.Output("scales").PutFloat32(site, []int{k.Free}, factors)
		if err := c.Step(i+1, len(p.Sites)); err != nil {
			return err
		}
	}
	return c.Output("scales").PutJSON("numbers", numbers)
})

// awqSearch looks for the factors of one block's sites.
type awqSearch struct {
	c       *action.Context
	cfg     *arch.Config
	layers  []awqLayer
	steps   int
	windows int

	// block, inputs, what the sites read in the first windows, and run are there
	// once a sublayer was run.
	block  *nn.Block
	inputs map[string][]float32
	run    *nn.Runner
}

// search tries s = a^α, for the mean magnitude a of each channel, and returns the
// factors of the α whose rounded weights change the outputs least, the first of
// equal ones. α = 0 is rounding to nearest.
func (s *awqSearch) search(k arch.Coupling) ([]float32, map[string]float64, error) {
	a, err := s.magnitudes(k)
	if err != nil {
		return nil, nil, err
	}
	var layers []awqLayer
	var weights [][]float32
	for _, l := range s.layers {
		if l.Site != k.Site {
			continue
		}
		w, err := blockwise.Dense(s.c.Input("block"), l.Name)
		if err != nil {
			return nil, nil, err
		}
		layers, weights = append(layers, l), append(weights, w)
	}
	loss, err := s.loss(k.Site, layers, weights)
	if err != nil {
		return nil, nil, err
	}
	var best []float32
	found, least := map[string]float64{}, math.Inf(1)
	rounded := make([][]float32, len(weights))
	for i := range s.steps {
		alpha := float64(i) / float64(s.steps)
		f := awqFactors(a, alpha)
		wide := k.Expand(f, s.cfg.SiteWidth(k.Site))
		for j, w := range weights {
			if rounded[j], err = awqRound(s.c.Pool, w, layers[j], wide); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", layers[j].Name, err)
			}
		}
		x := loss(rounded)
		if i == 0 && x-x == 0 {
			found["loss_at_0"] = x
		}
		if x < least {
			best, least = f, x
			found["alpha"], found["loss"] = alpha, x
		}
		if err := s.c.Err(); err != nil {
			return nil, nil, err
		}
	}
	if best == nil {
		return nil, nil, fmt.Errorf("the outputs of rounded weights are not finite for any exponent")
	}
	return best, found, nil
}

// magnitudes returns the mean of |x| over tokens and over the channels that share
// a factor, [Free].
func (s *awqSearch) magnitudes(k arch.Coupling) ([]float64, error) {
	sums, err := s.c.Input("norms").Float64(k.Site + ".sum_abs")
	if err != nil {
		return nil, err
	}
	count, err := s.c.Input("norms").Float64("count")
	if err != nil {
		return nil, err
	}
	a := make([]float64, k.Free)
	for j, v := range sums {
		a[k.Of(j)] += v
	}
	n := float64(float64(len(sums)/k.Free) * count[0])
	for j := range a {
		a[j] /= n
	}
	return a, nil
}

// smallestFactor is the least factor before normalisation, which channels that
// are never used get.
const smallestFactor = 1e-4

// awqFactors returns a^α, divided by the geometric mean of the largest and the
// smallest.
func awqFactors(a []float64, alpha float64) []float32 {
	v := make([]float64, len(a))
	least, most := math.Inf(1), 0.0
	for j, x := range a {
		v[j] = 1
		if alpha > 0 {
			v[j] = max(vmath.Pow64(x, alpha), smallestFactor)
		}
		least, most = min(least, v[j]), max(most, v[j])
	}
	mid := math.Sqrt(most * least)
	s := make([]float32, len(a))
	for j, x := range v {
		s[j] = float32(x / mid)
	}
	return s
}

// awqRound returns Q(W·diag s)·diag(1/s).
func awqRound(p *linalg.Pool, w []float32, l awqLayer, s []float32) ([]float32, error) {
	out := slices.Clone(w)
	p.For(l.Out, func(_, r int) {
		row := out[r*l.In : (r+1)*l.In]
		for j, f := range s {
			row[j] *= f
		}
	})
	q, err := grid.Quantize(p, out, l.Out, l.In, l.Spec, nil)
	if err != nil {
		return nil, err
	}
	p.For(l.Out, func(_, r int) {
		row := out[r*l.In : (r+1)*l.In]
		q.Row(row, r, 0, l.In)
		for j, f := range s {
			row[j] /= f
		}
	})
	return out, nil
}

// loss returns the mean squared change of what a site's layers lead to when their
// weights are replaced: o_proj's and down_proj's own outputs, over all tokens, and
// otherwise those of the whole attention or MLP, over the first windows.
func (s *awqSearch) loss(site string, layers []awqLayer, weights [][]float32) (func(rounded [][]float32) float64, error) {
	if site == arch.SiteAttnOut || site == arch.SiteMLPMid {
		h, err := s.c.Input("gram").Float64(site)
		if err != nil {
			return nil, err
		}
		count, err := s.c.Input("norms").Float64("count")
		if err != nil {
			return nil, err
		}
		return func(rounded [][]float32) float64 {
			sum, outputs := 0.0, 0
			for i, l := range layers {
				sum += obs.OutputEnergy(s.c.Pool, weights[i], rounded[i], l.Out, l.In, h)
				outputs += l.Out
			}
			return sum / (count[0] * float64(outputs))
		}, nil
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	x := s.inputs[site]
	rows := len(x) / s.cfg.Hidden
	forward := func(b *nn.Block, y []float32) {
		if site == arch.SiteAttnIn {
			s.run.Attention(b, x, s.windows, rows/s.windows, y)
		} else {
			s.run.MLP(b, x, rows, y)
		}
	}
	want, got := make([]float32, len(x)), make([]float32, len(x))
	forward(s.block, want)
	return func(rounded [][]float32) float64 {
		b := *s.block
		for i, l := range layers {
			lin := blockwise.Lin(&b, l.Name)
			lin.W, lin.Rows = rounded[i], nil
		}
		forward(&b, got)
		for i, v := range want {
			got[i] -= v
		}
		return vmath.Dot(got, got) / float64(len(got))
	}, nil
}

// open reads the block and runs it once for the sites' inputs.
func (s *awqSearch) open() (err error) {
	if s.block != nil {
		return nil
	}
	in := s.c.Input("block")
	if s.inputs, err = blockwise.Inputs(s.c, s.cfg, in, s.c.Input("hidden"), s.windows); err != nil {
		return err
	}
	if s.block, err = blockwise.LoadForward(s.cfg, in); err != nil {
		return err
	}
	s.run = nn.NewRunner(s.cfg, s.c.Pool)
	return nil
}

// close gives back the memory of the sublayers' runs.
func (s *awqSearch) close() {
	if s.run != nil {
		s.run.Release()
	}
}
