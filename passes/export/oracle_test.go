package export

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/tokenizer"
	"github.com/compressc/compressc/passes/blockwise"
)

// oracle runs testdata/oracle.py with the interpreter that COMPRESSC_PYTHON
// names and skips the test where there is none.
func oracle(t *testing.T, args ...string) string {
	t.Helper()
	python := os.Getenv("COMPRESSC_PYTHON")
	if python == "" {
		t.Skip("COMPRESSC_PYTHON names no Python interpreter with the packages of testdata/oracle.py")
	}
	cmd := exec.Command(python, append([]string{filepath.Join("testdata", "oracle.py")}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("oracle %s: %v\n%s", args[0], err, stderr.String())
	}
	return string(out)
}

// tensorsOf runs an oracle that writes tensors.
func tensorsOf(t *testing.T, command string, args ...string) map[string][]float32 {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.safetensors")
	at := len(args)
	if at > 1 && command != "blocks" && command != "packed" {
		at = 2
	} else {
		at = 1
	}
	oracle(t, append([]string{command}, slices.Insert(slices.Clone(args), at, out)...)...)
	f, err := safetensors.Open(out)
	check(t, err)
	defer f.Close()
	got := map[string][]float32{}
	for _, x := range f.Tensors() {
		got[x.Name] = make([]float32, x.Meta.Elements())
		check(t, decodeFloat(x.Meta.DType, got[x.Name], x.Bytes()))
	}
	return got
}

// toys are the architectures that other programs run.
var toys = map[string]string{"llama": toyLlama, "tied": toyTied, "scaled": toyScaled, "mistral": toyMistral, "qwen2": toyQwen2, "qwen3": toyQwen3}

var oracleIDs = func() (ids []int32) {
	for i := range int32(40) {
		ids = append(ids, (i*i*7+i*31+5)%256)
	}
	return ids
}()

func idList() string { return list(oracleIDs) }

func list(ids []int32) string {
	s := make([]string, len(ids))
	for i, id := range ids {
		s[i] = fmt.Sprint(id)
	}
	return strings.Join(s, ",")
}

// near compares logits: the largest difference relative to the largest logit.
func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d logits, expected %d", what, len(got), len(want))
	}
	diff, top := 0.0, 0.0
	for i := range want {
		diff = max(diff, math.Abs(float64(got[i])-float64(want[i])))
		top = max(top, math.Abs(float64(want[i])))
	}
	t.Logf("%s: logits up to %.2f differ by at most %.2g", what, top, diff)
	if !(diff <= tolerance*top) {
		t.Errorf("%s: logits up to %v differ by %v, more than %v of that", what, top, diff, tolerance)
	}
}

func TestOraclePacked(t *testing.T) {
	for _, s := range []grid.Spec{
		{Bits: 4, GroupSize: 32, Symmetric: true, ScaleDType: grid.F16},
		{Bits: 3, GroupSize: 32, ScaleDType: grid.F16},
		{Bits: 5, GroupSize: grid.RowGroup, ScaleDType: grid.F32},
		{Bits: 8, GroupSize: 64, Symmetric: true, ScaleDType: grid.F32},
	} {
		m := newToy(t, toyTied, wide(s))
		dir := export(t, m, Safetensors, folder(m, "f32", "auto", "")).save(t)
		got := tensorsOf(t, "packed", filepath.Join(dir, "out"))
		for i := range m.cfg.Layers {
			for _, l := range m.cfg.Linears() {
				want, err := blockwise.Dense(m.block(i), l.Name)
				check(t, err)
				for _, by := range []string{"numpy.", "library."} {
					equal(t, by+l.Name, got[by+m.cfg.BlockPrefix(i)+l.Name], want)
				}
			}
		}
	}
}

