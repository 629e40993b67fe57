package export

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

func decodeFloat(d tensor.DType, dst []float32, src []byte) error { return half.Decode(d, dst, src) }

type adapterConfig struct {
	Rank    int                `json:"r"`
	Alpha   float64            `json:"lora_alpha"`
	Targets []string           `json:"target_modules"`
	Ranks   map[string]int     `json:"rank_pattern"`
	Alphas  map[string]float64 `json:"alpha_pattern"`
	Base    *string            `json:"base_model_name_or_path"`
}

func TestSidePathsBecomeAnAdapter(t *testing.T) {
	for _, c := range []struct {
		name string
		of   func(int, string) layer
		want adapterConfig
	}{
		{"one rank everywhere", same(layer{sides: []int{4}}), adapterConfig{
			Rank: 4, Alpha: 4, Ranks: map[string]int{}, Alphas: map[string]float64{},
			Targets: []string{"down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"}}},
		{"some layers, other ranks", func(block int, linear string) layer {
			switch {
			case linear == "self_attn.q_proj":
				return layer{sides: []int{4}}
			case block == 1 && linear == "mlp.down_proj":
				return layer{sides: []int{2, 3}}
			}
			return layer{}
		}, adapterConfig{
			Rank: 4, Alpha: 4, Targets: []string{"model.layers.1.mlp.down_proj", "q_proj"},
			Ranks:  map[string]int{"model.layers.1.mlp.down_proj": 5},
			Alphas: map[string]float64{"model.layers.1.mlp.down_proj": 5}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newToy(t, toyLlama, c.of)
			files := export(t, m, PEFT, &PEFTArgs{Model: m.model, Path: "lora", DType: "f32"})
			var got adapterConfig
			check(t, json.Unmarshal(files["lora/adapter_config.json"], &got))
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("adapter_config.json %+v, expected %+v", got, c.want)
			}
			tensors := peftTensors(t, files["lora/adapter_model.safetensors"])
			count := 0
			for i := range m.cfg.Layers {
				for _, l := range m.cfg.Linears() {
					sides, err := blockwise.Sides(m.block(i), l.Name)
					check(t, err)
					if len(sides) == 0 {
						continue
					}
					count += 2
					key := "base_model.model." + m.cfg.BlockPrefix(i) + l.Name
					a, b := tensors[key+".lora_A.weight"], tensors[key+".lora_B.weight"]
					rank := len(a) / l.In
					at := 0
					for _, s := range sides {
						sameBits(t, key+".lora_A", a[at*l.In:(at+s.Rank)*l.In], s.A)
						for o := range l.Out {
							sameBits(t, key+".lora_B", b[o*rank+at:o*rank+at+s.Rank], s.B[o*s.Rank:(o+1)*s.Rank])
						}
						at += s.Rank
					}
					if at != rank {
						t.Errorf("%s has rank %d, expected %d", key, rank, at)
					}
				}
			}
			if len(tensors) != count {
				t.Errorf("%d tensors, expected %d", len(tensors), count)
			}
		})
	}
}

func TestTrainedAdapter(t *testing.T) {
	m := newToy(t, toyLlama, same(layer{}))
	g := action.NewGraph()
	a := &passes.Adapter{Base: m.model, From: "retrain.toy", Rank: 2, Alpha: 8}
	for i := range m.cfg.Layers {
		b := artifact.NewBuilder()
		for k, l := range m.cfg.Linears() {
			if k == 2 && i == 0 {
				continue // not every layer need have one
			}
			la, lb := make([]float32, 2*l.In), make([]float32, l.Out*2)
			la[1], lb[2] = float32(i+k), float32(i-k)
			b.PutFloat32(l.Name+".lora_A", []int{2, l.In}, la)
			b.PutFloat32(l.Name+".lora_B", []int{l.Out, 2}, lb)
		}
		v := value(b)
		m.values[fmt.Sprintf("block%d", i)] = v
		a.Blocks = append(a.Blocks, g.AddLeaf("retrain.toy", v.Tree))
	}
	files := export(t, m, PEFT, &PEFTArgs{Adapter: a, Path: "lora", DType: "bf16", BaseModel: "owner/toy"})
	var got adapterConfig
	check(t, json.Unmarshal(files["lora/adapter_config.json"], &got))
	if got.Rank != 2 || got.Alpha != 8 || len(got.Ranks)+len(got.Alphas) > 0 || got.Base == nil || *got.Base != "owner/toy" {
		t.Errorf("adapter_config.json %+v", got)
	}
	if targets := strings.Join(got.Targets, " "); !strings.Contains(targets, "model.layers.1.self_attn.v_proj") || strings.Contains(targets, " v_proj") {
		t.Errorf("targets %s; expected the one v_proj by its path", targets)
	}
	tensors := peftTensors(t, files["lora/adapter_model.safetensors"])
	if len(tensors) != 2*13 {
		t.Errorf("%d tensors, expected 26", len(tensors))
	}
	if x := tensors["base_model.model.model.layers.1.mlp.down_proj.lora_A.weight"]; len(x) != 2*96 || x[1] != 7 {
		t.Errorf("lora_A of down_proj: %d elements, second %v", len(x), x[1])
	}
}
