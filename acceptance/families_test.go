package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/tokenizer"
)

// What is done to models of the families with LayerNorm, learned positions and
// an MLP without a gate: a method of each verb, one on what another made.
const familyPipeline = `
model "m" {
  source = "MODEL"
}
data "text" "golden" {
  source          = "golden.txt"
  tokenizer       = model.m
  sequence_length = 48
  samples         = 1
}
data "text" "calib" {
  source          = "text.txt"
  tokenizer       = model.m
  sequence_length = 32
  samples         = 6
}
prune "magnitude" "magnitude" {
  model    = model.m
  sparsity = 0.3
}
prune "wanda" "wanda" {
  model    = model.m
  data     = data.calib
  sparsity = 0.3
}
prune "sparsegpt" "sparsegpt" {
  model    = model.m
  data     = data.calib
  sparsity = "2:4"
}
prune "flap" "flap" {
  model = model.m
  data  = data.calib
  ratio = 0.2
}
quantize "rtn" "rtn" {
  model      = model.m
  bits       = 8
  group_size = 32
}
quantize "gptq" "gptq" {
  model      = prune.sparsegpt
  data       = data.calib
  bits       = 4
  group_size = 32
}
compensate "eora" "eora" {
  model     = quantize.gptq
  reference = model.m
  data      = data.calib
  rank      = 4
}
retrain "lora" "lora" {
  model = model.m
  data  = data.calib
  rank  = 2
  steps = 3
}
retrain "perp" "perp" {
  model     = prune.sparsegpt
  reference = model.m
  data      = data.calib
  train     = ["lora", "biases", "norms"]
  rank      = 2
  mode      = "reconstruct"
  steps     = 3
}
retrain "perp" "whole" {
  model = prune.sparsegpt
  data  = data.calib
  train = ["lora", "biases", "norms"]
  mode  = "retrain"
  rank  = 2
  steps = 3
}
quantize "awq" "awq" {
  model      = model.m
  data       = data.calib
  bits       = 8
  group_size = -1
}
transform "smooth" "smooth" {
  model = model.m
  data  = data.calib
}
merge "linear" "mean" {
  models = [model.m, retrain.lora]
}
export "safetensors" "same" {
  model = model.m
  path  = "same"
  dtype = "f32"
}
export "safetensors" "pruned" {
  model = prune.sparsegpt
  path  = "pruned"
  dtype = "f32"
}
`

// normsPipeline takes the mean out of the residual stream of familyPipeline's
// model, and compresses what comes out.
const normsPipeline = `
transform "rmsnorm" "rms" {
  model  = model.m
  verify = data.golden
}
transform "rmsnorm" "affine" {
  model       = model.m
  fold_affine = false
  verify      = data.golden
}
transform "rmsnorm" "twice" {
  model = transform.rms
}
transform "crmsnorm" "crms" {
  model  = model.m
  verify = data.golden
}
transform "rmsnorm" "sided" {
  model  = compensate.lorc
  verify = data.golden
}
retrain "lora" "source" {
  model = model.m
  data  = data.calib
  rank  = 2
  steps = 20
}
merge "adapter" "kept" {
  model   = model.m
  adapter = retrain.source.adapter
  merge   = "keep"
}
transform "crmsnorm" "narrow" {
  model  = merge.kept
  verify = data.golden
}
compensate "lorc" "lorc" {
  model     = prune.readers
  reference = model.m
  targets   = ["*.o_proj", "*.down_proj", "*.q_proj"]
  rank      = 3
}
prune "magnitude" "readers" {
  model    = model.m
  sparsity = 0.5
  targets  = ["*.k_proj", "*.up_proj"]
}
`

