package arch

import (
	"encoding/json"
	"fmt"
)

// Adapters are the bottlenecks behind the sublayers of every block: what
// attention or MLP yields, y [hidden], goes on as y + up(gelu(down(y))), before it
// is added to the residual stream. The weights of down [Width, hidden] and up
// [hidden, Width] are sums of Kronecker products of small matrices, which all
// layers share, with factors of rank Rank of each layer's own. The zero value is
// none.
//
// Karimi Mahabadi et al. 2021, arXiv:2106.04647.
type Adapters struct {
	Placement string `json:"placement"` // AdaptersBoth or AdaptersFFN
	Order     int    `json:"order"`     // number of products; divides Width and hidden
	Width     int    `json:"width"`     // of the bottleneck
	Rank      int    `json:"rank"`
}

// Where adapters stand.
const (
	AdaptersBoth = "both" // behind attention and behind the MLP
	AdaptersFFN  = "ffn"  // behind the MLP alone
)

// The modules of a block that adapters are, and the leaves of their layers.
const (
	AttentionAdapter = "self_attn.adapter"
	MLPAdapter       = "mlp.adapter"
	// RuleName is the shared matrices [order, order, order], of which a copy lies
	// in each block, so that a block can be run by itself.
	RuleName = "adapter.phm_rule"
)

// AdapterLayer is one of the two layers of an adapter: y = Hᵀx + b with H = Σ_i
// A_i ⊗ (s_i·t_i).
type AdapterLayer struct {
	Name    string // "mlp.adapter.down"
	Out, In int
}

// Left, Right and BiasName are the names of s [order, in/order, rank], of t
// [order, rank, out/order] and of b [out].
func (l AdapterLayer) Left() string     { return l.Name + ".phm_s" }
func (l AdapterLayer) Right() string    { return l.Name + ".phm_t" }
func (l AdapterLayer) BiasName() string { return l.Name + ".bias" }

// Any reports whether there are adapters.
func (a Adapters) Any() bool { return a != Adapters{} }

// Modules lists the adapters of a block in the order of a forward pass.
func (a Adapters) Modules() []string {
	switch a.Placement {
	case AdaptersBoth:
		return []string{AttentionAdapter, MLPAdapter}
	case AdaptersFFN:
		return []string{MLPAdapter}
	}
	return nil
}

// Layers are the two layers of an adapter beside a stream of hidden entries.
func (a Adapters) Layers(module string, hidden int) [2]AdapterLayer {
	return [2]AdapterLayer{{module + ".down", a.Width, hidden}, {module + ".up", hidden, a.Width}}
}

// Tensors are those of all adapters of one block, the shared matrices last.
func (a Adapters) Tensors(hidden int) (out []TensorSpec) {
	n, r := a.Order, a.Rank
	for _, m := range a.Modules() {
		for _, l := range a.Layers(m, hidden) {
			out = append(out, TensorSpec{l.Left(), []int{n, l.In / n, r}}, TensorSpec{l.Right(), []int{n, r, l.Out / n}}, TensorSpec{l.BiasName(), []int{l.Out}})
		}
	}
	if a.Any() {
		out = append(out, TensorSpec{RuleName, []int{n, n, n}})
	}
	return out
}

// Parameters counts those of the adapters of so many blocks, the shared matrices
// once.
func (a Adapters) Parameters(hidden, blocks int) (n int64) {
	for _, t := range a.Tensors(hidden) {
		if t.Name == RuleName {
			n += t.Elements()
		} else {
			n += int64(blocks) * t.Elements()
		}
	}
	return n
}

// Weights counts the weights of one block's adapters, formed.
func (a Adapters) Weights(hidden int) int64 {
	return int64(len(a.Modules())) * 2 * int64(hidden) * int64(a.Width)
}

// Check reports adapters that no model of so wide a stream can have.
func (a Adapters) Check(hidden int) error {
	switch {
	case a.Placement != AdaptersBoth && a.Placement != AdaptersFFN:
		return fmt.Errorf("placement is %q; supported are %s, %s", a.Placement, AdaptersBoth, AdaptersFFN)
	case a.Order < 1 || hidden%a.Order != 0:
		return fmt.Errorf("order is %d; expected a divisor of the residual stream's width of %d", a.Order, hidden)
	case a.Width < 1 || a.Width > maxSize || a.Width%a.Order != 0:
		return fmt.Errorf("width is %d; expected a multiple of order = %d", a.Width, a.Order)
	case a.Rank < 1 || a.Rank > a.Width/a.Order:
		return fmt.Errorf("rank is %d; expected 1 to width / order = %d", a.Rank, a.Width/a.Order)
	}
	return nil
}

// adaptersKey is a key of config.json of our own.
const adaptersKey = "bottleneck_adapters"

func (c *Config) readAdapters(h *hfConfig) error {
	if h.Adapters == nil {
		return nil
	}
	if err := h.Adapters.Check(c.Hidden); err != nil {
		return fmt.Errorf("config.json: %s: %w", adaptersKey, err)
	}
	c.Adapters = *h.Adapters
	return nil
}

func (c *Config) setAdapters(raw map[string]json.RawMessage, set func(string, any) error) error {
	if delete(raw, adaptersKey); !c.Adapters.Any() {
		return nil
	}
	return set(adaptersKey, c.Adapters)
}
