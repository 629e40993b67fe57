package evaluate

import (
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/nn"
)

// BenchmarkHead is the loss of one window of 512 tokens over a vocabulary of
// 49,152 at width 576.
func BenchmarkHead(b *testing.B) {
	const vocab, hidden, tokens = 49152, 576, 512
	s := rng.New(1, "bench")
	draw := func(n int) []float32 {
		w := make([]float32, n)
		for i := range w {
			w[i] = float32(s.Float64At(uint64(i))) - 0.5
		}
		return w
	}
	norm, x := draw(hidden), draw(tokens*hidden)
	head := &nn.Linear{Out: vocab, In: hidden, W: draw(vocab * hidden)}
	targets := make([]int32, tokens)
	pool := linalg.NewPool(2)
	defer pool.Close()
	r := nn.NewRunner(&arch.Config{Hidden: hidden, Vocab: vocab, RMSEps: 1e-5, HeadDim: 64, Heads: 9, KVHeads: 3, RopeTheta: 1e4, Intermediate: 1536, Layers: 1}, pool)
	b.SetBytes(2 * vocab * hidden * tokens)
	for b.Loop() {
		r.NLL(norm, head, x, tokens, targets)
	}
}
