package prune

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/nn"
)

// A neuron that is constant goes first, and with its mean in the bias the block
// computes what it did.
func TestFLAPConstantNeuronIsNotMissed(t *testing.T) {
	c := &arch.Config{ModelType: "llama", Hidden: 12, Intermediate: 10, Layers: 1, Heads: 2, KVHeads: 1, HeadDim: 4,
		RMSEps: 1e-5, RopeTheta: 10000, MLPBias: true, MLPOutBias: true}
	r := rand.New(rand.NewPCG(5, 6))
	noise := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.Float64() - 0.5)
		}
		return x
	}
	sizes := map[string]int{}
	for _, s := range c.BlockTensors() {
		sizes[s.Name] = int(s.Elements())
	}
	b, err := nn.LoadBlock(c, 0, func(name string) ([]float32, error) { return noise(sizes[name]), nil })
	if err != nil {
		t.Fatal(err)
	}
	const constant, windows, n = 6, 3, 8
	clear(b.Gate.W[constant*c.Hidden : (constant+1)*c.Hidden])
	clear(b.Up.W[constant*c.Hidden : (constant+1)*c.Hidden])
	b.Gate.Bias[constant], b.Up.Bias[constant] = 1.5, -2

	x := noise(windows * n * c.Hidden)
	m := momentsOf(c.Intermediate)
	want := slices.Clone(x)
	run := nn.NewRunner(c, nil)
	run.ForwardWindows(b, want, windows, n, func(_ int, site string, rows []float32, _ int) {
		if site == arch.SiteMLPMid {
			m.Add(nil, rows)
		}
	}, false)
	scores := channelScores("wifv", b.Down.W, m)
	if m.M2[constant] != 0 || scores[constant] != 0 {
		t.Fatalf("the constant neuron has spread %v and score %v", m.M2[constant], scores[constant])
	}
	standardise(scores)
	kept := best(scores, c.Intermediate-1)
	if slices.Contains(kept, constant) {
		t.Fatalf("the constant neuron is kept: %v", kept)
	}

	cut := *b
	cut.Down.Bias = meanBias(b.Down.W, c.Hidden, c.Intermediate, kept, m.Mean, b.Down.Bias)
	cut.Down.W, _ = slice(b.Down.W, c.Hidden, c.Intermediate, nil, kept, nil)
	cut.Down.In = len(kept)
	for _, l := range []*nn.Linear{&cut.Gate, &cut.Up} {
		l.W, _ = slice(l.W, c.Intermediate, c.Hidden, kept, nil, nil)
		l.Bias, l.Out = pick(l.Bias, kept), len(kept)
	}
	got := slices.Clone(x)
	run.ForwardWindows(&cut, got, windows, n, nil, false)
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-6 {
			t.Fatalf("output %d is %v; expected %v", i, got[i], want[i])
		}
	}
	bare := cut
	bare.Down.Bias = b.Down.Bias
	run.ForwardWindows(&bare, x, windows, n, nil, false)
	if math.Abs(float64(x[0]-want[0])) < 1e-4 {
		t.Error("without the bias nothing is missing: the test shows nothing")
	}
}
