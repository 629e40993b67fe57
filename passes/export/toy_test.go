package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/internal/tokenizer"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// layer is what has been done to a linear layer of a toy model.
type layer struct {
	dtype    tensor.DType // how plain weights lie; "" is F32
	encoding string       // weights lie as blocks of a GGUF file
	masked   bool         // half of the weights are fixed zeros
	spec     *grid.Spec   // weights are codes
	sides    []int        // ranks of side paths
}

// toy is a small model in memory, in the form in which actions pass models on.
type toy struct {
	cfg    *arch.Config
	model  *passes.Model
	values map[string]*artifact.Value // by the names of inputs
}

const (
	toyLlama = `{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": false, "rope_theta": 10000.0`
	toyQwen2 = `{"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": true, "rope_theta": 10000.0`
	toyQwen3 = `{"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "tie_word_embeddings": false, "rope_theta": 10000.0`
	// The window is shorter than the tests' texts.
	toyMistral = `{"model_type": "mistral", "architectures": ["MistralForCausalLM"], "tie_word_embeddings": false, "rope_theta": 10000.0, "sliding_window": 12`
	toyTied    = `{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": true, "rope_theta": 10000.0`
	// Llama's own scaling, and biases everywhere.
	toyScaled = toyLlama + `, "attention_bias": true, "mlp_bias": true, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}`
)

// toySizes closes each of the above.
const toySizes = `, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
	"head_dim": 16, "vocab_size": 260, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "hidden_act": "silu", "bos_token_id": 256, "eos_token_id": 256}`

func same(l layer) func(int, string) layer { return func(int, string) layer { return l } }

// newToy makes a model; of says what each linear layer of each block is.
func newToy(t testing.TB, config string, of func(block int, linear string) layer) *toy {
	t.Helper()
	raw := []byte(config + toySizes)
	cfg, err := arch.ParseConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	m := &toy{cfg: cfg, values: map[string]*artifact.Value{}, model: &passes.Model{From: "model.toy", Type: model.New(cfg, "model.toy", func(string) float64 { return 32 })}}
	rng := rand.New(rand.NewPCG(1, 2))
	g := action.NewGraph()
	put := func(name string, b *artifact.Builder) action.Ref {
		m.values[name] = value(b)
		return g.AddLeaf("model.toy", m.values[name].Tree)
	}
	outer := func(name string, shape ...int) *artifact.Builder {
		b := artifact.NewBuilder()
		b.PutFloat32(name, shape, normal(rng, shape, 0.5))
		return b
	}
	config0, tok := artifact.NewBuilder(), artifact.NewBuilder()
	check(t, config0.PutJSON("config.json", json.RawMessage(raw)))
	m.model.Config = put("config", config0)
	check(t, tok.PutJSON("tokenizer.json", tokenizer.ByteLevel()))
	m.model.Tokenizer = put("tokenizer", tok)
	m.model.Type.Tokenizer = tokenizer.ByteLevel().Digest()
	m.model.Embed = put("embed", outer(cfg.EmbedName(), cfg.Vocab, cfg.Hidden))
	final := outer(cfg.FinalNormName(), cfg.Hidden)
	if !cfg.Tied {
		final.PutFloat32(cfg.HeadName(), []int{cfg.Vocab, cfg.Hidden}, normal(rng, []int{cfg.Vocab, cfg.Hidden}, 0.5))
	}
	m.model.Final = put("final", final)
	for i := range cfg.Layers {
		b := artifact.NewBuilder()
		linears := map[string]arch.LinearSpec{}
		for _, l := range cfg.Linears() {
			linears[l.Weight()] = l
		}
		for _, ts := range cfg.BlockTensors() {
			if l, ok := linears[ts.Name]; ok {
				m.putLayer(t, rng, b, i, l, of(i, l.Name))
			} else if w := normal(rng, ts.Shape, 0.2); strings.Contains(ts.Name, "norm") {
				for k := range w {
					w[k]++
				}
				b.PutFloat32(ts.Name, ts.Shape, w)
			} else {
				b.PutFloat32(ts.Name, ts.Shape, w)
			}
		}
		m.model.Blocks = append(m.model.Blocks, put(fmt.Sprintf("block%d", i), b))
	}
	return m
}

