package acceptance

import (
	"context"
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/obs"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// OutputError is what a layer's outputs lose, over the calibration tokens.
type OutputError struct {
	// Error is ‖(W−Ŵ)X‖², Energy ‖WX‖².
	Error, Energy float64
}

// Relative is the error as a share of the energy.
func (e OutputError) Relative() float64 { return e.Error / e.Energy }

// Comparison says whose output errors are wanted, and over which inputs.
type Comparison struct {
	// Nodes yield the models whose errors are wanted, Original the model they
	// are compared with.
	Nodes    []string
	Original string
	// The inputs of a block's layers are those that they see in Within's block;
	// what the block sees has gone through the blocks of Through. Of a method
	// that works block by block on its own outputs these are the model it was
	// given and the one it made; both are the same for a model as it stands.
	Within, Through string
	// Data yields the calibration tokens.
	Data string
	// Blocks is how many blocks are looked at, from the first.
	Blocks int
}

type errorsParams struct {
	// Models is how many inputs "model 0", "model 1", … there are.
	Models int           `json:"models"`
	Layers []errorsLayer `json:"layers"`
}

type errorsLayer struct {
	Name string `json:"name"`
	Site string `json:"site"`
	Out  int    `json:"out"`
	In   int    `json:"in"`
}

// errorsKernel compares the linears of several models' blocks, side paths
// included, with the original's. It is an action so that the executor frees
// each block's statistics before it makes the next one's, and one action for all
// models so that the statistics, which nobody keeps, are made once.
var errorsKernel = action.NewKernel("acceptance.output_errors", 2, func(c *action.Context, p errorsParams) error {
	out := make([]map[string]OutputError, p.Models)
	for i := range out {
		out[i] = map[string]OutputError{}
	}
	for _, l := range p.Layers {
		h, err := c.Input("gram").Float64(l.Site)
		if err != nil {
			return err
		}
		w, err := blockwise.Dense(c.Input("original"), l.Name)
		if err != nil {
			return err
		}
		energy := obs.OutputEnergy(c.Pool, w, nil, l.Out, l.In, h)
		for i := range out {
			v, err := effective(c.Pool, c.Input(modelInput(i)), l.Name)
			if err != nil {
				return err
			}
			out[i][l.Name] = OutputError{obs.OutputEnergy(c.Pool, w, v, l.Out, l.In, h), energy}
		}
	}
	return c.Output("report").PutJSON("report", out)
})

func modelInput(i int) string { return fmt.Sprintf("model %d", i) }

// OutputErrors returns, for each comparison, a map from node to one map from
// layer to error for each block. All comparisons are one run, so that one with
// the same inputs as another costs no statistics of its own. Values must have
// been released.
func (s *Session) OutputErrors(ctx context.Context, comparisons ...Comparison) ([]map[string][]map[string]OutputError, error) {
	lowered := make([][]action.Ref, len(comparisons))
	var all []action.Ref
	for i, c := range comparisons {
		var err error
		if lowered[i], err = s.lowerErrors(c); err != nil {
			return nil, err
		}
		all = append(all, lowered[i]...)
	}
	if err := s.renew(); err != nil {
		return nil, err
	}
	if _, err := s.Executor.Run(ctx, all); err != nil {
		return nil, err
	}
	out := make([]map[string][]map[string]OutputError, len(comparisons))
	for i, c := range comparisons {
		out[i] = map[string][]map[string]OutputError{}
		for b, ref := range lowered[i] {
			var models []map[string]OutputError
			if err := s.leaf(ctx, ref, &models); err != nil {
				return nil, fmt.Errorf("block %d: %w", b, err)
			}
			for m, node := range c.Nodes {
				out[i][node] = append(out[i][node], models[m])
			}
		}
	}
	return out, nil
}

// lowerErrors adds the actions of one comparison to the graph and returns one
// report a block.
func (s *Session) lowerErrors(c Comparison) ([]action.Ref, error) {
	st, err := s.Step(c.Data)
	if err != nil {
		return nil, err
	}
	if st.Node.Data == nil {
		return nil, fmt.Errorf("%s is no data", c.Data)
	}
	models := make([]*passes.Model, len(c.Nodes))
	for i, node := range c.Nodes {
		if models[i], err = s.Model(node); err != nil {
			return nil, err
		}
	}
	var original, within, through *passes.Model
	for _, m := range []struct {
		dst  **passes.Model
		node string
	}{{&original, c.Original}, {&within, c.Within}, {&through, c.Through}} {
		if *m.dst, err = s.Model(m.node); err != nil {
			return nil, err
		}
	}
	grams := s.grams(within, through, st.Node.Data, c.Blocks)
	refs := make([]action.Ref, c.Blocks)
	for b := range refs {
		p := errorsParams{Models: len(models)}
		for _, l := range original.Type.Block(b) {
			p.Layers = append(p.Layers, errorsLayer{l.Name, l.Site, l.Out, l.In})
		}
		in := []action.Input{{Name: "gram", Ref: grams[b]}, {Name: "original", Ref: original.Blocks[b]}}
		for i, m := range models {
			in = append(in, action.Input{Name: modelInput(i), Ref: m.Blocks[b]})
		}
		a := s.Plan.Graph.Add(action.Spec{Kernel: errorsKernel, Params: p, Node: "output errors", Label: fmt.Sprintf("block %d", b), Peak: 96 << 20,
			Inputs: in, Outputs: []action.Output{{Name: "report", Class: action.Durable, Bytes: 4096}}})
		refs[b] = action.Ref{Action: a, Output: "report"}
	}
	return refs, nil
}

// grams lowers the statistics of the first blocks.
func (s *Session) grams(within, through *passes.Model, data *passes.Data, blocks int) []action.Ref {
	const node = "statistics"
	if within == through {
		return blockwise.Grams(s.Plan.Graph, node, within, data, func(b int) bool { return b < blocks })
	}
	g, cfg := s.Plan.Graph, within.Type.Config
	tokens := int64(data.Type.Windows) * int64(data.Type.SequenceLength)
	refs := make([]action.Ref, blocks)
	hidden := blockwise.Embed(g, node, within, data)
	for b := range refs {
		st, _ := blockwise.Walk(g, node, cfg, b, within.Blocks[b], hidden, tokens, blockwise.Needs{Gram: true}, false, action.Transient)
		refs[b] = st.Gram
		if b+1 < blocks {
			_, hidden = blockwise.Walk(g, node, cfg, b, through.Blocks[b], hidden, tokens, blockwise.Needs{}, true, action.Transient)
		}
	}
	return refs
}
