package train

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/internal/tokenizer"
)

// referenceDir is the folder of the reference model and its golden values. The
// test is skipped where it is not there.
func referenceDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("COMPRESSC_REFERENCE")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "reference")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("reference material is not at %s (set COMPRESSC_REFERENCE)", dir)
	}
	return dir
}

// reference is SmolLM2-135M and the first windows of its calibration text.
type reference struct {
	model *nn.Model
	calib [][]int32
}

var (
	smolOnce sync.Once
	smolRef  *reference
	smolErr  error
)

func smol(t testing.TB) *reference {
	dir := referenceDir(t)
	smolOnce.Do(func() { smolRef, smolErr = loadSmol(dir) })
	if smolErr != nil {
		t.Fatal(smolErr)
	}
	return smolRef
}

func loadSmol(dir string) (*reference, error) {
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
	c, err := arch.ParseConfig([]byte(`{"model_type":"llama","hidden_size":576,"intermediate_size":1536,
		"num_hidden_layers":30,"num_attention_heads":9,"num_key_value_heads":3,"head_dim":64,"rms_norm_eps":1e-5,
		"rope_theta":100000,"vocab_size":49152,"tie_word_embeddings":true}`))
	if err != nil {
		return nil, err
	}
	m, err := nn.LoadModel(c, func(name string) ([]float32, error) {
		x, ok := byName[name]
		if !ok {
			return nil, os.ErrNotExist
		}
		out := make([]float32, x.Meta.Elements())
		return out, gguf.DequantizeRows(x.Meta, out, x.Bytes())
	})
	if err != nil {
		return nil, err
	}
	v := tokenizer.GGUFVocab{BOS: -1, EOS: -1}
	v.Model, _ = f.KVs.String("tokenizer.ggml.model")
	v.Pre, _ = f.KVs.String("tokenizer.ggml.pre")
	v.Tokens, _ = f.KVs.Strings("tokenizer.ggml.tokens")
	v.Merges, _ = f.KVs.Strings("tokenizer.ggml.merges")
	types, _ := f.KVs.Ints("tokenizer.ggml.token_type")
	for _, k := range types {
		v.TokenTypes = append(v.TokenTypes, int32(k))
	}
	tok, err := tokenizer.FromGGUF(v)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "text", "calib.txt"))
	if err != nil {
		return nil, err
	}
	r := &reference{model: m}
	// Ten windows are 5,120 tokens; the text's start is many times longer.
	ids := tok.Encode(string(text[:80000]))
	for w := range 10 {
		r.calib = append(r.calib, ids[w*512:(w+1)*512])
	}
	return r, nil
}

// topk24 says which two of four magnitudes torch.topk keeps: bit i of the digit
// at Σ rank_i·4^(3−i), rank_i being how many of the four are smaller than the
// i-th. Weights dequantised from four bits tie often, and the golden values
// were made with this order of ties.
const topk24 = "ccccccccccccccccaaaa6ccc6ccc6cccaaaa6aaa66cc66ccaaaa6aaa66aa666c" +
	"59995ccc5ccc5ccc3aaa6ccc6ccc6ccc3aaa6aaa66cc66cc3aaa6aaa66aa666c" +
	"5999559955cc55cc3399359955cc55cc33aa33aa66cc66cc33aa33aa66aa666c" +
	"599955995559555c339935995559555c333933393359555c333a333a333a666c"

// keepTopK24 returns the bits of a mask whose rows are whole bytes.
func keepTopK24(w []float32) []byte {
	out := make([]byte, len(w)/8)
	for g := range len(w) / 4 {
		at := 0
		for _, v := range w[4*g : 4*g+4] {
			rank := 0
			for _, u := range w[4*g : 4*g+4] {
				if max(u, -u) < max(v, -v) {
					rank++
				}
			}
			at = at*4 + rank
		}
		kept := topk24[at] - '0'
		if topk24[at] >= 'a' {
			kept = topk24[at] - 'a' + 10
		}
		out[g/2] |= kept << (g % 2 * 4)
	}
	return out
}

// magnitude24 is the model with the two smaller weights of every four dropped,
// and its masks as the golden values have them: [W ≠ 0]. Of the dequantised
// weights that are kept, 491 are exactly 0, so that these masks drop them too.
// A mask of compressc's own keeps them (a mask is a stored fact), and with it
// the golden gradients are missed by up to 4.3e-3, in torch as here.
func magnitude24(t testing.TB, m *nn.Model) (*nn.Model, map[string]*mask.Mask) {
	t.Helper()
	pruned := *m
	pruned.Blocks = nil
	masks := map[string]*mask.Mask{}
	for i, b := range m.Blocks {
		p := *b
		for j, l := range p.Linears() {
			k, err := mask.FromBytes(l.Out, l.In, keepTopK24(l.W))
			if err != nil {
				t.Fatal(err)
			}
			l.W = append([]float32(nil), l.W...)
			k.Apply(l.W)
			masks[m.Config.BlockPrefix(i)+m.Config.Linears()[j].Name] = mask.FromNonZero(l.W, l.Out, l.In)
		}
		pruned.Blocks = append(pruned.Blocks, &p)
	}
	return &pruned, masks
}

// formulaPlan trains rank 16 at scale 2 on all linear layers.
func formulaPlan(c *arch.Config, masks map[string]*mask.Mask) Plan {
	return Plan{Init: Formula, Linear: func(block int, l arch.LinearSpec) LinearPlan {
		p := LinearPlan{Kind: LoRA, Rank: 16, Scale: 2}
		if masks != nil {
			p.Kind, p.Mask = MaskLoRA, masks[c.BlockPrefix(block)+l.Name]
		}
		return p
	}}
}