func (m *toy) putLayer(t testing.TB, rng *rand.Rand, b *artifact.Builder, block int, l arch.LinearSpec, s layer) {
	t.Helper()
	w := normal(rng, []int{l.Out, l.In}, 0.2)
	var keep *mask.Mask
	if s.masked {
		var err error
		keep, err = mask.NM(mask.Magnitude(w), l.Out, l.In, 2, 4)
		check(t, err)
		keep.Apply(w)
	}
	ty := m.model.Type.Block(block)[slices.IndexFunc(m.cfg.Linears(), func(x arch.LinearSpec) bool { return x.Name == l.Name })]
	switch {
	case s.spec != nil:
		pool := linalg.NewPool(1)
		defer pool.Close()
		q, err := grid.Quantize(pool, w, l.Out, l.In, *s.spec, keep)
		check(t, err)
		check(t, blockwise.PutCoded(b, l.Name, blockwise.OnGrid(q), keep))
		ty.Format = model.Format{Bits: s.spec.Bits, GroupSize: s.spec.GroupSize, Symmetric: s.spec.Symmetric,
			PartialGroup: s.spec.GroupSize > 0 && l.In%s.spec.GroupSize != 0, ScaleBits: s.spec.ScaleBits()}
	case s.encoding != "":
		elems, size, _ := gguf.BlockSize(s.encoding)
		data := make([]byte, len(w)/elems*size)
		check(t, gguf.Quantize(s.encoding, data, w))
		meta := tensor.Meta{DType: tensor.F32, Shape: []int{l.Out, l.In}, Encoding: s.encoding}
		if m.cfg.ModelType == "llama" && (l.Role == "attn.q" || l.Role == "attn.k") {
			meta.RotaryHeadDim = m.cfg.HeadDim
			data = toRotary(data, l.Out, m.cfg.HeadDim)
		}
		b.PutBytes(l.Weight(), meta, data)
	case s.dtype != "" && s.dtype != tensor.F32:
		data := make([]byte, s.dtype.Size()*len(w))
		check(t, half.Encode(s.dtype, data, w))
		b.PutBytes(l.Weight(), tensor.Meta{DType: s.dtype, Shape: []int{l.Out, l.In}}, data)
	default:
		blockwise.PutDense(b, l.Name, l.Out, l.In, w, keep)
	}
	if s.masked {
		var err error
		ty.Mask, err = mask.ParsePattern("2:4")
		check(t, err)
	}
	for i, r := range s.sides {
		blockwise.PutSide(b, l.Name, i, r, normal(rng, []int{r, l.In}, 0.2), normal(rng, []int{l.Out, r}, 0.2))
		ty.Sides, ty.SideBits, ty.SidedBy = append(ty.Sides, r), 32, "compensate.toy"
	}
}

// lender lends a model's parts as a store does: what has been given back is
// overwritten.
type lender struct {
	m  *toy
	mu sync.Mutex
	// holding are the parts of which weights are lent.
	holding map[*artifact.Value]bool
	most    int
}

// load is the loader that an export gets.
func (l *lender) load(name string) (*artifact.Value, func(), error) {
	v, ok := l.m.values[name]
	if !ok {
		return nil, nil, fmt.Errorf("no input %s", name)
	}
	var lent [][]byte
	of := &artifact.Value{Tree: v.Tree}
	of.Load = func(e artifact.Entry) ([]byte, error) {
		b, err := v.Load(e)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if strings.HasSuffix(e.Name, ".weight") || strings.HasSuffix(e.Name, ".codes") {
			l.holding[of] = true
			l.most = max(l.most, len(l.holding))
		}
		b = bytes.Clone(b)
		lent = append(lent, b)
		return b, nil
	}
	return of, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.holding, of)
		for _, b := range lent {
			for i := range b {
				b[i] = 0xa5
			}
		}
	}, nil
}

// block returns the tree of a block.
func (m *toy) block(i int) *artifact.Value { return m.values[fmt.Sprintf("block%d", i)] }

// value makes a value of what b holds.
func value(b *artifact.Builder) *artifact.Value {
	tree, leaves := b.Finish()
	data := map[string][]byte{}
	for _, l := range leaves {
		data[l.Name] = l.Data
	}
	return &artifact.Value{Tree: tree, Load: func(e artifact.Entry) ([]byte, error) {
		d, ok := data[e.Name]
		if !ok {
			return nil, fmt.Errorf("leaf %s has no bytes", e.Name)
		}
		return d, nil
	}}
}

// normal returns about normal numbers of the given deviation.
func normal(rng *rand.Rand, shape []int, std float64) []float32 {
	n := 1
	for _, d := range shape {
		n *= d
	}
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(std * rng.NormFloat64())
	}
	return w
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// memory is a folder in memory.
type memory map[string][]byte

type memoryFile struct {
	bytes.Buffer
	done func([]byte)
}

func (f *memoryFile) Close() error { f.done(f.Bytes()); return nil }

func (m memory) create(name string) (io.WriteCloser, error) {
	if _, twice := m[name]; twice {
		return nil, fmt.Errorf("%s is written twice", name)
	}
	return &memoryFile{done: func(b []byte) { m[name] = b }}, nil
}

