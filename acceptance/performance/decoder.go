//go:build linux

package main

import (
	"context"
	_ "embed"
	"fmt"
	"log"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/lowrank"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/internal/obs"
	"github.com/compressc/compressc/internal/train"
)

//go:embed reference.py
var reference string

// row is one kind of work.
type row struct {
	key, what string
	flops     float64 // 0 where a rate says nothing
	run       func()
}

// decoderTable compares a decoder's operations and the passes' kernels with
// PyTorch.
func decoderTable(o options) string {
	var b strings.Builder
	threads := slices.Max(o.threads)
	pool := linalg.NewPool(threads)
	defer pool.Close()
	rows := slices.DeleteFunc(work(pool), func(w row) bool { return !o.only.MatchString(w.key) })
	ours, theirs := map[string][]float64{}, map[string][]float64{}
	version := ""
	for r := range o.rounds {
		log.Printf("decoder: round %d of %d", r+1, o.rounds)
		for _, w := range rows {
			ours[w.key] = append(ours[w.key], o.best(nil, w.run))
		}
		var t map[string]any
		args := []string{"-c", reference, strconv.Itoa(threads), strconv.FormatBool(o.cpu)}
		for _, w := range rows {
			args = append(args, w.key)
		}
		decode(exec.Command(o.python, args...), &t)
		version, _ = t["version"].(string)
		for _, w := range rows {
			x, ok := t[w.key].(float64)
			if !ok {
				log.Fatalf("the reference program does not time %s", w.key)
			}
			theirs[w.key] = append(theirs[w.key], x)
		}
	}
	fmt.Fprintf(&b, "\nWith %d threads, beside PyTorch %s, eager.\n\n| work | compressc | GFLOP/s | PyTorch | time ratio |\n|---|---|---|---|---|\n", threads, version)
	for _, w := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.2f |\n", w.what, ms(acceptance.Median(ours[w.key])), rate(w.flops, acceptance.Median(ours[w.key])), ms(acceptance.Median(theirs[w.key])), acceptance.Median(ratios(ours[w.key], theirs[w.key])))
	}
	b.WriteString("\ncompressc's results have the same bits on any number of threads and on every processor; its sweeps and decompositions are in float64 throughout, where the reference's GPTQ sweep is in float32.\n")
	return b.String()
}

