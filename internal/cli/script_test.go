package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/reapi/reapitest"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/internal/tokenizer"
	"github.com/compressc/compressc/lang/lock"
)

// TestMain makes the program available to scripts and tests as "compressc".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"compressc": func() {
			os.Exit(Main(os.Args[1:], Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
		},
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: os.Getenv("COMPRESSC_UPDATE") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("COMPRESSC_CACHE_DIR", filepath.Join(e.WorkDir, ".cache"))
			e.Setenv("NO_COLOR", "1")
			e.Setenv("HF_HUB_OFFLINE", "1") // nothing of a test is on the network
			if err := writeModel(filepath.Join(e.WorkDir, "model"), 32); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(e.WorkDir, "text.txt"), text(6000), 0o666)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": scriptExits, "truncate": scriptTruncate, "lyinggguf": scriptLyingGGUF, "othertokenizer": scriptOtherTokenizer, "text": scriptText, "damage": scriptDamage, "runids": scriptRunIDs,
			"remoteserver": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Setenv("REMOTE", reapitest.New(t, reapitest.Faults{}).Address)
			},
			"older": scriptOlder, "sameblocks": scriptSameBlocks, "replace": scriptReplace, "server": scriptServer,
		},
	})
}

// scriptExits runs the program and wants an exit status: exits CODE ARG...
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("compressc", args[1:]...)
	got := 0
	var e *exec.ExitError
	if errors.As(err, &e) {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("compressc %s: exit status %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// scriptReplace replaces a text in all files that a pattern matches:
// replace PATTERN OLD NEW
func scriptReplace(ts *testscript.TestScript, _ bool, args []string) {
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	found := false
	for _, name := range names {
		raw, err := os.ReadFile(name)
		ts.Check(err)
		found = found || bytes.Contains(raw, []byte(args[1]))
		ts.Check(os.WriteFile(name, bytes.ReplaceAll(raw, []byte(args[1]), []byte(args[2])), 0o666))
	}
	if !found {
		ts.Fatalf("%q is in no file that matches %s", args[1], args[0])
	}
}

// scriptTruncate cuts a file: truncate FILE BYTES
func scriptTruncate(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), n))
}

// scriptLyingGGUF writes a GGUF file whose header promises 2⁶⁰ tensors.
func scriptLyingGGUF(ts *testscript.TestScript, _ bool, args []string) {
	b := []byte("GGUF")
	b = binary.LittleEndian.AppendUint32(b, 3)
	b = binary.LittleEndian.AppendUint64(b, 1<<60)
	b = binary.LittleEndian.AppendUint64(b, 0)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o666))
}

// scriptOtherTokenizer copies a model and gives it a tokenizer of its own:
// othertokenizer FROM TO
func scriptOtherTokenizer(ts *testscript.TestScript, _ bool, args []string) {
	from, to := ts.MkAbs(args[0]), ts.MkAbs(args[1])
	ts.Check(os.CopyFS(to, os.DirFS(from)))
	raw, err := os.ReadFile(filepath.Join(from, "tokenizer.json"))
	ts.Check(err)
	// One byte's token gets another byte's place.
	other := bytes.Replace(raw, []byte(`"a":`), []byte(`"a0":`), 1)
	if bytes.Equal(raw, other) {
		ts.Fatalf("no token to rename in %s", from)
	}
	ts.Check(os.WriteFile(filepath.Join(to, "tokenizer.json"), other, 0o666))
}

// scriptText writes text: text FILE BYTES
func scriptText(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text(n), 0o666))
}

