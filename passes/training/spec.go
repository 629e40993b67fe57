// Package training lowers gradient descent on a whole model to actions: a chain
// of chunks of a few steps each, keyed by the state they start from, so that a
// run that was interrupted goes on at the last chunk and longer runs on a
// constant schedule share the shorter ones' work; then a merge. Every block is
// in memory, which is more than one-shot methods need.
package training

import (
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/internal/train"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// Linear says how one linear layer is trained.
type Linear struct {
	Name string     `json:"name"`
	Kind train.Kind `json:"kind"`
	Rank int        `json:"rank,omitempty"`
	// Scale is alpha/rank.
	Scale float64 `json:"scale,omitempty"`
	// Order is the number of Kronecker products of a Compacter.
	Order int `json:"order,omitempty"`
	// Masked keeps the update inside the layer's mask.
	Masked bool `json:"masked,omitempty"`
}

// plan is the layer's with its mask, which may be nil.
func (l Linear) plan(m *mask.Mask) train.LinearPlan {
	return train.LinearPlan{Kind: l.Kind, Rank: l.Rank, Scale: l.Scale, Order: l.Order, Mask: m}
}

// loadPlan is the layer's plan with its mask from its block, where it needs it.
func (l Linear) loadPlan(v *artifact.Value) (train.LinearPlan, error) {
	if !l.Masked && !l.Kind.Masks() {
		return l.plan(nil), nil
	}
	m, err := blockwise.Mask(v, l.Name)
	return l.plan(m), err
}

// factor stands before the update B·A.
func (l Linear) factor() float64 {
	if l.Scale == 0 {
		return 1
	}
	return l.Scale
}

// Spec is what a training run is, but for its length and its learning rates.
type Spec struct {
	Geometry blockwise.Geometry `json:"geometry"`
	// Windows are the blocks' attention windows, 0 for all positions.
	Windows []int `json:"windows"`
	// Shapes are those of the blocks where they differ.
	Shapes []arch.BlockShape `json:"shapes,omitempty"`
	// Linears are the trained layers of each block.
	Linears   [][]Linear `json:"linears"`
	Biases    bool       `json:"biases,omitempty"`
	Norms     bool       `json:"norms,omitempty"`
	Embedding bool       `json:"embedding,omitempty"`
	Head      Linear     `json:"head,omitzero"`
	// Adapters are put behind attention and MLP and trained.
	Adapters  arch.Adapters `json:"adapters,omitzero"`
	Init      train.Init    `json:"init,omitempty"`
	Seed      uint64        `json:"seed,omitempty"`
	Optimizer train.Setting `json:"optimizer"`
	// Budget is that of the ranks of AdaLoRA.
	Budget *train.Budget `json:"budget,omitempty"`
	// Batch is how many windows a step's gradient is accumulated over.
	Batch int `json:"batch"`
	// Shuffle draws a new order of the windows for each pass over them;
	// otherwise they come in file order.
	Shuffle bool `json:"shuffle,omitempty"`
}

// NewSpec returns a spec that trains nothing yet.
func NewSpec(cfg *arch.Config) Spec {
	s := Spec{Geometry: blockwise.BlockGeometry(cfg, 0), Linears: make([][]Linear, cfg.Layers)}
	s.Geometry.Window = 0
	s.Geometry = s.Geometry.WithOuter(cfg)
	for b := 0; b < cfg.Layers; b++ {
		s.Windows = append(s.Windows, cfg.LayerWindow(b))
		if !cfg.Uniform() {
			s.Shapes = append(s.Shapes, cfg.Shape(b))
		}
	}
	return s
}

// config is that of the whole model; blocks are loaded by their own.
func (s *Spec) config() *arch.Config {
	c := s.Geometry.Config()
	c.Layers = len(s.Windows)
	if s.Shapes != nil {
		c = c.WithShapes(s.Shapes)
	}
	return c
}

// blockConfig is that of block b alone.
func (s *Spec) blockConfig(b int) *arch.Config {
	c := *s.config().At(b)
	c.Layers, c.SlidingWindow = 1, s.Windows[b]
	return &c
}

// loaded is a model in memory, ready to be trained.
type loaded struct {
	model   *nn.Model
	trainer *train.Trainer
}

// load reads the whole model and makes its trainer. An embedding that is not trained
// is left out where no passes will be run.
func (s *Spec) load(c *action.Context, passes bool) (*loaded, error) {
	cfg := s.config()
	m := &nn.Model{Config: cfg}
	var err error
	if passes || s.trainsEmbedding() {
		if m.Embed, err = c.Input("embed").Float32(cfg.EmbedName()); err != nil {
			return nil, err
		}
	}
	final := c.Input("final")
	if m.Norm, err = nn.LoadFinalNorm(cfg, final.Float32); err != nil {
		return nil, err
	}
	if cfg.Learned {
		if m.Positions, err = c.Input("embed").Float32(cfg.PositionName()); err != nil {
			return nil, err
		}
	}
	if m.Head, err = nn.LoadHead(cfg, final.Float32, m.Embed); err != nil {
		return nil, err
	}
	plan := train.Plan{Biases: s.Biases, Norms: s.Norms, Embedding: s.Embedding, Adapters: s.Adapters, Init: s.Init, Seed: s.Seed,
		Head: s.Head.plan(nil), Budget: s.Budget}
	plans := make([]map[string]train.LinearPlan, cfg.Layers)
	for b := range plans {
		v := c.Input(blockInput(b))
		blk, err := blockwise.Load(s.blockConfig(b), v)
		if err != nil {
			return nil, err
		}
		m.Blocks = append(m.Blocks, blk)
		plans[b] = map[string]train.LinearPlan{}
		for _, l := range s.Linears[b] {
			p, err := l.loadPlan(v)
			if err != nil {
				return nil, err
			}
			plans[b][l.Name] = p
		}
	}
	plan.Linear = func(b int, l arch.LinearSpec) train.LinearPlan { return plans[b][l.Name] }
	// Twice the weights hold a window's activations at any usual length; more
	// memory would only save what costs next to nothing to make again.
	spare := min(c.Memory, 2*4*cfg.Parameters())
	t, err := train.New(m, plan, c.Pool, train.Options{Optimizer: s.Optimizer.Optimizer, Memory: spare})
	if err != nil {
		return nil, err
	}
	return &loaded{m, t}, nil
}

// trainsEmbedding reports whether the embedding changes, by itself or as a head.
func (s *Spec) trainsEmbedding() bool {
	return s.Embedding || s.Geometry.Tied && s.Head.Kind != train.Frozen
}

func blockInput(b int) string { return fmt.Sprintf("block%d", b) }

// batch returns the windows of a step.
func (s *Spec) batch(ids []int32, windows, length int, step int) [][]int32 {
	var out [][]int32
	for j := 0; j < s.Batch; j++ {
		k := step*s.Batch + j
		w := k % windows
		if s.Shuffle {
			w = rng.New(s.Seed, fmt.Sprintf("train.order %d", k/windows)).Perm(windows)[w]
		}
		out = append(out, ids[w*length:(w+1)*length])
	}
	return out
}

// modelInputs are the parts of a model as inputs.
func modelInputs(m *passes.Model) []action.Input {
	in := []action.Input{{Name: "embed", Ref: m.Embed}, {Name: "final", Ref: m.Final}}
	for b, r := range m.Blocks {
		in = append(in, action.Input{Name: blockInput(b), Ref: r})
	}
	return in
}