// setFormulaB gives every B the formula of A with k + 1000 and amplitude 0.01.
func setFormulaB(t *Trainer) {
	k := 1000
	for _, p := range t.params {
		if !strings.HasSuffix(p.Name, ".lora_B") {
			continue
		}
		rank := p.Shape[1]
		for n := range p.Data {
			i, j := n/rank, n%rank
			p.Data[n] = float32((float64((7919*i+104729*j+1299709*k)%65536)/32768 - 1) * 0.01)
		}
		k++
	}
	t.version++
}

func goldenLosses(t testing.TB) (g struct {
	Plain  float64   `json:"loss_plain"`
	Masked float64   `json:"loss_masked"`
	Curve  []float64 `json:"masked_magnitude24_curve"`
}) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(referenceDir(t), "golden", "lora_losses.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// Gradients of the real model against torch, at three layers, plain on the
// dense weights and masked on pruned ones.
func TestSmolLM2GradientsMatchTorch(t *testing.T) {
	ref := smol(t)
	pool := linalg.NewPool(0)
	defer pool.Close()
	losses := goldenLosses(t)
	f, err := safetensors.Open(filepath.Join(referenceDir(t), "golden", "lora_grads.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pruned, masks := magnitude24(t, ref.model)
	// Measured: at most 3.4e-4 plain and 5.5e-5 masked. That is the golden values'
	// own rounding: torch in float64 is as far from them, and 1e-5 from here.
	const tolerance = 1e-3
	for _, c := range []struct {
		name string
		m    *nn.Model
		plan Plan
		loss float64
	}{
		{"plain", ref.model, formulaPlan(ref.model.Config, nil), losses.Plain},
		{"masked", pruned, formulaPlan(ref.model.Config, masks), losses.Masked},
	} {
		tr, err := New(c.m, c.plan, pool, Options{Optimizer: DefaultAdamW(), Memory: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		setFormulaB(tr)
		loss, err := tr.Gradients(context.Background(), ref.calib[:1])
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(loss-c.loss) > 1e-4*c.loss {
			t.Errorf("%s: loss %v; expected %v", c.name, loss, c.loss)
		}
		checked := 0
		for _, x := range f.Tensors() {
			name, ok := strings.CutPrefix(x.Name, c.name+".")
			if !ok {
				continue
			}
			name = strings.NewReplacer(".dA", ".lora_A", ".dB", ".lora_B").Replace(name)
			for _, p := range tr.params {
				if p.Name == name {
					checked++
					e := relative(tr.Gradient(p), x.Bytes())
					if !(e < tolerance) {
						t.Errorf("%s %s: gradient differs by %.3g", c.name, name, e)
					}
					t.Logf("%s %s: %.3g", c.name, name, e)
				}
			}
		}
		if checked != 6 {
			t.Errorf("%s: %d gradients compared; expected 6", c.name, checked)
		}
	}
}

// relative returns ‖got − want‖ / ‖want‖, want being little-endian float32.
func relative(got []float32, want []byte) float64 {
	var diff, size float64
	for i, g := range got {
		w := float64(math.Float32frombits(binary.LittleEndian.Uint32(want[4*i:])))
		diff += (float64(g) - w) * (float64(g) - w)
		size += w * w
	}
	return math.Sqrt(diff / size)
}

// The start of torch's loss curve: masked low-rank training of the pruned model,
// one window a step.
func TestSmolLM2LossCurve(t *testing.T) {
	ref := smol(t)
	pool := linalg.NewPool(0)
	defer pool.Close()
	want := goldenLosses(t).Curve
	pruned, masks := magnitude24(t, ref.model)
	tr, err := New(pruned, formulaPlan(ref.model.Config, masks), pool, Options{Optimizer: DefaultAdamW(), Memory: 2 << 30})
	if err != nil {
		t.Fatal(err)
	}
	steps := 2
	if os.Getenv("COMPRESSC_LONG_TESTS") != "" {
		steps = len(want)
	}
	rate := Schedule{Kind: "linear", Rate: 5e-4, Warmup: 10, Steps: 40}
	got, err := tr.Run(context.Background(), 0, steps, func(s int) [][]int32 { return ref.calib[s : s+1] }, rate.At)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range got {
		if math.Abs(l-want[i]) > 0.01*want[i] {
			t.Errorf("step %d: loss %.4f; expected %.4f", i, l, want[i])
		}
	}
	t.Logf("got  %.5f\nwant %.5f", got, want[:steps])
}

func BenchmarkSmolLM2Step(b *testing.B) {
	ref := smol(b)
	pool := linalg.NewPool(0)
	defer pool.Close()
	pruned, masks := magnitude24(b, ref.model)
	for _, c := range []struct {
		name string
		m    *nn.Model
		plan Plan
	}{
		{"lora", ref.model, formulaPlan(ref.model.Config, nil)},
		{"mask_lora", pruned, formulaPlan(ref.model.Config, masks)},
	} {
		b.Run(c.name, func(b *testing.B) {
			tr, err := New(c.m, c.plan, pool, Options{Optimizer: DefaultAdamW(), Memory: 2 << 30})
			if err != nil {
				b.Fatal(err)
			}
			step := 0
			for b.Loop() {
				if _, err := tr.Run(context.Background(), step, step+1, func(int) [][]int32 { return ref.calib[:1] }, func(int) float64 { return 1e-4 }); err != nil {
					b.Fatal(err)
				}
				step++
			}
		})
	}
}
