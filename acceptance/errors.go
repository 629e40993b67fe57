package acceptance

import (
	"context"
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/linalg"
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
	m, err := s.Model(stream)
	if err != nil {
		return nil, err
	}
	stats := blockwise.Stream(s.Plan.Graph, "statistics", m, st.Node.Data, blockwise.Needs{Gram: true}, func(b int) bool { return b < blocks })
	if err := s.renew(); err != nil {
		return nil, err
	}
	pool := linalg.NewPool(0)
	defer pool.Close()
	var out []map[string]OutputError
	for b := range blocks {
		errs, err := s.blockErrors(ctx, pool, node, original, b, stats[b].Gram)
		if err != nil {
			return nil, fmt.Errorf("block %d: %w", b, err)
		}
		out = append(out, errs)
	}
	return out, nil
}

func (s *Session) blockErrors(ctx context.Context, pool *linalg.Pool, node, original string, b int, ref action.Ref) (map[string]OutputError, error) {
	if _, err := s.Executor.Run(ctx, []action.Ref{ref}); err != nil {
		return nil, err
	}
	gram, release, err := s.Executor.Value(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer release()
	was, release, err := s.Block(ctx, original, b)
	if err != nil {
		return nil, err
	}
	defer release()
	is, release, err := s.Block(ctx, node, b)
	if err != nil {
		return nil, err
	}
	defer release()
	m, err := s.Model(original)
	if err != nil {
		return nil, err
	}
	out := map[string]OutputError{}
	for _, l := range m.Type.Block(b) {
		h, err := gram.Float64(l.Site)
		if err != nil {
			return nil, err
		}
		w, err := blockwise.Dense(was, l.Name)
		if err != nil {
			return nil, err
		}
		v, err := effective(is, l.Name)
		if err != nil {
			return nil, err
		}
		out[l.Name] = OutputError{obs.OutputEnergy(pool, w, v, l.Out, l.In, h), obs.OutputEnergy(pool, w, nil, l.Out, l.In, h)}
	}
	return out, nil
}