// after compresses the model of a block of normsPipeline.
const after = `
prune "flap" "KIND_flap" {
  model = transform.KIND
  data  = data.calib
  ratio = 0.2
}
prune "sparsegpt" "KIND_pruned" {
  model    = transform.KIND
  data     = data.calib
  sparsity = 0.3
}
quantize "gptq" "KIND_coded" {
  model      = prune.KIND_pruned
  data       = data.calib
  bits       = 4
  group_size = -1
}
compensate "eora" "KIND_eora" {
  model     = quantize.KIND_coded
  reference = transform.KIND
  data      = data.calib
  rank      = 4
}
transform "smooth" "KIND_smooth" {
  model = transform.KIND
  data  = data.calib
}
retrain "lora" "KIND_lora" {
  model = transform.KIND
  data  = data.calib
  rank  = 2
  steps = 3
}
retrain "perp" "KIND_perp" {
  model = prune.KIND_pruned
  data  = data.calib
  train = ["lora", "biases", "norms"]
  mode  = "retrain"
  rank  = 2
  steps = 3
}
merge "linear" "KIND_mean" {
  models = [transform.KIND, retrain.KIND_lora]
}
`

// evaluated are the models of familyPipeline that are measured.
var evaluated = []string{"model.m", "prune.magnitude", "prune.wanda", "prune.sparsegpt", "prune.flap", "quantize.rtn", "quantize.gptq", "quantize.awq",
	"compensate.eora", "retrain.lora", "retrain.perp", "retrain.whole", "merge.mean", "transform.smooth"}

func lossOf(model string) string {
	return fmt.Sprintf("evaluate \"perplexity\" \"%s\" {\n  model = %s\n  data  = data.golden\n}\n", strings.ReplaceAll(model, ".", "_"), model)
}

