package export

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/arch"
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

// adapters collects the side paths of a model in checkpoint order. Where nothing
// was to be made up for there are none: then every layer gets one of rank 1 that
// adds nothing, since no reader takes an adapter without layers.
func (o *opened) adapters() ([]adapter, error) {
	var out []adapter
	for i, v := range o.blocks {
		for _, l := range o.cfg.At(i).Linears() {
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
		for i := range o.blocks {
			for _, l := range o.cfg.Linears() {
				out = append(out, adapter{o.cfg.BlockPrefix(i) + l.Name, 1, l.Out, l.In, make([]float32, l.In), make([]float32, l.Out)})
			}
		}
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
			ad.a = append(ad.a, x*s.Scale) // exact: the scale of a side path is 1
		}
		for r := 0; r < out; r++ {
			copy(ad.b[r*ad.rank+at:], s.B[r*s.Rank:(r+1)*s.Rank])
		}
		at += s.Rank
	}
	return ad
}

// sameRank returns the rank that all have, false where they differ.
func sameRank(ads []adapter) (int, bool) {
	for _, ad := range ads {
		if ad.rank != ads[0].rank {
			return 0, false
		}
	}
	return ads[0].rank, true
}

// loadAdapter collects the matrices of a trained adapter in checkpoint order.
func loadAdapter(load loader, cfg *arch.Config, layers int) ([]adapter, error) {
	var out []adapter
	for b := range layers {
		v, release, err := load(fmt.Sprintf("block%d", b))
		if err != nil {
			return nil, err
		}
		for _, l := range cfg.At(b).Linears() {
			if !v.Has(l.Name + ".lora_A") {
				continue
			}
			ad, err := trained(v, cfg.BlockPrefix(b)+l.Name, l)
			if err != nil {
				release()
				return nil, err
			}
			out = append(out, ad)
		}
		release()
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the adapter is empty")
	}
	return out, nil
}

// trained copies the matrices of one layer out of v.
func trained(v *artifact.Value, path string, l arch.LinearSpec) (adapter, error) {
	e, err := v.Entry(l.Name + ".lora_A")
	if err != nil {
		return adapter{}, err
	}
	ad := adapter{path: path, rank: e.Meta.Shape[0], in: l.In, out: l.Out}
	a, err := v.Float32(l.Name + ".lora_A")
	if err != nil {
		return adapter{}, err
	}
	b, err := v.Float32(l.Name + ".lora_B")
	if err != nil {
		return adapter{}, err
	}
	if len(a) != ad.rank*l.In || len(b) != l.Out*ad.rank {
		return adapter{}, fmt.Errorf("%s: adapter of %d and %d numbers; expected rank %d beside weights [%d, %d]", path, len(a), len(b), ad.rank, l.Out, l.In)
	}
	ad.a, ad.b = slices.Clone(a), slices.Clone(b)
	return ad, nil
}
