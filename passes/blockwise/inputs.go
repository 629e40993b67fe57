package blockwise

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes"
)

// WindowsFor returns how many windows of d hold at least tokens tokens, or all.
func WindowsFor(d *passes.Data, tokens int) int {
	n := max(d.Type.SequenceLength, 1)
	return min((tokens+n-1)/n, d.Type.Windows)
}

// Inputs runs a block over the first windows of hidden and returns what the
// layers of each site read, [windows·T, width], for methods that try something
// on the inputs themselves; sums over them are statistics (Needs).
func Inputs(c *action.Context, cfg *arch.Config, block, hidden *artifact.Value, windows int) (map[string][]float32, error) {
	x, all, T, err := States(hidden)
	if err != nil {
		return nil, err
	}
	windows = min(windows, all)
	var weights Scratch
	defer weights.Give()
	b, err := weights.LoadForward(cfg, block)
	if err != nil {
		return nil, err
	}
	out := map[string][]float32{}
	r := nn.NewRunner(cfg, c.Pool)
	defer r.Release()
	x = append([]float32(nil), x[:windows*T*cfg.Hidden]...)
	r.ForwardWindows(b, x, windows, T, func(_ int, site string, rows []float32, _ int) {
		out[site] = append(out[site], rows...)
	}, true)
	return out, nil
}
