package tokenizer

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/compressc/compressc/internal/format/gguf"
)

// referenceDir returns the folder of reference models and texts, or skips.
func referenceDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("COMPRESSC_REFERENCE")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "reference")
	}
	if _, err := os.Stat(filepath.Join(dir, "README.md")); err != nil {
		t.Skipf("no reference models at %s (set COMPRESSC_REFERENCE)", dir)
	}
	return dir
}

var smolLM2Vocab = sync.OnceValues(func() (GGUFVocab, error) {
	dir := os.Getenv("COMPRESSC_REFERENCE")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "reference")
	}
	f, err := gguf.Open(filepath.Join(dir, "smollm2-135m-instruct-q4_1.gguf"))
	if err != nil {
		return GGUFVocab{}, err
	}
	defer f.Close()
	g := GGUFVocab{BOS: -1, EOS: -1}
	g.Model, _ = f.KVs.String("tokenizer.ggml.model")
	g.Pre, _ = f.KVs.String("tokenizer.ggml.pre")
	g.Tokens, _ = f.KVs.Strings("tokenizer.ggml.tokens")
	g.Merges, _ = f.KVs.Strings("tokenizer.ggml.merges")
	types, _ := f.KVs.Ints("tokenizer.ggml.token_type")
	for _, k := range types {
		g.TokenTypes = append(g.TokenTypes, int32(k))
	}
	g.AddBOS, _ = f.KVs.Bool("tokenizer.ggml.add_bos_token")
	if id, ok := f.KVs.Int("tokenizer.ggml.bos_token_id"); ok {
		g.BOS = id
	}
	if id, ok := f.KVs.Int("tokenizer.ggml.eos_token_id"); ok {
		g.EOS = id
	}
	return g, nil
})

func smolLM2(t testing.TB) *Tokenizer {
	t.Helper()
	referenceDir(t)
	g, err := smolLM2Vocab()
	if err != nil {
		t.Fatal(err)
	}
	tok, err := FromGGUF(g)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

type goldenLine struct {
	Text string  `json:"text"`
	IDs  []int32 `json:"ids"`
}

func readGolden(t testing.TB, path string) []goldenLine {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []goldenLine
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var g goldenLine
		if err := json.Unmarshal(sc.Bytes(), &g); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		lines = append(lines, g)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestReferenceTokens(t *testing.T) {
	tok := smolLM2(t)
	lines := readGolden(t, filepath.Join(referenceDir(t), "golden", "tokens.jsonl"))
	if len(lines) != 221 {
		t.Fatalf("%d golden lines, want 221", len(lines))
	}
	for i, g := range lines {
		got := tok.Encode(g.Text)
		if !slices.Equal(got, g.IDs) {
			t.Errorf("line %d: %q:\n got %v\nwant %v", i+1, g.Text, got, g.IDs)
		}
		if back := tok.Decode(g.IDs); back != g.Text {
			t.Errorf("line %d: decodes to %q, want %q", i+1, back, g.Text)
		}
	}
}

func TestReferenceTexts(t *testing.T) {
	tok := smolLM2(t)
	for file, want := range map[string]int{"calib.txt": 656324, "test.txt": 510504} {
		raw, err := os.ReadFile(filepath.Join(referenceDir(t), "text", file))
		if err != nil {
			t.Fatal(err)
		}
		ids := tok.Encode(string(raw))
		if len(ids) != want {
			t.Errorf("%s: %d tokens, want %d", file, len(ids), want)
		}
		if serial := tok.encode(string(raw), true, 1); !slices.Equal(serial, ids) {
			t.Errorf("%s: parallel and serial ids differ", file)
		}
		if tok.Decode(ids) != string(raw) {
			t.Errorf("%s does not decode to itself", file)
		}
	}
}

func TestReferenceFirstWindow(t *testing.T) {
	tok := smolLM2(t)
	dir := referenceDir(t)
	raw, err := os.ReadFile(filepath.Join(dir, "golden", "ppl4.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		IDs []int32 `json:"first_window_ids"`
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "text", "test.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.Encode(string(text[:8192])); len(golden.IDs) != 512 || !slices.Equal(got[:512], golden.IDs) {
		t.Errorf("first window:\n got %v\nwant %v", got[:512], golden.IDs)
	}
}

func BenchmarkReference(b *testing.B) {
	tok := smolLM2(b)
	raw, err := os.ReadFile(filepath.Join(referenceDir(b), "text", "calib.txt"))
	if err != nil {
		b.Fatal(err)
	}
	for name, workers := range map[string]int{"serial": 1, "parallel": runtime.GOMAXPROCS(0)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				// A copy has no words remembered.
				tok.withEnds(-1, -1).encode(string(raw), true, workers)
			}
		})
	}
	g, err := smolLM2Vocab()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("FromGGUF", func(b *testing.B) {
		for b.Loop() {
			if _, err := FromGGUF(g); err != nil {
				b.Fatal(err)
			}
		}
	})
	file := tok.ToJSON()
	b.Run("FromJSON", func(b *testing.B) {
		for b.Loop() {
			if _, err := FromJSON(file); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Digest", func(b *testing.B) {
		for b.Loop() {
			tok.computeDigest()
		}
	})
}
