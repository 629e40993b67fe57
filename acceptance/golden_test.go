package acceptance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/internal/obs"
	"github.com/compressc/compressc/passes/blockwise"
)

// Golden gradients and the loss curve of masked low-rank training are compared
// in internal/train, logits and hidden states of the reference model in
// internal/nn.

// Token ids of the model's tokenizer, as the checkpoint is opened.
func TestGoldenTokens(t *testing.T) {
	r := reference(t)
	cp, err := checkpoint.Open(r.Model())
	if err != nil {
		t.Fatal(err)
	}
	tok, err := cp.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(r.Dir, "golden", "tokens.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<24)
	for sc.Scan() {
		var g struct {
			Text string
			IDs  []int32
		}
		if err := json.Unmarshal(sc.Bytes(), &g); err != nil {
			t.Fatal(err)
		}
		if got := tok.Encode(g.Text); !slices.Equal(got, g.IDs) {
			t.Errorf("line %d: %q: ids %v; expected %v", lines+1, g.Text, got, g.IDs)
		}
		lines++
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	if lines != 221 {
		t.Errorf("%d lines compared; expected 221", lines)
	}
}

// loadModel reads a checkpoint whole, as float32.
func loadModel(t testing.TB, path string) (*checkpoint.Checkpoint, *nn.Model) {
	t.Helper()
	cp, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := nn.LoadModel(cp.Config, func(name string) ([]float32, error) { return readTensor(cp, name) })
	if err != nil {
		t.Fatal(err)
	}
	return cp, m
}

// tinyGolden are the tokens given to a tiny model, and the logits it had for them.
func tinyGolden(t testing.TB, r Reference, name string) (ids []int32, logits []float32) {
	t.Helper()
	g, err := readTensors(filepath.Join(r.Tiny(name), "golden.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if ids, err = g.Int32("input_ids"); err != nil {
		t.Fatal(err)
	}
	if logits, err = g.Float32("logits"); err != nil {
		t.Fatal(err)
	}
	return ids, logits
}

// The tiny models, from their Hugging Face folders to logits.
func TestGoldenTinyLogits(t *testing.T) {
	const tolerance = 1e-4
	r := reference(t)
	pool := linalg.NewPool(2)
	defer pool.Close()
	for _, name := range []string{"llama", "llama_tied", "mistral", "qwen2", "qwen3", "gpt2", "opt"} {
		t.Run(name, func(t *testing.T) {
			cp, m := loadModel(t, r.Tiny(name))
			ids, want := tinyGolden(t, r, name)
			run := nn.NewRunner(cp.Config, pool)
			x := make([]float32, len(ids)*cp.Config.Hidden)
			run.Embed(m.Embed, ids, x)
			if m.Positions != nil {
				run.AddPositions(m.Positions, x, len(ids))
			}
			for _, b := range m.Blocks {
				run.Forward(b, x, len(ids), nil)
			}
			got := run.Logits(m.Norm, &m.Head, x, len(ids))
			if len(got) != len(want) {
				t.Fatalf("%d logits; expected %d", len(got), len(want))
			}
			worst := 0.0
			for i := range got {
				worst = max(worst, math.Abs(float64(got[i]-want[i])))
			}
			t.Logf("worst difference %.3g", worst)
			if !(worst < tolerance) {
				t.Errorf("logits differ by %.3g; expected below %g", worst, tolerance)
			}
		})
	}
}

// Dense perplexity and each window's loss, through the evaluate pass.
func TestGoldenDensePerplexity(t *testing.T) {
	r := reference(t)
	var want []float64
	if err := r.JSON("dense_nll_windows.json", &want); err != nil {
		t.Fatal(err)
	}
	s := open(t, r, `
evaluate "perplexity" "dense" {
  model = model.base
  data  = data.test
}
`, SessionOptions{})
	ctx := context.Background()
	if err := s.Run(ctx, "evaluate.dense"); err != nil {
		t.Fatal(err)
	}
	var rep struct {
		Perplexity float64   `json:"perplexity"`
		Windows    []float64 `json:"windows"`
	}
	if err := s.Report(ctx, "evaluate.dense", &rep); err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, got := range rep.Windows {
		if math.Abs(got-want[i]) > 0.01 {
			t.Errorf("window %d: nll %.4f; expected %.4f within 0.01", i, got, want[i])
		}
		sum += want[i]
	}
	ppl := math.Exp(sum / float64(511*len(rep.Windows)))
	t.Logf("%d windows: perplexity %.5f; expected %.5f", len(rep.Windows), rep.Perplexity, ppl)
	if math.Abs(rep.Perplexity-ppl) > 5e-4 {
		t.Errorf("perplexity %.4f; expected %.4f to four digits", rep.Perplexity, ppl)
	}
}

// Statistics of the dense model's stream over the calibration windows.
func TestGoldenStatistics(t *testing.T) {
	const tolerance = 1e-4
	r := reference(t)
	g, err := r.Tensors("stats_dense16.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := g.Int32("entries")
	if err != nil {
		t.Fatal(err)
	}
	blocks := []int{0, 15}
	if long() {
		blocks = append(blocks, 29)
	}
	s := open(t, r, `
evaluate "perplexity" "calib" {
  model = model.base
  data  = data.calib
}
`, SessionOptions{})
	data, err := s.Step("data.calib")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Model("model.base")
	if err != nil {
		t.Fatal(err)
	}
	st := blockwise.Stream(s.Plan.Graph, "statistics", m, data.Node.Data, blockwise.Needs{Norms: true, Gram: true},
		func(b int) bool { return slices.Contains(blocks, b) })
	ctx := context.Background()
	var wanted []action.Ref
	for _, b := range blocks {
		wanted = append(wanted, st[b].Gram, st[b].Norms)
	}
	if _, err := s.Executor.Run(ctx, wanted); err != nil {
		t.Fatal(err)
	}
	worst := map[string]float64{}
	for _, b := range blocks {
		gram := value(t, s, st[b].Gram)
		norms := value(t, s, st[b].Norms)
		for _, site := range arch.Sites() {
			h := float64s(t, gram, site)
			sumSq, sumAbs := float64s(t, norms, site+".sum_sq"), float64s(t, norms, site+".sum_abs")
			n := len(sumSq)
			trace := 0.0
			compare := func(what string, got, want, size float64) {
				e := math.Abs(got-want) / size
				worst[what] = max(worst[what], e)
				if !(e <= tolerance) {
					t.Errorf("block %d %s %s: %.10g; expected %.10g (%.3g off)", b, site, what, got, want, e)
				}
			}
			golden := func(what string) []float64 { return float64s(t, g, fmt.Sprintf("%d.%s.%s", b, site, what)) }
			for j, want := range golden("diag") {
				compare("diag", h[j*n+j], want, want)
				compare("sum_sq", sumSq[j], want, want)
				trace += h[j*n+j]
			}
			compare("trace", trace, golden("trace")[0], golden("trace")[0])
			for j, want := range golden("sum_abs") {
				compare("sum_abs", sumAbs[j], want, want)
			}
			for k, want := range golden("values") {
				i, j := int(entries[2*k]), int(entries[2*k+1])
				// Off the diagonal sums cancel: what an entry is exact to is set by
				// its row and column, √(H_ii·H_jj).
				compare("values", h[i*n+j], want, max(math.Abs(want), 0.05*math.Sqrt(h[i*n+i]*h[j*n+j])))
			}
		}
	}
	t.Logf("worst relative differences: %v", worst)
}

// value loads an output for the length of the test.
func value(t testing.TB, s *Session, ref action.Ref) *artifact.Value {
	t.Helper()
	v, release, err := s.Executor.Value(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return v
}

func float64s(t testing.TB, v *artifact.Value, leaf string) []float64 {
	t.Helper()
	x, err := v.Float64(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// block0 compresses three layers of block 0 on the dense model's statistics, by
// the methods as published.
const block0 = `
prune "sparsegpt" "s" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
  refine   = 0
  targets  = ["model.layers.0.*"]
}
prune "wanda" "w" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
  targets  = ["model.layers.0.*"]
}
quantize "gptq" "g" {
  model       = model.base
  data        = data.calib
  group_size  = 64
  scale_dtype = "f32"
  refine      = 0
  targets     = ["model.layers.0.*"]
}
sweep "grid" "rank" {
  rank = [16, 64]
}
compensate "eora" "e" {
  model     = prune.w
  reference = model.base
  data      = data.calib
  propagate = "reference"
  rank      = sweep.rank.rank
  targets   = ["model.layers.0.*"]
}
compensate "lorc" "l" {
  model     = prune.w
  reference = model.base
  rank      = sweep.rank.rank
  targets   = ["model.layers.0.*"]
}
`

var block0Layers = []string{"self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj"}

// Codes and masks of block 0 against those of an independent implementation on
// the same statistics, and the layers' output errors.
func TestGoldenBlock0(t *testing.T) {
	const (
		agreement = 0.995
		tolerance = 0.005
	)
	r := reference(t)
	g, err := r.Tensors("block0.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	var errors map[string]float64
	if err := r.JSON("block0_errors.json", &errors); err != nil {
		t.Fatal(err)
	}
	s := open(t, r, block0, SessionOptions{})
	ctx := context.Background()
	nodes := []string{"prune.s", "prune.w", "quantize.g", "compensate.e[rank.rank=16]", "compensate.e[rank.rank=64]",
		"compensate.l[rank.rank=16]", "compensate.l[rank.rank=64]"}
	if err := s.Run(ctx, nodes...); err != nil {
		t.Fatal(err)
	}
	reports := map[string]map[string]map[string]float64{}
	for _, n := range nodes {
		rep, err := s.Reports(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		reports[n] = rep[0]
	}
	blocks := map[string]*artifact.Value{}
	for _, n := range nodes[:3] {
		v, release, err := s.Block(ctx, n, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		blocks[n] = v
	}
	for _, l := range block0Layers {
		q, err := blockwise.Quantized(blocks["quantize.g"], l)
		if err != nil {
			t.Fatal(err)
		}
		agree(t, l+" GPTQ codes", q.Codes, bytesOf(t, g, l+".gptq4_codes"), agreement)
		for node, name := range map[string]string{"prune.s": "sparsegpt24_mask", "prune.w": "wanda24_mask"} {
			m, err := blockwise.Mask(blocks[node], l)
			if err != nil {
				t.Fatal(err)
			}
			agree(t, l+" "+name, maskBytes(m), bytesOf(t, g, l+"."+name), agreement)
		}
		for node, name := range map[string]string{"prune.s": "sparsegpt24", "quantize.g": "gptq4"} {
			got, want := reports[node][l]["relative_output_error"], errors[l+"."+name]
			t.Logf("%s %s: error %.6g; reference %.6g (%+.3f %%)", l, name, got, want, 100*(got/want-1))
			if !(math.Abs(got/want-1) <= tolerance) {
				t.Errorf("%s %s: output error %.6g; expected %.6g within %g", l, name, got, want, tolerance)
			}
		}
		for _, rank := range []int{16, 64} {
			got := reports[fmt.Sprintf("compensate.e[rank.rank=%d]", rank)][l]["relative_output_error"]
			want := errors[fmt.Sprintf("%s.wanda24_eora%d", l, rank)]
			t.Logf("%s EoRA %d: error %.6g; reference %.6g (%+.3f %%)", l, rank, got, want, 100*(got/want-1))
			// The reference drops directions of small energy; ours keeps them and
			// may only be better.
			if !(got > 0 && got <= want*(1+tolerance)) {
				t.Errorf("%s EoRA %d: output error %.6g; expected at most %.6g", l, rank, got, want)
			}
		}
	}
}

// On the same inputs the passes after a sweep, which the methods do not have as
// published, better every layer and keep masks.
func TestRefinedBlock0(t *testing.T) {
	r := reference(t)
	s := open(t, r, block0+`
prune "sparsegpt" "sr" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
  targets  = ["model.layers.0.*"]
}
quantize "gptq" "gr" {
  model       = model.base
  data        = data.calib
  group_size  = 64
  scale_dtype = "f32"
  targets     = ["model.layers.0.*"]
}
`, SessionOptions{})
	ctx := context.Background()
	reports := map[string]map[string]map[string]float64{}
	for _, n := range []string{"prune.s", "prune.sr", "quantize.g", "quantize.gr"} {
		if err := s.Run(ctx, n); err != nil {
			t.Fatal(err)
		}
		rep, err := s.Reports(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		reports[n] = rep[0]
	}
	for refined, published := range map[string]string{"prune.sr": "prune.s", "quantize.gr": "quantize.g"} {
		if len(reports[refined]) != 7 {
			t.Errorf("%s: %d layers reported; expected 7", refined, len(reports[refined]))
		}
		for l, numbers := range reports[refined] {
			got, was := numbers["relative_output_error"], reports[published][l]["relative_output_error"]
			t.Logf("%s %s: error %.6g; as published %.6g (%+.1f %%)", refined, l, got, was, 100*(got/was-1))
			if !(got > 0 && got < was) {
				t.Errorf("%s %s: output error %.6g; expected less than the sweep's %.6g", refined, l, got, was)
			}
			if got, was := numbers["zeros"], reports[published][l]["zeros"]; got != was {
				t.Errorf("%s %s: %v zeros; the sweep left %v", refined, l, got, was)
			}
		}
	}
}

// The output errors of methods that need no second moments, and so do not report
// them, are computed here from the weights and the dense model's statistics.
func TestGoldenBlock0Unreported(t *testing.T) {
	const tolerance = 0.005
	r := reference(t)
	var errors map[string]float64
	if err := r.JSON("block0_errors.json", &errors); err != nil {
		t.Fatal(err)
	}
	s := open(t, r, block0+`
quantize "rtn" "r" {
  model       = model.base
  group_size  = 64
  scale_dtype = "f32"
  targets     = ["model.layers.0.*"]
}
`, SessionOptions{})
	data, err := s.Step("data.calib")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Model("model.base")
	if err != nil {
		t.Fatal(err)
	}
	st := blockwise.Stream(s.Plan.Graph, "statistics", m, data.Node.Data, blockwise.Needs{Gram: true}, func(b int) bool { return b == 0 })
	ctx := context.Background()
	nodes := map[string]string{"quantize.r": "rtn4", "prune.w": "wanda24", "compensate.l[rank.rank=16]": "wanda24_lorc16", "compensate.l[rank.rank=64]": "wanda24_lorc64"}
	for n := range nodes {
		if err := s.Run(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Executor.Run(ctx, []action.Ref{st[0].Gram}); err != nil {
		t.Fatal(err)
	}
	gram := value(t, s, st[0].Gram)
	base, release, err := s.Block(ctx, "model.base", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	pool := linalg.NewPool(2)
	defer pool.Close()
	for node, name := range nodes {
		v, release, err := s.Block(ctx, node, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		for _, l := range m.Type.Block(0) {
			if !slices.Contains(block0Layers, l.Name) {
				continue
			}
			w, err := blockwise.Dense(base, l.Name)
			if err != nil {
				t.Fatal(err)
			}
			what, err := effective(pool, v, l.Name)
			if err != nil {
				t.Fatal(err)
			}
			got := obs.RelativeOutputError(pool, w, what, l.Out, l.In, float64s(t, gram, l.Site))
			want := errors[l.Name+"."+name]
			t.Logf("%s %s: error %.6g; reference %.6g (%+.3f %%)", l.Name, name, got, want, 100*(got/want-1))
			if !(math.Abs(got/want-1) <= tolerance) {
				t.Errorf("%s %s: output error %.6g; expected %.6g within %g", l.Name, name, got, want, tolerance)
			}
		}
	}
}

func bytesOf(t testing.TB, v *artifact.Value, leaf string) []byte {
	t.Helper()
	b, err := v.Bytes(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// maskBytes spells a mask as a byte a weight, 1 for kept.
func maskBytes(m *mask.Mask) []byte {
	rows, cols := m.Shape()
	out := make([]byte, rows*cols)
	for r := range rows {
		for c := range cols {
			if m.Keep(r, c) {
				out[r*cols+c] = 1
			}
		}
	}
	return out
}

func agree(t testing.TB, what string, got, want []byte, least float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values; expected %d", what, len(got), len(want))
	}
	same := 0
	for i := range got {
		if got[i] == want[i] {
			same++
		}
	}
	share := float64(same) / float64(len(got))
	t.Logf("%s: %.3f %% agree", what, 100*share)
	if share < least {
		t.Errorf("%s: %.3f %% agree; expected %.1f %%", what, 100*share, 100*least)
	}
}

// Hidden states of the model rounded to four bits.
func TestGoldenRTNHidden(t *testing.T) {
	const tolerance = 1e-3
	r := reference(t)
	g, err := r.Tensors("rtn4_hidden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	after := []int{1}
	targets := `["model.layers.0.*", "model.layers.1.*"]`
	if long() {
		after, targets = append(after, 28), `["*"]`
	}
	s := open(t, r, `
data "text" "short" {
  source          = "`+filepath.ToSlash(r.Text("test"))+`"
  tokenizer       = model.base
  sequence_length = 64
  samples         = 1
}
quantize "rtn" "r" {
  model       = model.base
  group_size  = 64
  scale_dtype = "f32"
  targets     = `+targets+`
}
evaluate "perplexity" "r" {
  model = quantize.r
  data  = data.short
}
`, SessionOptions{})
	data, err := s.Step("data.short")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Model("quantize.r")
	if err != nil {
		t.Fatal(err)
	}
	hidden := blockwise.Embed(s.Plan.Graph, "hidden", m, data.Node.Data)
	var refs []action.Ref
	for b := range after[len(after)-1] + 1 {
		_, hidden = blockwise.Walk(s.Plan.Graph, "hidden", m.Type.Config, b, m.Blocks[b], hidden, 64, blockwise.Needs{}, true, action.Transient)
		refs = append(refs, hidden)
	}
	var wanted []action.Ref
	for _, b := range after {
		wanted = append(wanted, refs[b])
	}
	if _, err := s.Executor.Run(context.Background(), wanted); err != nil {
		t.Fatal(err)
	}
	for _, b := range after {
		got, err := value(t, s, refs[b]).Float32("hidden")
		if err != nil {
			t.Fatal(err)
		}
		want, err := g.Float32(fmt.Sprintf("after_block_%d", b))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("%d hidden values; expected %d", len(got), len(want))
		}
		// The first token has outliers in the thousands, where neighbouring float32
		// numbers are 5e-4 apart: there the tolerance is a part in 10⁵ of the value.
		worst, outlier, size := 0.0, 0.0, 0.0
		for i := range got {
			d, w := math.Abs(float64(got[i]-want[i])), math.Abs(float64(want[i]))
			size = max(size, w)
			if w <= 100 {
				worst = max(worst, d)
			} else {
				outlier = max(outlier, d/w)
			}
		}
		t.Logf("after block %d: worst difference %.3g, of values above 100 %.3g of the value (largest value %.3g)", b, worst, outlier, size)
		if !(worst <= tolerance) || !(outlier <= 1e-5) {
			t.Errorf("after block %d: hidden states differ by %.3g, of values above 100 by %.3g of the value; expected at most %g and 1e-5", b, worst, outlier, tolerance)
		}
	}
}
