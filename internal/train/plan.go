package train

import (
	"fmt"

	"github.com/compressc/compressc/internal/arch"
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
)

// LinearPlan says how one linear layer is trained. The zero value freezes it.
type LinearPlan struct {
	Kind Kind
	Rank int
	// Scale is s, usually alpha/rank. ScaleLoRA has none: leave it 0.
	Scale float64
	// Mask [out, in] is needed by MaskLoRA and LoRAPrune. With Full it keeps
	// dropped weights from being trained; nil trains all.
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
	// Embedding trains the embedding table. Where the head is tied to it the two
	// are one parameter, and training one trains both.
	Embedding bool
	// Head plans the head: frozen, Full or LoRA. LoRA on a tied head adds to the
	// head alone: the embedding keeps its values.
	Head LinearPlan

	Init Init // "" is Kaiming
	Seed uint64
}

// check reports what is impossible in a layer's plan.
func (p LinearPlan) check(out, in int) error {
	switch p.Kind {
	case Frozen:
		return nil
	case Full:
		return p.checkMask(out, in, false)
	case LoRA, LoRAPrune, MaskLoRA, ScaleLoRA:
	default:
		return fmt.Errorf("unknown parametrisation %q; expected full, lora, lora_prune, mask_lora or scale_lora", p.Kind)
	}
	if p.Rank < 1 || p.Rank > min(out, in) {
		return fmt.Errorf("rank is %d; expected 1 to %d for a weight of [%d, %d]", p.Rank, min(out, in), out, in)
	}
	if p.Kind == ScaleLoRA {
		if p.Scale != 0 {
			return fmt.Errorf("scale_lora has no scale; found %v", p.Scale)
		}
		return nil
	}
	if !(p.Scale > 0) {
		return fmt.Errorf("scale is %v; expected alpha/rank, above 0", p.Scale)
	}
	return p.checkMask(out, in, p.Kind != LoRA)
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
