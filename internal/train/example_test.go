package train_test

import (
	"context"
	"fmt"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/internal/train"
)

// A low-rank adapter on every linear layer of a two-block decoder learns the
// text it is shown.
func Example() {
	config, err := arch.ParseConfig([]byte(`{"model_type": "llama", "hidden_size": 16, "intermediate_size": 32,
		"num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 11}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	seed := uint32(1)
	model, err := nn.LoadModel(config, func(name string) ([]float32, error) {
		t, ok := find(config, name)
		if !ok {
			return nil, fmt.Errorf("no tensor %s", name)
		}
		data := make([]float32, t.Elements())
		for i := range data {
			seed = seed*1664525 + 1013904223
			data[i] = float32(seed>>8)/(1<<23) - 1
		}
		return data, nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	trainer, err := train.New(model, train.Plan{Linear: func(int, arch.LinearSpec) train.LinearPlan {
		return train.LinearPlan{Kind: train.LoRA, Rank: 4, Scale: 2}
	}}, nil, train.Options{Optimizer: train.DefaultAdamW()})
	if err != nil {
		fmt.Println(err)
		return
	}
	rate := train.Schedule{Kind: "linear", Rate: 0.05, Warmup: 5, Steps: 150}
	text := [][]int32{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}
	losses, err := trainer.Run(context.Background(), 0, 150, func(int) [][]int32 { return text }, rate.At)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("trained values:", trainer.Trained())
	fmt.Println("learned:", losses[149] < 0.2*losses[0])
	// Output:
	// trained values: 2176
	// learned: true
}

func find(c *arch.Config, name string) (arch.TensorSpec, bool) {
	for _, t := range c.OuterTensors() {
		if t.Name == name {
			return t, true
		}
	}
	for i := range c.Layers {
		for _, t := range c.BlockTensors() {
			if c.BlockPrefix(i)+t.Name == name {
				return t, true
			}
		}
	}
	return arch.TensorSpec{}, false
}