// export runs a whole export and checks what all exports promise: the files are
// the ones that were announced, two writes give the same bytes, weights of one part
// of the model, and of the next one, are held at a time.
func export(t testing.TB, m *toy, p *passes.Pass, args any) memory {
	t.Helper()
	call := &passes.Call{Node: "export.toy", Args: args}
	r, ds := p.Type(call)
	if ds.HasErrors() {
		t.Fatalf("type rule: %v", ds.Err())
	}
	e := p.Lower(call, action.NewGraph(), r).Export
	files := memory{}
	l := &lender{m: m, holding: map[*artifact.Value]bool{}}
	check(t, e.Write(context.Background(), l.load, files.create))
	if l.most > 2 || len(l.holding) > 0 {
		t.Errorf("weights of %d parts were held at once, and of %d in the end", l.most, len(l.holding))
	}
	got := slices.Sorted(maps.Keys(files))
	if want := slices.Sorted(slices.Values(e.Files)); !slices.Equal(got, want) {
		t.Fatalf("files %v; announced were %v", got, want)
	}
	again := memory{}
	check(t, e.Write(context.Background(), l.load, again.create))
	for name := range files {
		if !bytes.Equal(files[name], again[name]) {
			t.Errorf("two writes of %s differ", name)
		}
	}
	return files
}

// save writes the files below a new folder and returns it.
func (m memory) save(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range m {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777))
		check(t, os.WriteFile(filepath.Join(dir, name), data, 0o666))
	}
	return dir
}

// reopen reads a written model back into the form of a toy.
func reopen(t testing.TB, path string) (*toy, *checkpoint.Checkpoint) {
	t.Helper()
	cp, err := checkpoint.Open(path)
	check(t, err)
	m := &toy{cfg: cp.Config, values: map[string]*artifact.Value{}}
	files := map[string][]byte{}
	tree := func(prefix string, names ...string) *artifact.Builder {
		b := artifact.NewBuilder()
		for _, n := range names {
			x, ok := cp.Lookup(prefix + n)
			if !ok {
				t.Fatalf("%s has no %s", path, prefix+n)
			}
			data, ok := files[x.Path]
			if !ok {
				data, err = os.ReadFile(x.Path)
				check(t, err)
				files[x.Path] = data
			}
			b.PutBytes(n, x.Meta, data[x.Offset:x.Offset+x.Length:x.Offset+x.Length])
		}
		return b
	}
	m.values["embed"] = value(tree("", cp.Config.EmbedName()))
	final := []string{cp.Config.FinalNormName()}
	if !cp.Config.Tied {
		final = append(final, cp.Config.HeadName())
	}
	m.values["final"] = value(tree("", final...))
	for i := range cp.Config.Layers {
		b := tree(cp.Config.BlockPrefix(i), cp.BlockTensors(i)...)
		for _, l := range cp.Config.Linears() {
			if s, ok := cp.Quantized[cp.Config.BlockPrefix(i)+l.Name]; ok {
				check(t, b.PutJSON(blockwise.QuantLeaf(l.Name), s))
			}
		}
		m.values[fmt.Sprintf("block%d", i)] = value(b)
	}
	return m, cp
}

// logits runs a model on a window.
func (m *toy) logits(t testing.TB, ids []int32) []float32 {
	t.Helper()
	pool := linalg.NewPool(1)
	defer pool.Close()
	r := nn.NewRunner(m.cfg, pool)
	outer := func(name string) []float32 {
		for _, part := range []string{"embed", "final"} {
			if m.values[part].Has(name) {
				w, err := m.values[part].Float32(name)
				check(t, err)
				return w
			}
		}
		t.Fatalf("no %s", name)
		return nil
	}
	x := make([]float32, len(ids)*m.cfg.Hidden)
	r.Embed(outer(m.cfg.EmbedName()), ids, x)
	for i := range m.cfg.Layers {
		b, err := blockwise.Load(m.cfg, m.block(i))
		check(t, err)
		r.Forward(b, x, len(ids), nil)
	}
	head := &nn.Linear{Out: m.cfg.Vocab, In: m.cfg.Hidden, W: outer(m.cfg.HeadName())}
	return r.Logits(outer(m.cfg.FinalNormName()), head, x, len(ids))
}

// rounded is what a number is after a trip through a storage type.
func rounded(t testing.TB, d tensor.DType, w []float32) []float32 {
	t.Helper()
	b := make([]byte, d.Size()*len(w))
	check(t, half.Encode(d, b, w))
	out := make([]float32, len(w))
	check(t, half.Decode(d, out, b))
	return out
}

// sameBits compares two slices bit for bit.
func sameBits(t testing.TB, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, expected %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %v (%x), expected %v (%x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// sameQuantized compares codes, scales and zero points.
func sameQuantized(t testing.TB, what string, got, want *grid.Quantized) {
	t.Helper()
	if got.Bits != want.Bits || got.GroupSize != want.GroupSize || got.Symmetric != want.Symmetric || got.Out != want.Out || got.In != want.In {
		t.Fatalf("%s: grid %+v, expected %+v", what, got.Spec, want.Spec)
	}
	if !bytes.Equal(got.Codes, want.Codes) {
		t.Errorf("%s: codes differ", what)
	}
	if !bytes.Equal(got.Zeros, want.Zeros) {
		t.Errorf("%s: zero points differ", what)
	}
	sameBits(t, what+" scales", got.Scales, want.Scales)
}
