package acceptance

import (
	"context"
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/obs"
	"github.com/compressc/compressc/passes/blockwise"
)

// OutputError is what a layer's outputs lose, over the calibration tokens.
type OutputError struct {
	// Error is ‖(W−Ŵ)X‖², Energy ‖WX‖².
	Error, Energy float64
}

// Relative is the error as a share of the energy.
func (e OutputError) Relative() float64 { return e.Error / e.Energy }

type errorsParams struct {
	Layers []errorsLayer `json:"layers"`
}

type errorsLayer struct {
	Name string `json:"name"`
	Site string `json:"site"`
	Out  int    `json:"out"`
	In   int    `json:"in"`
}

// errorsKernel compares a block's linears, side paths included, with the
// original's. It is an action so that the executor frees each block's statistics
// before it makes the next one's.
var errorsKernel = action.NewKernel("acceptance.output_errors", 1, func(c *action.Context, p errorsParams) error {
	out := map[string]OutputError{}
	for _, l := range p.Layers {
		h, err := c.Input("gram").Float64(l.Site)
		if err != nil {
			return err
		}
		w, err := blockwise.Dense(c.Input("original"), l.Name)
		if err != nil {
			return err
		}
		v, err := effective(c.Input("block"), l.Name)
		if err != nil {
			return err
		}
		out[l.Name] = OutputError{obs.OutputEnergy(c.Pool, w, v, l.Out, l.In, h), obs.OutputEnergy(c.Pool, w, nil, l.Out, l.In, h)}
	}
	return c.Output("report").PutJSON("report", out)
})

// OutputErrors compares the first blocks of a node's model, side paths included,
// with the original's, layer by layer, weighed by the inputs that the layers see
// in the model that stream yields: within a block those of stream's own weights.
// It returns a map from layer to error for each block. Values must have been
// released.
func (s *Session) OutputErrors(ctx context.Context, node, original, stream, data string, blocks int) ([]map[string]OutputError, error) {
	st, err := s.Step(data)
	if err != nil {
		return nil, err
	}
	if st.Node.Data == nil {
		return nil, fmt.Errorf("%s is no data", data)
	}
	source, err := s.Model(stream)
	if err != nil {
		return nil, err
	}
	is, err := s.Model(node)
	if err != nil {
		return nil, err
	}
	was, err := s.Model(original)
	if err != nil {
		return nil, err
	}
	stats := blockwise.Stream(s.Plan.Graph, "statistics", source, st.Node.Data, blockwise.Needs{Gram: true}, func(b int) bool { return b < blocks })
	var refs []action.Ref
	for b := range blocks {
		var p errorsParams
		for _, l := range was.Type.Block(b) {
			p.Layers = append(p.Layers, errorsLayer{l.Name, l.Site, l.Out, l.In})
		}
		a := s.Plan.Graph.Add(action.Spec{Kernel: errorsKernel, Params: p, Node: "errors of " + node, Label: fmt.Sprintf("block %d", b), Peak: 64 << 20,
			Inputs:  []action.Input{{Name: "gram", Ref: stats[b].Gram}, {Name: "original", Ref: was.Blocks[b]}, {Name: "block", Ref: is.Blocks[b]}},
			Outputs: []action.Output{{Name: "report", Class: action.Durable, Bytes: 4096}}})
		refs = append(refs, action.Ref{Action: a, Output: "report"})
	}
	if err := s.renew(); err != nil {
		return nil, err
	}
	if _, err := s.Executor.Run(ctx, refs); err != nil {
		return nil, err
	}
	out := make([]map[string]OutputError, blocks)
	for b, ref := range refs {
		if err := s.leaf(ctx, ref, &out[b]); err != nil {
			return nil, fmt.Errorf("block %d: %w", b, err)
		}
	}
	return out, nil
}
