package train

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/mask"
)

// Kind names a parametrisation of a linear layer. W is the given weight, M its
// mask, s the scale, A [rank, in] and B [out, rank] are trained.
type Kind string

// The parametrisations. Full and LoRA: Hu et al. 2021, arXiv:2106.09685; the
// masked ones: Zimmer et al. 2023 (PERP), arXiv:2312.15230.
const (
	Frozen    Kind = ""
	Full      Kind = "full"       // W itself
	LoRA      Kind = "lora"       // W + s·BA, merged so: dense
	LoRAPrune Kind = "lora_prune" // trained as LoRA, merged as W + s·(BA)⊙M
	MaskLoRA  Kind = "mask_lora"  // W + s·(BA)⊙M, trained and merged so
	ScaleLoRA Kind = "scale_lora" // W⊙(BA)

	// AdaLoRA is W + s·B·diag(E)·A, with a mask as MaskLoRA; the plan's Budget
	// says which triplets stay. Zhang et al. 2023, arXiv:2303.10512.
	AdaLoRA Kind = "adalora"
	// BoneAdditive is W + [Dᵀ Dᵀ …]: one matrix for all blocks of rank columns.
	// BoneAffine is W_oi + W_oi·B_o + B_o on blocks [rank, rank], B_o one for
	// the blocks of a block of rows. Kang and Yin 2024, arXiv:2409.15371.
	BoneAdditive Kind = "bone_additive"
	BoneAffine   Kind = "bone_affine"
	// Compacter is W + (Σ A_i ⊗ s_i·t_i)ᵀ, with the plan's Order matrices A_i
	// shared by all layers. Karimi Mahabadi et al. 2021, arXiv:2106.04647.
	Compacter Kind = "compacter"
)

// LinearPlan says how one linear layer is trained. The zero value freezes it.
type LinearPlan struct {
	Kind Kind
	Rank int
	// Scale is s, usually alpha/rank. Kinds without an s leave it 0.
	Scale float64
	// Order is Compacter's number of Kronecker products.
	Order int
	// Mask [out, in] is needed by MaskLoRA and LoRAPrune. With others it keeps
	// the update, or the training, inside the mask; nil is all.
	Mask *mask.Mask
}

// Init is how A starts; B starts at 0. (ScaleLoRA has a start of its own: all
// entries 1/√rank, so that BA is all ones.)
type Init string

const (
	// Kaiming draws A from U(−1/√in, 1/√in), one stream a layer.
	Kaiming Init = "kaiming"
	// Formula sets A_ij = (((7919·i + 104729·j + 1299709·k) mod 65536)/32768 − 1)/√in
	// for linear layer number k, counted through the model in checkpoint order
	// (the head comes after the last): a start any other program can repeat.
	Formula Init = "formula"
)

// Plan says what is trained. What it does not name is frozen.
type Plan struct {
	// Linear gives the plan of each linear layer of each block; nil freezes all.
	Linear func(block int, l arch.LinearSpec) LinearPlan
	Biases bool // biases of the linear layers that have one
	Norms  bool // gains of all norms, the final one included
	// Adapters are put behind attention and MLP and trained. The model has none;
	// those that it came with would stand still.
	Adapters arch.Adapters
	// Embedding trains the embedding table, and the positions where they are
	// learned. Where the head is tied to it the two
	// are one parameter, and training one trains both.
	Embedding bool
	// Head plans the head: frozen, Full or LoRA. LoRA on a tied head adds to the
	// head alone: the embedding keeps its values.
	Head LinearPlan

	// Budget lets the ranks of AdaLoRA's layers change; nil keeps them.
	Budget *Budget

	Init Init // "" is Kaiming
	Seed uint64
}

// check reports what is impossible in a layer's plan.
func (p LinearPlan) check(out, in int) error {
	if p.Kind == Frozen {
		return nil
	}
	f, ok := forms[p.Kind]
	if !ok {
		return fmt.Errorf("unknown parametrisation %q; expected %s", p.Kind, didyoumean.Join(kindNames()))
	}
	if f.ranked && (p.Rank < 1 || p.Rank > min(out, in)) {
		return fmt.Errorf("rank is %d; expected 1 to %d for a weight of [%d, %d]", p.Rank, min(out, in), out, in)
	}
	switch {
	case f.scaled && !(p.Scale > 0):
		return fmt.Errorf("scale is %v; expected alpha/rank, above 0", p.Scale)
	case !f.scaled && p.Scale != 0:
		return fmt.Errorf("%s has no scale; found %v", p.Kind, p.Scale)
	}
	if f.check != nil {
		if err := f.check(p, out, in); err != nil {
			return err
		}
	}
	return p.checkMask(out, in, f.mask == maskNeeded)
}

func kindNames() []string {
	var names []string
	for k := range forms {
		names = append(names, string(k))
	}
	slices.Sort(names)
	return names
}

func (p LinearPlan) checkMask(out, in int, needed bool) error {
	if p.Mask == nil {
		if needed {
			return fmt.Errorf("%s needs a mask", p.Kind)
		}
		return nil
	}
	if r, c := p.Mask.Shape(); r != out || c != in {
		return fmt.Errorf("mask is [%d, %d]; expected [%d, %d]", r, c, out, in)
	}
	return nil
}