func TestOracleBlocks(t *testing.T) {
	for _, config := range []string{toyScaled, toyQwen3} {
		m := newToy(t, config, mixed)
		dir := export(t, m, GGUF, ggufFile(m, "f16", "")).save(t)
		got := tensorsOf(t, "blocks", filepath.Join(dir, "toy.gguf"))
		for i := range m.cfg.Layers {
			for _, l := range m.cfg.Linears() {
				want, err := blockwise.Dense(m.block(i), l.Name)
				check(t, err)
				if s := mixed(i, l.Name); s.spec == nil && s.encoding == "" {
					want = rounded(t, "F16", want)
				}
				if m.cfg.ModelType == "llama" && (l.Role == "attn.q" || l.Role == "attn.k") {
					stored := make([]float32, len(want))
					for r := range l.Out {
						j := gguf.RotarySource(r, m.cfg.HeadDim)
						copy(stored[r*l.In:(r+1)*l.In], want[j*l.In:(j+1)*l.In])
					}
					want = stored
				}
				name, _ := gguf.GGUFName(m.cfg.BlockPrefix(i) + l.Weight())
				equal(t, name, got[name], want)
			}
		}
	}
}

// transformersTolerance is what float32 arithmetic in another order costs.
const transformersTolerance = 1e-5

// symmetric is mixed without zero points, which compressed-tensors 0.20 packs
// and cannot load: on its meta device their parameter has the unpacked shape.
func symmetric(block int, linear string) layer {
	l := mixed(block, linear)
	if l.spec != nil {
		s := *l.spec
		s.Symmetric = true
		l.spec = &s
	}
	return l
}

func TestOracleTransformers(t *testing.T) {
	for name, config := range toys {
		t.Run(name, func(t *testing.T) {
			for _, layout := range []string{"dense", "auto"} {
				m := newToy(t, config, symmetric)
				dir := export(t, m, Safetensors, folder(m, "f32", layout, "")).save(t)
				got := tensorsOf(t, "transformers", filepath.Join(dir, "out"), idList())
				near(t, layout, got["logits"], m.logits(t, oracleIDs), transformersTolerance)
			}
		})
	}
}

// sided has side paths of several ranks beside some layers.
func sided(block int, linear string) layer {
	switch {
	case linear == "self_attn.q_proj" || linear == "mlp.up_proj":
		return layer{sides: []int{4}}
	case block == 1 && linear == "mlp.down_proj":
		return layer{sides: []int{2, 3}}
	}
	return layer{}
}

func TestOraclePEFT(t *testing.T) {
	m := newToy(t, toyLlama, sided)
	dir := export(t, m, Safetensors, folder(m, "f32", "auto", "file")).save(t)
	got := tensorsOf(t, "transformers", filepath.Join(dir, "out"), idList(), filepath.Join(dir, "out", "adapter"))
	near(t, "adapter", got["logits"], m.logits(t, oracleIDs), transformersTolerance)
	plain := tensorsOf(t, "transformers", filepath.Join(dir, "out"), idList())
	if slices.Equal(plain["logits"], got["logits"]) {
		t.Error("the adapter changes nothing")
	}
	merged := export(t, m, Safetensors, folder(m, "f32", "auto", "merge")).save(t)
	got = tensorsOf(t, "transformers", filepath.Join(merged, "out"), idList())
	near(t, "merged", got["logits"], m.logits(t, oracleIDs), transformersTolerance)
}

// llama.cpp rounds activations to 8 bits before it multiplies them with blocks,
// and to f16 before f16 weights; with f32 weights it computes as others do.
const (
	llamaTolerance  = 1e-4
	blocksTolerance = 0.05
)

func TestOracleLlama(t *testing.T) {
	for name, config := range toys {
		t.Run(name, func(t *testing.T) {
			m := newToy(t, config, same(layer{}))
			n := len(oracleIDs) * m.cfg.Vocab
			if w := m.cfg.SlidingWindow; w > 0 {
				n = w * m.cfg.Vocab // beyond it llama.cpp sees more; the type rule warns
			}
			dir := export(t, m, GGUF, ggufFile(m, "f32", "")).save(t)
			got := tensorsOf(t, "llama", filepath.Join(dir, "toy.gguf"), idList())
			near(t, "f32", got["logits"][:n], m.logits(t, oracleIDs)[:n], llamaTolerance)

			m = newToy(t, config, mixed)
			dir = export(t, m, GGUF, ggufFile(m, "f16", "")).save(t)
			got = tensorsOf(t, "llama", filepath.Join(dir, "toy.gguf"), idList())
			near(t, "codes", got["logits"][:n], m.logits(t, oracleIDs)[:n], blocksTolerance)
		})
	}
}

