package blockwise

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes"
)

// HeadInputs are the inputs that Head reads.
func HeadInputs(m *passes.Model) []action.Input { return HeadInputsAt(m, "") }

// Head returns the final norm, as nn.ModelOf.Norm, and the head [vocab, hidden]
// from the inputs of HeadInputs.
func Head(c *action.Context, g Geometry) (norm []float32, head *nn.Linear, err error) {
	return HeadAt(c, g, "")
}

// HeadAt is Head where the inputs' names begin with prefix.
func HeadAt(c *action.Context, g Geometry, prefix string) (norm []float32, head *nn.Linear, err error) {
	cfg, final := g.Config(), c.Input(prefix+"final")
	if norm, err = nn.LoadFinalNorm(cfg, final.Float32); err != nil {
		return nil, nil, err
	}
	var embed []float32
	if g.Tied {
		if embed, err = c.Input(prefix + "embed").Float32(cfg.EmbedName()); err != nil {
			return nil, nil, err
		}
	}
	h, err := nn.LoadHead(cfg, final.Float32, embed)
	return norm, &h, err
}

// HeadInputsAt are those of HeadAt.
func HeadInputsAt(m *passes.Model, prefix string) []action.Input {
	in := []action.Input{{Name: prefix + "final", Ref: m.Final}}
	if m.Type.Config.Tied {
		in = append(in, action.Input{Name: prefix + "embed", Ref: m.Embed})
	}
	return in
}
