package acceptance

import (
	"context"
	"fmt"
	"math"
	"os"

	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/nn"
)

// TieRule says which two of four weights are kept where magnitudes are equal.
// Weights that were dequantised from four bits are often equal, and 2:4 by
// magnitude hangs on it.
type TieRule string

// The rules: the lower input; the higher, which is the program's; and what
// torch.topk happens to do, which the golden row was made with.
const (
	TieLower  TieRule = "lower"
	TieHigher TieRule = "higher"
	TieTorch  TieRule = "torch"
)

// topk24 says which two of four torch.topk keeps: bit i of the digit at
// Σ rank_i·4^(3−i), rank_i being how many of the four are smaller than the i-th.
const topk24 = "ccccccccccccccccaaaa6ccc6ccc6cccaaaa6aaa66cc66ccaaaa6aaa66aa666c" +
	"59995ccc5ccc5ccc3aaa6ccc6ccc6ccc3aaa6aaa66cc66cc3aaa6aaa66aa666c" +
	"5999559955cc55cc3399359955cc55cc33aa33aa66cc66cc33aa33aa66aa666c" +
	"599955995559555c339935995559555c333933393359555c333a333a333a666c"

// prune zeroes the two smaller of every four weights.
func (rule TieRule) prune(w []float32) {
	for ; len(w) >= 4; w = w[4:] {
		g := w[:4]
		var rank [4]int
		at := 0
		for i, v := range g {
			for j, u := range g {
				a, b := max(u, -u), max(v, -v)
				if a < b || rule == TieLower && a == b && j > i || rule == TieHigher && a == b && j < i {
					rank[i]++
				}
			}
			at = at*4 + rank[i]
		}
		for i := range g {
			keep := rank[i] >= 2
			if rule == TieTorch {
				digit := topk24[at]
				bits := digit - '0'
				if digit >= 'a' {
					bits = digit - 'a' + 10
				}
				keep = bits>>i&1 == 1
			}
			if !keep {
				g[i] = 0
			}
		}
	}
}

// MagnitudePerplexity measures the reference model, pruned 2:4 by magnitude with
// a rule for ties, on the first windows of the test text, without a pipeline.
func MagnitudePerplexity(ctx context.Context, r Reference, rule TieRule, windows int) (float64, error) {
	const length = 512
	cp, err := checkpoint.Open(r.Model())
	if err != nil {
		return 0, err
	}
	linear := map[string]bool{}
	for b := range cp.Config.Layers {
		for _, l := range cp.Config.Linears() {
			linear[cp.Config.BlockPrefix(b)+l.Weight()] = true
		}
	}
	m, err := nn.LoadModel(cp.Config, func(name string) ([]float32, error) {
		w, err := readTensor(cp, name)
		if err == nil && linear[name] {
			rule.prune(w)
		}
		return w, err
	})
	if err != nil {
		return 0, err
	}
	tok, err := cp.Tokenizer()
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(r.Text("test"))
	if err != nil {
		return 0, err
	}
	ids := tok.Encode(string(text))
	if len(ids) < windows*length {
		return 0, fmt.Errorf("the test text has %d tokens; expected %d windows of %d", len(ids), windows, length)
	}
	pool := linalg.NewPool(0)
	defer pool.Close()
	run := nn.NewRunner(cp.Config, pool)
	total := 0.0
	x := make([]float32, length*cp.Config.Hidden)
	targets := make([]int32, length)
	for w := range windows {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		win := ids[w*length : (w+1)*length]
		copy(targets, win[1:])
		targets[length-1] = -1
		run.Embed(m.Embed, win, x)
		for _, b := range m.Blocks {
			run.Forward(b, x, length, nil)
		}
		for _, v := range run.NLL(m.Norm, &m.Head, x, length, targets) {
			total += v
		}
	}
	return math.Exp(total / float64(windows*(length-1))), nil
}