// work lists what is timed, at the shapes of a model of width 576.
func work(p *linalg.Pool) []row {
	const d, f, tokens = 576, 1536, 512
	s := rng.New(1, "performance")
	n := uint64(0)
	draw := func(len int, scale float64) []float32 {
		x := make([]float32, len)
		for i := range x {
			x[i] = float32((s.Float64At(n) - 0.5) * scale)
			n++
		}
		return x
	}
	x, w, a := draw(tokens*d, 2), draw(f*d, 2), draw(16*d, 2)
	y, z := make([]float32, tokens*f), make([]float32, tokens*16)
	mid, gram := draw(tokens*f, 2), make([]float64, f*f)

	cfg := &arch.Config{ModelType: "llama", Hidden: d, Intermediate: f, Layers: 1, Heads: 9, KVHeads: 3, HeadDim: 64, RMSEps: 1e-5, RopeTheta: 1e5, Vocab: 1}
	ones := slices.Repeat([]float32{1}, d)
	blk, err := nn.LoadBlock(cfg, 0, func(name string) ([]float32, error) {
		for _, l := range cfg.Linears() {
			if l.Weight() == name {
				return draw(l.Out*l.In, 0.1), nil
			}
		}
		return ones, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	run := nn.NewRunner(cfg, p)
	h0 := draw(4*tokens*d, 2)
	h := make([]float32, len(h0))

	hess := make([]float64, d*d)
	for range 3 {
		p.GramAdd(hess, draw(tokens*d, 2), tokens, d)
	}
	linalg.GramMirror(nil, hess, d)
	spec := grid.Spec{Bits: 4, GroupSize: 64, Symmetric: true}
	wide := make([]float64, f*f)
	for range 4 {
		p.GramAdd(wide, draw(tokens*f, 2), tokens, f)
	}
	linalg.GramMirror(nil, wide, f)
	var errors [][]float64
	for _, l := range cfg.Linears() {
		errors = append(errors, lowrank.Difference(draw(l.Out*l.In, 0.02), make([]float32, l.Out*l.In)))
	}
	params := 0.0
	for _, l := range cfg.Linears() {
		params += float64(l.Out) * float64(l.In)
	}
	rows := []row{
		{"gemm", "product 512×576 · 576×1536", 2 * tokens * d * f, func() { p.Sgemm(false, true, tokens, f, d, 1, x, d, w, d, 0, y, f) }},
		{"skinny", "product 512×576 · 576×16", 2 * tokens * d * 16, func() { p.Sgemm(false, true, tokens, 16, d, 1, x, d, a, d, 0, z, 16) }},
		{"gram", "statistics: XᵀX of 512×1536 added in float64", 2 * tokens * f * f, func() { p.GramAdd(gram, mid, tokens, f) }},
		{"block", "forward of one decoder block, 4 × 512 tokens", 2 * params * 4 * tokens, func() {
			copy(h, h0)
			run.ForwardWindows(blk, h, 4, tokens, nil, false)
		}},
		{"gptq", "GPTQ 4 bit of 1536×576, with its factorization", 0, func() {
			fac, err := obs.Prepare(p, hess, d, 0.01, nil)
			must(err)
			_, err = obs.Sweep(p, fac, w, f, obs.Options{Grid: &spec})
			must(err)
		}},
		{"eora", "EoRA decompositions of a block's seven layers", 0, func() {
			for i, l := range cfg.Linears() {
				c := hess
				if l.In == f {
					c = wide
				}
				_, err := lowrank.Decompose(p, errors[i], l.Out, l.In, c, 128)
				must(err)
			}
		}},
		{"eigen", "symmetric eigenproblem of 576", 0, func() { p.SymEigen(d, slices.Clone(hess)) }},
	}
	return append(rows, modelWork(p, draw)...)
}

// modelWork lists what is timed on a whole decoder of the shapes of
// SmolLM2-135M.
func modelWork(p *linalg.Pool, draw func(n int, scale float64) []float32) []row {
	const d, f, tokens, windows, rank = 576, 1536, 512, 16, 16
	cfg := &arch.Config{ModelType: "llama", Hidden: d, Intermediate: f, Layers: 30, Heads: 9, KVHeads: 3, HeadDim: 64, RMSEps: 1e-5, RopeTheta: 1e5, Vocab: 49152, Tied: true}
	load := sync.OnceValue(func() *nn.Model {
		linears := map[string]int{}
		for _, l := range cfg.Linears() {
			linears[l.Weight()] = l.Out * l.In
		}
		m, err := nn.LoadModel(cfg, func(name string) ([]float32, error) {
			if name == cfg.EmbedName() {
				return draw(cfg.Vocab*d, 0.1), nil
			}
			for suffix, n := range linears {
				if strings.HasSuffix(name, suffix) {
					return draw(n, 0.1), nil
				}
			}
			return slices.Repeat([]float32{1}, d), nil
		})
		must(err)
		return m
	})
	ids := make([]int32, tokens)
	for i := range ids {
		ids[i] = int32(i * 7919 % cfg.Vocab)
	}
	trainer := func(masked bool) func() {
		step := sync.OnceValue(func() func() {
			plan := train.Plan{Linear: func(_ int, l arch.LinearSpec) train.LinearPlan {
				lp := train.LinearPlan{Kind: train.LoRA, Rank: rank, Scale: 2}
				if masked {
					half := mask.New(l.Out, l.In)
					for r := range l.Out {
						for c := r % 2; c < l.In; c += 2 {
							half.Set(r, c, false)
						}
					}
					lp.Kind, lp.Mask = train.MaskLoRA, half
				}
				return lp
			}}
			t, err := train.New(load(), plan, p, train.Options{Optimizer: train.DefaultAdamW(), Memory: 2 << 30})
			must(err)
			n := 0
			return func() {
				_, err := t.Run(context.Background(), n, n+1, func(int) [][]int32 { return [][]int32{ids} }, func(int) float64 { return 1e-5 })
				must(err)
				n++
			}
		})
		return func() { step()() }
	}
	run := sync.OnceValue(func() *nn.Runner { return nn.NewRunner(cfg, p) })
	x := make([]float32, windows*tokens*d)
	params := 0.0
	for _, l := range cfg.Linears() {
		params += float64(l.Out) * float64(l.In) * float64(cfg.Layers)
	}
	head := float64(cfg.Vocab) * d
	return []row{
		{"forward", "forward of 16 × 512 tokens, all blocks", 2 * params * windows * tokens, func() {
			m, r := load(), run()
			for w := range windows {
				r.Embed(m.Embed, ids, x[w*tokens*d:(w+1)*tokens*d])
			}
			for _, b := range m.Blocks {
				r.ForwardWindows(b, x, windows, tokens, nil, false)
			}
		}},
		{"lora_step", "LoRA training step, 1 × 512 tokens", 4 * (params + head) * tokens, trainer(false)},
		{"masked_step", "masked LoRA training step, 1 × 512 tokens", (6*params + 4*head) * tokens, trainer(true)},
	}
}
