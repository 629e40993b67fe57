package export

import (
	"fmt"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/tensor"
)

// writeGGUFAdapter writes side paths as a LoRA file that llama.cpp loads with
// --lora, for a model file with the metadata kvs.
func writeGGUFAdapter(ads []adapter, kvs gguf.KVs, file string, create creator) error {
	arch, _ := kvs.String("general.architecture")
	w := &gguf.Writer{}
	alpha := float32(0) // stands for a scale of 1 whatever the rank
	if r, same := sameRank(ads); same {
		alpha = float32(r)
	}
	w.KVs = w.KVs.Set("general.type", "adapter")
	w.KVs = w.KVs.Set("general.architecture", arch)
	w.KVs = w.KVs.Set("adapter.type", "lora")
	w.KVs = w.KVs.Set("adapter.lora.alpha", alpha)
	for _, ad := range ads {
		name, ok := gguf.GGUFName(ad.path + ".weight")
		if !ok {
			return fmt.Errorf("%s has no name in GGUF", ad.path)
		}
		// The rows of B move with those of the weights they are added to; an
		// adapter file has no metadata to say so, its model's decides.
		headDim := gguf.RotaryHeadDim(kvs, name, ad.out)
		w.Tensors = append(w.Tensors,
			gguf.WriteTensor{Name: name + ".lora_a", Meta: tensor.Meta{DType: tensor.F32, Shape: []int{ad.rank, ad.in}},
				Data: func() ([]byte, error) { return artifact.AsBytes(ad.a), nil }},
			gguf.WriteTensor{Name: name + ".lora_b", Meta: tensor.Meta{DType: tensor.F32, Shape: []int{ad.out, ad.rank}},
				Data: func() ([]byte, error) { return toRotary(artifact.AsBytes(ad.b), ad.out, headDim), nil }})
	}
	return write(create, file, w.Write)
}
