package nn

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/linalg"
)

// smolConfig is SmolLM2-135M's configuration, as its checkpoint states it.
const smolConfig = `{"model_type":"llama","hidden_size":576,"intermediate_size":1536,"num_hidden_layers":30,
"num_attention_heads":9,"num_key_value_heads":3,"head_dim":64,"rms_norm_eps":1e-5,"rope_theta":100000,
"vocab_size":49152,"max_position_embeddings":8192,"tie_word_embeddings":true}`

var smolOnce struct {
	sync.Once
	model *Model
	err   error
}

// smol returns the reference model, read once.
func smol(t testing.TB) *Model {
	dir := referenceDir(t)
	smolOnce.Do(func() { smolOnce.model, smolOnce.err = loadSmol(dir) })
	if smolOnce.err != nil {
		t.Fatal(smolOnce.err)
	}
	return smolOnce.model
}

func loadSmol(dir string) (*Model, error) {
	f, err := gguf.Open(filepath.Join(dir, "smollm2-135m-instruct-q4_1.gguf"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	byName := map[string]*gguf.Tensor{}
	for _, x := range f.Tensors() {
		if name, ok := gguf.HFName(x.Name); ok {
			byName[name] = x
		}
	}
	c, err := arch.ParseConfig([]byte(smolConfig))
	if err != nil {
		return nil, err
	}
	return LoadModel(c, func(name string) ([]float32, error) {
		x, ok := byName[name]
		if !ok {
			return nil, os.ErrNotExist
		}
		out := make([]float32, x.Meta.Elements())
		return out, gguf.DequantizeRows(x.Meta, out, x.Bytes())
	})
}

// golden opens one of the reference's safetensors files.
func golden(t testing.TB, name string) map[string][]byte {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(referenceDir(t), "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	out := map[string][]byte{}
	for _, x := range f.Tensors() {
		out[x.Name] = x.Bytes()
	}
	return out
}

// Embedding, every block and the final norm of a real model against torch, at
// the last of 64 positions, and its last logits.
func TestSmolLM2MatchesTorch(t *testing.T) {
	m := smol(t)
	pool := linalg.NewPool(2)
	defer pool.Close()
	r := NewRunner(m.Config, pool)
	g := golden(t, "logits64.safetensors")
	ids := ints(g["input_ids"])
	hidden, logits := floats(g["hidden_last_pos"]), floats(g["logits_last4"])
	n, d := len(ids), m.Config.Hidden
	x := make([]float32, n*d)
	r.Embed(m.Embed, ids, x)
	for i, b := range m.Blocks {
		if e := worst(x[(n-1)*d:], hidden[i*d:(i+1)*d]); !(e < 1e-4) {
			t.Errorf("before block %d: last position differs by %.3g", i, e)
		}
		r.Forward(b, x, n, nil)
	}
	normed := make([]float32, d)
	rmsRow(normed, x[(n-1)*d:], m.Norm, m.Config.RMSEps)
	if e := worst(normed, hidden[30*d:]); !(e < 1e-4) {
		t.Errorf("after the final norm: last position differs by %.3g", e)
	}
	got := r.Logits(m.Norm, &m.Head, x[(n-4)*d:], 4)
	var diff float64
	for i, v := range got {
		diff = max(diff, math.Abs(float64(v-logits[i])))
	}
	if !(diff < 1e-3) {
		t.Errorf("logits differ by %.3g; expected below 1e-3", diff)
	}
	targets := append(append([]int32{}, ids[1:]...), -1)
	const want = 257.00789 // Σ of the golden next_token_nll_f64
	if nll := Sum(r.NLL(m.Norm, &m.Head, x, n, targets)); math.Abs(nll-want) > 1e-3 {
		t.Errorf("summed nll %.5f; expected %.5f", nll, want)
	}
	t.Logf("worst logit %.3g", diff)
}

// The first window of the reference text, at full length.
func TestSmolLM2Window(t *testing.T) {
	m := smol(t)
	pool := linalg.NewPool(2)
	defer pool.Close()
	ids, want := firstWindow(t)
	r := NewRunner(m.Config, pool)
	x := pass(r, m, ids)
	got := Sum(r.NLL(m.Norm, &m.Head, x, len(ids), append(append([]int32{}, ids[1:]...), -1)))
	if math.Abs(got-want) > 0.01 {
		t.Errorf("nll %.4f; expected %.4f", got, want)
	}
}

// firstWindow returns the ids of a golden window and its summed nll.
func firstWindow(t testing.TB) ([]int32, float64) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(referenceDir(t), "golden", "ppl4.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		IDs []int32   `json:"first_window_ids"`
		NLL []float64 `json:"nll_sum_per_window"`
	}
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	return g.IDs, g.NLL[0]
}

// BenchmarkSmolLM2 measures a calibration-sized pass: 16 windows of 512 tokens
// through all blocks.
func BenchmarkSmolLM2(b *testing.B) {
	m := smol(b)
	pool := linalg.NewPool(0)
	defer pool.Close()
	ids, _ := firstWindow(b)
	r := NewRunner(m.Config, pool)
	const windows = 16
	x := make([]float32, windows*len(ids)*m.Config.Hidden)
	for b.Loop() {
		for w := range windows {
			r.Embed(m.Embed, ids, x[w*len(ids)*m.Config.Hidden:(w+1)*len(ids)*m.Config.Hidden])
		}
		for _, blk := range m.Blocks {
			r.ForwardWindows(blk, x, windows, len(ids), nil, false)
		}
	}
}