// scriptSameBlocks makes block 1 of a model a copy of block 0: sameblocks MODEL
func scriptSameBlocks(ts *testscript.TestScript, _ bool, args []string) {
	path := filepath.Join(ts.MkAbs(args[0]), "model.safetensors")
	raw, err := os.ReadFile(path)
	ts.Check(err)
	f, err := safetensors.Parse(path, raw)
	ts.Check(err)
	var list []safetensors.WriteTensor
	for _, t := range f.Tensors() {
		from := t
		if rest, ok := strings.CutPrefix(t.Name, "model.layers.1."); ok {
			if from, ok = f.Tensor("model.layers.0." + rest); !ok {
				ts.Fatalf("block 0 has no %s", rest)
			}
		}
		list = append(list, safetensors.WriteTensor{Name: t.Name, Meta: from.Meta, Data: func() ([]byte, error) { return from.Bytes(), nil }})
	}
	var out bytes.Buffer
	ts.Check(safetensors.Write(&out, list, map[string]string{"format": "pt"}))
	ts.Check(os.WriteFile(path, out.Bytes(), 0o666))
}

// scriptDamage flips a bit of the largest blob of a cache: damage CACHE
func scriptDamage(ts *testscript.TestScript, _ bool, args []string) {
	var largest string
	var size int64
	ts.Check(filepath.WalkDir(filepath.Join(ts.MkAbs(args[0]), "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	}))
	b, err := os.ReadFile(largest)
	ts.Check(err)
	b[len(b)/2] ^= 1
	ts.Check(os.Chmod(largest, 0o644))
	ts.Check(os.WriteFile(largest, b, 0o644))
}

// scriptRunIDs sets FIRST and SECOND to the IDs of two records: runids A B
func scriptRunIDs(ts *testscript.TestScript, _ bool, args []string) {
	for i, name := range []string{"FIRST", "SECOND"} {
		var rec struct {
			ID string `json:"id"`
		}
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[i])), &rec))
		ts.Setenv(name, rec.ID)
	}
}

// text is n bytes that look a little like words.
func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		for range 2 + r.IntN(6) {
			b.WriteByte("etaoinshrdlu"[r.IntN(12)])
		}
		b.WriteByte(' ')
	}
	return b.Bytes()[:n]
}

// writeModel writes a Llama of two blocks with random weights and the byte
// tokenizer.
func writeModel(dir string, hidden int) error {
	config, err := json.Marshal(map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_act": "silu",
		"hidden_size": hidden, "intermediate_size": 2 * hidden, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
		"head_dim": hidden / 2, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "vocab_size": tokenizer.ByteLevel().VocabSize(),
		"max_position_embeddings": 128, "tie_word_embeddings": true, "torch_dtype": "float32",
	})
	if err != nil {
		return err
	}
	cfg, err := arch.ParseConfig(config)
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(3, 4))
	var ts []safetensors.WriteTensor
	add := func(name string, shape []int, scale float64) {
		n := 1
		for _, d := range shape {
			n *= d
		}
		var data []byte
		for range n {
			x := float32((r.Float64()*2 - 1) * scale)
			if len(shape) == 1 {
				x = 1
			}
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
		}
		ts = append(ts, safetensors.WriteTensor{Name: name, Meta: tensor.Meta{DType: tensor.F32, Shape: shape}, Data: func() ([]byte, error) { return data, nil }})
	}
	add(cfg.EmbedName(), []int{cfg.Vocab, cfg.Hidden}, 0.5)
	add(cfg.FinalNormName(), []int{cfg.Hidden}, 0)
	for b := range cfg.Layers {
		for _, t := range cfg.BlockTensors() {
			add(cfg.BlockPrefix(b)+t.Name, t.Shape, 0.3)
		}
	}
	var weights bytes.Buffer
	if err := safetensors.Write(&weights, ts, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for name, data := range map[string][]byte{"config.json": config, "model.safetensors": weights.Bytes(), "tokenizer.json": tokenizer.ByteLevel().ToJSON()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return fmt.Errorf("fixture: %w", err)
		}
	}
	return nil
}

// scriptOlder makes a lock file that of a program whose kernels were one
// version behind: older FILE
func scriptOlder(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	src, err := os.ReadFile(path)
	ts.Check(err)
	f, err := lock.Parse(src, path)
	ts.Check(err)
	for name := range f.Kernels {
		f.Kernels[name]--
	}
	f.Version = "0.0.9"
	ts.Check(os.WriteFile(path, f.Format(), 0o666))
}