// GPT-2 and OPT through the real actions: the loss of the dense model is that of
// the golden logits; every method runs and leaves a finite loss; what is exported
// unchanged is the source's file, and what was pruned reads back with its loss.
func TestFamilies(t *testing.T) {
	r := reference(t)
	for _, name := range []string{"gpt2", "opt"} {
		t.Run(name, func(t *testing.T) {
			dir, ids, logits := familyFolder(t, r, name)
			text := strings.ReplaceAll(familyPipeline, "MODEL", "tiny")
			for _, m := range evaluated {
				text += lossOf(m)
			}
			write := func(file string, data []byte) {
				t.Helper()
				if err := os.WriteFile(filepath.Join(dir, file), data, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			path, store := filepath.Join(dir, "f.pipeline.hcl"), filepath.Join(dir, "cache")
			write("f.pipeline.hcl", []byte(text))
			rec := runChain(t, RunOptions{Pipeline: path, CacheDir: store})
			nll := func(model string) float64 {
				t.Helper()
				e := FindEvaluation(rec, "evaluate."+strings.ReplaceAll(model, ".", "_"), "")
				if e == nil || e.Metrics["nll"] == nil {
					t.Fatalf("%s was not measured", model)
				}
				return *e.Metrics["nll"]
			}
			want := meanLoss(ids, logits)
			if got := nll("model.m"); !(math.Abs(got-want) < 1e-5) {
				t.Errorf("loss %.7f; the golden logits give %.7f", got, want)
			}
			for _, m := range evaluated {
				t.Logf("%-16s %.5f", m, nll(m))
				if x := nll(m); !(x > 0 && x < 20) || m != "model.m" && x == nll("model.m") {
					t.Errorf("%s: loss %v", m, x)
				}
			}
			for _, m := range []string{"quantize.rtn", "quantize.awq"} {
				if d := math.Abs(nll(m) - want); d > 0.01 {
					t.Errorf("%s: 8 bits move the loss by %v", m, d)
				}
			}
			if d := math.Abs(nll("transform.smooth") - want); d > 1e-5 {
				t.Errorf("smoothing moves the loss by %v", d)
			}

			sameFile(t, filepath.Join(r.Tiny(name), "model.safetensors"), filepath.Join(dir, "same", "model.safetensors"))
			pruned := filepath.Join(dir, "pruned")
			again := strings.Split(familyPipeline, "prune ")[0]
			write("again.pipeline.hcl", []byte(strings.ReplaceAll(again, "MODEL", filepath.ToSlash(pruned))+lossOf("model.m")))
			back := FindEvaluation(runChain(t, RunOptions{Pipeline: filepath.Join(dir, "again.pipeline.hcl"), CacheDir: store}), "evaluate.model_m", "")
			if back == nil || *back.Metrics["nll"] != nll("prune.sparsegpt") {
				t.Errorf("what was exported has another loss than %v", nll("prune.sparsegpt"))
			}
			if cp, err := checkpoint.Open(pruned); err != nil || cp.Config.ModelType != name {
				t.Errorf("%v, %v", cp, err)
			}
		})
	}
}

// The transformations of norms keep what GPT-2 and OPT compute, and what follows
// them runs.
func TestNorms(t *testing.T) {
	r := reference(t)
	for _, name := range []string{"gpt2", "opt"} {
		t.Run(name, func(t *testing.T) {
			dir, ids, logits := familyFolder(t, r, name)
			text := strings.ReplaceAll(familyPipeline, "MODEL", "tiny")
			text, _, _ = strings.Cut(text, "\nprune ")
			text += normsPipeline
			models := []string{"model.m", "transform.rms", "transform.affine", "transform.twice", "transform.crms", "compensate.lorc", "transform.sided", "merge.kept", "transform.narrow"}
			same := map[string]string{"transform.sided": "compensate.lorc", "transform.narrow": "merge.kept"}
			exact := len(models)
			for _, kind := range []string{"rms", "affine", "crms"} {
				text += strings.ReplaceAll(after, "KIND", kind)
				for _, m := range []string{"prune.KIND_flap", "quantize.KIND_coded", "compensate.KIND_eora", "transform.KIND_smooth", "retrain.KIND_lora", "retrain.KIND_perp", "merge.KIND_mean"} {
					models = append(models, strings.ReplaceAll(m, "KIND", kind))
				}
			}
			for _, m := range models {
				text += lossOf(m)
			}
			exported := []string{"prune.rms_flap", "retrain.affine_lora", "retrain.crms_perp"}
			for _, m := range exported {
				text += fmt.Sprintf("export \"safetensors\" %[1]q {\n  model  = %s\n  path   = %[1]q\n  dtype  = \"f32\"\n  layout = \"native\"\n%[3]s}\n", strings.ReplaceAll(m, ".", "_"), m, map[bool]string{true: "  adapters = \"merge\"\n"}[strings.Contains(m, "lora")])
			}
			path := filepath.Join(dir, "f.pipeline.hcl")
			if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
			rec := runChain(t, RunOptions{Pipeline: path, CacheDir: filepath.Join(dir, "cache")})
			nll := func(model string) float64 {
				t.Helper()
				e := FindEvaluation(rec, "evaluate."+strings.ReplaceAll(model, ".", "_"), "")
				if e == nil || e.Metrics["nll"] == nil {
					t.Fatalf("%s was not measured", model)
				}
				return *e.Metrics["nll"]
			}
			want := meanLoss(ids, logits)
			for i, m := range models {
				if i < exact && m != "compensate.lorc" && m != "merge.kept" {
					of := want
					if before, ok := same[m]; ok {
						of = nll(before)
					}
					if x := nll(m); !(math.Abs(x-of) < 1e-5) {
						t.Errorf("%s: loss %.7f, expected %.7f", m, x, of)
					}
				}
				if x := nll(m); !(x > 0 && x < 20) {
					t.Errorf("%s: loss %v", m, x)
				}
				t.Logf("%-24s %.6f", m, nll(m))
			}
			for _, node := range []string{"transform.rms", "transform.affine", "transform.crms", "transform.sided", "transform.narrow"} {
				n := FindNode(rec, node, "")
				if n == nil {
					t.Fatalf("no node %s", node)
				}
				numbers := n.Layers["logits"]
				t.Logf("%s: %v", node, numbers)
				if d, ok := numbers["largest_difference"]; !ok || d > 1e-4 || numbers["same_argmax"] != 1 {
					t.Errorf("%s: logits %v", node, numbers)
				}
			}
			// A native folder is a source that computes what the model did.
			for _, m := range exported {
				folder := strings.ReplaceAll(m, ".", "_")
				again := strings.ReplaceAll(text[:strings.Index(text, "\ntransform ")], `"tiny"`, fmt.Sprintf("%q", folder)) + "\n" + lossOf("model.m")
				if err := os.WriteFile(filepath.Join(dir, "again.pipeline.hcl"), []byte(again), 0o666); err != nil {
					t.Fatal(err)
				}
				back := FindEvaluation(runChain(t, RunOptions{Pipeline: filepath.Join(dir, "again.pipeline.hcl"), CacheDir: filepath.Join(dir, "cache")}), "evaluate.model_m", "")
				if back == nil || !(math.Abs(*back.Metrics["nll"]-nll(m)) < 1e-6) {
					t.Errorf("%s was exported, and has another loss than %v", m, nll(m))
				}
			}
		})
	}
}

// familyFolder returns a folder with the tiny model of a family, as "tiny", and
// texts, and the model's golden tokens and logits.
func familyFolder(t *testing.T, r Reference, name string) (dir string, ids []int32, logits []float32) {
	t.Helper()
	ids, logits = tinyGolden(t, r, name)
	dir = t.TempDir()
	words, tok := spelled(t, ids)
	if err := os.CopyFS(filepath.Join(dir, "tiny"), os.DirFS(r.Tiny(name))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "tiny", "golden.safetensors")); err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{
		"tiny/tokenizer.json": tok, "golden.txt": words,
		"text.txt": []byte(strings.Repeat("A weight that is small on an input that is large may matter. ", 20)),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir, ids, logits
}

// spelled returns a text whose tokens are ids, and the tokenizer.json by which
// they are: printable characters have changed places with the bytes of these
// values, which are no text.
func spelled(t *testing.T, ids []int32) (text, tokenizerJSON []byte) {
	t.Helper()
	bytes := tokenizer.ByteLevel()
	var doc map[string]any
	if err := json.Unmarshal(bytes.ToJSON(), &doc); err != nil {
		t.Fatal(err)
	}
	vocab := doc["model"].(map[string]any)["vocab"].(map[string]any)
	letters, next := map[int32]byte{}, byte('!')
	for _, id := range ids {
		if _, known := letters[id]; !known {
			letters[id] = next
			next++
		}
		text = append(text, letters[id])
	}
	at := map[int32]int32{} // the byte whose token a value has now
	for i := range int32(256) {
		at[i] = i
	}
	where := func(value int32) (b int32) {
		for b, v := range at {
			if v == value {
				return b
			}
		}
		panic("no such value")
	}
	for id, c := range letters {
		from := where(id)
		at[from], at[int32(c)] = at[int32(c)], id
	}
	for b, id := range at {
		vocab[bytes.Name(b)] = id
	}
	tokenizerJSON, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return text, tokenizerJSON
}

// meanLoss is the mean negative log-likelihood of the tokens after the first.
func meanLoss(ids []int32, logits []float32) float64 {
	vocab, total := len(logits)/len(ids), 0.0
	for i, id := range ids[1:] {
		sum := 0.0
		for _, l := range logits[i*vocab : (i+1)*vocab] {
			sum += math.Exp(float64(l))
		}
		total += math.Log(sum) - float64(logits[i*vocab+int(id)])
	}
	return total / float64(len(ids)-1)
}

// sameFile compares two safetensors files tensor by tensor.
func sameFile(t *testing.T, want, got string) {
	t.Helper()
	a, err := safetensors.Open(want)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := safetensors.Open(got)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	is := map[string]*safetensors.Tensor{}
	for _, x := range b.Tensors() {
		is[x.Name] = x
	}
	for _, x := range a.Tensors() {
		y := is[x.Name]
		delete(is, x.Name)
		switch {
		case y == nil && x.Name == "lm_head.weight": // an alias
		case y == nil:
			t.Errorf("%s has no %s", got, x.Name)
		case fmt.Sprint(x.Meta) != fmt.Sprint(y.Meta) || !bytes.Equal(x.Bytes(), y.Bytes()):
			t.Errorf("%s: %s is not that of the source", got, x.Name)
		}
	}
	for n := range is {
		t.Errorf("%s has %s, which the source has not", got, n)
	}
}