func TestOracleLlamaAdapter(t *testing.T) {
	m := newToy(t, toyLlama, sided)
	dir := export(t, m, GGUF, ggufFile(m, "f32", "file")).save(t)
	got := tensorsOf(t, "llama", filepath.Join(dir, "toy.gguf"), idList(), filepath.Join(dir, "toy-adapter.gguf"))
	near(t, "adapter", got["logits"], m.logits(t, oracleIDs), llamaTolerance)
	plain := tensorsOf(t, "llama", filepath.Join(dir, "toy.gguf"), idList())
	if slices.Equal(plain["logits"], got["logits"]) {
		t.Error("the adapter changes nothing")
	}
}

func TestOracleTokenizer(t *testing.T) {
	m := newToy(t, toyLlama, same(layer{}))
	dir := export(t, m, Safetensors, folder(m, "f16", "auto", "")).save(t)
	const text = "Héllo,\n world 123<|endoftext|>"
	var got struct {
		IDs      []int32 `json:"ids"`
		BOS, EOS *int32
	}
	check(t, json.Unmarshal([]byte(oracle(t, "tokenizer", filepath.Join(dir, "out"), text)), &got))
	if want := tokenizer.ByteLevel().Encode(text); !slices.Equal(got.IDs, want) {
		t.Errorf("ids %v, expected %v", got.IDs, want)
	}
	if got.BOS == nil || *got.BOS != 256 || got.EOS == nil || *got.EOS != 256 {
		t.Errorf("BOS %v and EOS %v, expected 256", got.BOS, got.EOS)
	}
}

// The reference model, decoded and written as a folder, gives in transformers
// the logits that were recorded of it, and its tokenizer the tokens.
func TestOracleReferenceModel(t *testing.T) {
	dir := referenceDir(t)
	if os.Getenv("COMPRESSC_PYTHON") == "" {
		t.Skip("COMPRESSC_PYTHON names no Python interpreter with the packages of testdata/oracle.py")
	}
	golden, err := safetensors.Open(filepath.Join(dir, "golden", "logits64.safetensors"))
	check(t, err)
	defer golden.Close()
	var ids []int32
	var last4 []float32
	for _, x := range golden.Tensors() {
		switch x.Name {
		case "input_ids":
			for i := range x.Meta.Elements() {
				ids = append(ids, int32(binary.LittleEndian.Uint32(x.Bytes()[4*i:])))
			}
		case "logits_last4":
			last4 = make([]float32, x.Meta.Elements())
			check(t, decodeFloat(x.Meta.DType, last4, x.Bytes()))
		}
	}
	m, cp := reopen(t, filepath.Join(dir, referenceModel))
	m.model = asModel(t, m, cp)
	out := filepath.Join(export(t, m, Safetensors, folder(m, "f32", "auto", "")).save(t), "out")
	got := tensorsOf(t, "transformers", out, list(ids))["logits"]
	near(t, "transformers", got[len(got)-len(last4):], last4, 1e-4)

	const text = "In 1813 she wrote: “It is a truth…” <|im_end|>\n\tfor i := 0; i < 10; i++"
	tok, err := cp.Tokenizer()
	check(t, err)
	var tokens struct {
		IDs []int32 `json:"ids"`
	}
	check(t, json.Unmarshal([]byte(oracle(t, "tokenizer", out, text)), &tokens))
	if want := tok.Encode(text); !slices.Equal(tokens.IDs, want) {
		t.Errorf("ids %v, expected %v", tokens.IDs, want)
	}
}
