package main

import (
	"fmt"
	"math"
	"time"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/nn"
)

// normForms are what a model with LayerNorm can be turned into, the model itself
// first.
var normForms = []struct{ name, title string }{
	{"base", "LayerNorm, as trained"},
	{"rms", "rmsnorm"},
	{"affine", "rmsnorm, fold_affine = false"},
	{"crms", "crmsnorm"},
}

// rmsnorm measures that the transformations of LayerNorm keep what a model
// computes, and what other methods make of what comes out.
func rmsnorm(m *measurement) error {
	rec, err := m.run(nil)
	if err != nil {
		return err
	}
	m.Printf("Decoders of four blocks of width 128 built like GPT-2 and OPT, trained here on bytes of the calibration text and measured on the first windows of 256 bytes of the test text. A head that was the embedding becomes a table of its own.\n\n")
	m.Printf("| like | form | parameters | largest difference of a logit | same likeliest token | perplexity |\n|---|---|---|---|---|---|\n")
	largest, moved, same := 0.0, 0.0, true
	after := "| like | form | Wanda 50 % | GPTQ 3 bit, whole rows |\n|---|---|---|---|\n"
	worst := map[string]float64{}
	for _, like := range []string{"gpt2", "opt"} {
		point := "architecture=" + like
		base, err := perplexity(rec, "base", point)
		if err != nil {
			return err
		}
		first := map[string]float64{}
		for _, f := range normForms {
			x, err := perplexity(rec, f.name, point)
			if err != nil {
				return err
			}
			difference, argmax := "", ""
			if f.name != "base" {
				n := acceptance.FindNode(rec, "transform."+f.name, point)
				if n == nil || n.Layers["logits"] == nil {
					return fmt.Errorf("the run has no comparison of logits of transform.%s at %q", f.name, point)
				}
				d, s := n.Layers["logits"]["largest_difference"], n.Layers["logits"]["same_argmax"]
				largest, moved, same = max(largest, d), max(moved, math.Abs(x/base-1)), same && s == 1
				difference, argmax = fmt.Sprintf("%.2g", d), fmt.Sprintf("%.4f %%", 100*s)
			}
			m.Printf("| %s | %s | %d | %s | %s | %.6f |\n", like, f.title, modelOf(rec, f.name, point), difference, argmax, x)
			row := fmt.Sprintf("| %s | %s |", like, f.title)
			for _, kind := range []string{"pruned", "coded"} {
				p, err := perplexity(rec, f.name+"_"+kind, point)
				if err != nil {
					return err
				}
				if f.name == "base" {
					first[kind] = p
				}
				worst[kind] = max(worst[kind], math.Abs(p/first[kind]-1))
				row += fmt.Sprintf(" %.4f |", p)
			}
			after += row + "\n"
		}
	}
	m.Printf("\nLogits within 1e-4: %s. The likeliest token is the same everywhere: %s. Perplexity within 1e-5 of itself: %s.\n",
		m.Verdict("logits within 1e-4", largest <= 1e-4, false), m.Verdict("the same likeliest tokens", same, false), m.Verdict("perplexity stays", moved <= 1e-5, false))
	m.Printf("\nPerplexity after compression, each form by itself:\n\n%s", after)
	m.Printf("\nThe forms are the same function with other weights: gains of norms are part of what is pruned and rounded, and means that rounding gives the stream back stay in it. They differ from LayerNorm by up to %.1f %% when pruned and %.1f %% in 3 bits.\n", 100*worst["pruned"], 100*worst["coded"])
	times := normTimes(m.Small)
	m.Printf("\nTime of a block of width 768 like GPT-2's for 512 tokens on one thread, the best of several turns taken in turn: LayerNorm %.1f ms, RMSNorm %.1f ms (%+.1f %%), CRMSNorm of 767 %.1f ms (%+.1f %%). The norms are a small share of a block here, so this is noise unless the machine is quiet.\n",
		times[0], times[1], 100*(times[1]/times[0]-1), times[2], 100*(times[2]/times[0]-1))
	return nil
}

// normTimes returns the milliseconds of a forward pass of one block with
// LayerNorm, RMSNorm and CRMSNorm.
func normTimes(small bool) (best [3]float64) {
	const tokens = 512
	turns := 12
	if small {
		turns = 1
	}
	kinds := []string{arch.NormLayer, arch.NormRMS, arch.NormCompressed}
	var blocks [3]*nn.Block
	var configs [3]*arch.Config
	for i, kind := range kinds {
		c := &arch.Config{ModelType: "gpt2", Layers: 1, Hidden: 768, Intermediate: 3072, Heads: 12, KVHeads: 12, HeadDim: 64, RMSEps: 1e-5, RopeTheta: 1e4,
			Norm: kind, NormBias: kind == arch.NormLayer, Plain: true, Learned: true, Activation: arch.ActGELUTanh, MaxPosition: tokens,
			AttentionBias: true, AttentionOutBias: true, MLPBias: true, MLPOutBias: true}
		if kind == arch.NormCompressed {
			c.Hidden--
		}
		sizes := map[string]int{}
		for _, t := range c.BlockTensors() {
			sizes[t.Name] = int(t.Elements())
		}
		blocks[i], _ = nn.LoadBlock(c, 0, func(name string) ([]float32, error) { return normal(name, sizes[name], 0.02), nil })
		configs[i] = c
	}
	for turn := range turns {
		for i, c := range configs {
			x := normal("x", tokens*c.Hidden, 1)
			r := nn.NewRunner(c, nil)
			start := time.Now()
			r.Forward(blocks[i], x, tokens, nil)
			if ms := 1000 * time.Since(start).Seconds(); turn == 0 || ms < best[i] {
				best[i] = ms
			}
		}
	}
	return best
}

func normal(name string, n int, std float64) []float32 {
	s, x := rng.New(1, name), make([]float32, n)
	for i := range x {
		x[i] = float32(s.NormAt(uint64(i)) * std)
	}
	return x
}
