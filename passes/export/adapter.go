package export

import (
	"fmt"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes/blockwise"
)

// adapter is the sum of a linear layer's side paths as one pair of matrices:
// y += b·(a·x), a [rank, in], b [out, rank].
type adapter struct {
	path          string
	rank, out, in int
	a, b          []float32
}

// adapters collects the side paths of a model in checkpoint order.
func (o *opened) adapters() ([]adapter, error) {
	var out []adapter
	for i, v := range o.blocks {
		for _, l := range o.cfg.Linears() {
			sides, err := blockwise.Sides(v, l.Name)
			if err != nil {
				return nil, err
			}
			if len(sides) > 0 {
				out = append(out, joinSides(o.cfg.BlockPrefix(i)+l.Name, l.Out, l.In, sides))
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the model has no side paths to write")
	}
	return out, nil
}

// joinSides puts side paths one behind the other along the rank.
func joinSides(path string, out, in int, sides []nn.Side) adapter {
	ad := adapter{path: path, out: out, in: in}
	for _, s := range sides {
		ad.rank += s.Rank
	}
	ad.a = make([]float32, 0, ad.rank*in)
	ad.b = make([]float32, out*ad.rank)
	at := 0
	for _, s := range sides {
		for _, x := range s.A {
			ad.a = append(ad.a, x*s.Scale)
		}
		for r := 0; r < out; r++ {
			copy(ad.b[r*ad.rank+at:], s.B[r*s.Rank:(r+1)*s.Rank])
		}
		at += s.Rank
	}
	return ad
}

func sameRank(ads []adapter) (int, bool) {
	for _, ad := range ads {
		if ad.rank != ads[0].rank {
			return 0, false
		}
	}
	return ads[0].rank, true
}

// adapterOf collects the matrices of a retrained adapter block by block.
func adapterOf(prefix string, v *artifact.Value, names []string) ([]adapter, error) {
	var out []adapter
	for _, n := range names {
		if !v.Has(n + ".lora_A") {
			continue
		}
		e, err := v.Entry(n + ".lora_A")
		if err != nil {
			return nil, err
		}
		f, err := v.Entry(n + ".lora_B")
		if err != nil {
			return nil, err
		}
		ad := adapter{path: prefix + n, rank: e.Meta.Shape[0], in: e.Meta.Shape[1], out: f.Meta.Shape[0]}
		if ad.a, err = v.Float32(n + ".lora_A"); err != nil {
			return nil, err
		}
		if ad.b, err = v.Float32(n + ".lora_B"); err != nil {
			return nil, err
		}
		out = append(out, ad)
	}
	return out, nil
}
