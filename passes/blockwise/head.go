package blockwise

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes"
)

// HeadInputs are the inputs that Head reads.
func HeadInputs(m *passes.Model) []action.Input {
	in := []action.Input{{Name: "final", Ref: m.Final}}
	if m.Type.Config.Tied {
		in = append(in, action.Input{Name: "embed", Ref: m.Embed})
	}
	return in
}

// Head returns the final norm, as nn.ModelOf.Norm, and the head [vocab, hidden]
// from the inputs "final" and, for tied heads, "embed".
func Head(c *action.Context, g Geometry) (norm []float32, head *nn.Linear, err error) {
	cfg := g.Config()
	if norm, err = nn.LoadFinalNorm(cfg, c.Input("final").Float32); err != nil {
		return nil, nil, err
	}
	var embed []float32
	if g.Tied {
		if embed, err = c.Input("embed").Float32(cfg.EmbedName()); err != nil {
			return nil, nil, err
		}
	}
	h, err := nn.LoadHead(cfg, c.Input("final").Float32, embed)
	return norm, &h, err
}
