package migrate

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/schema"
)

// Each file of testdata and the pipeline and the notes that it gives.
func TestConvert(t *testing.T) {
	files := inputs(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Convert(src, "", Options{})
			if err != nil {
				t.Fatal(err)
			}
			prefix, _, _ := strings.Cut(filepath.Base(file), "_")
			if want := map[string]Kind{"recipe": LLMCompressor, "merge": Mergekit, "olive": Olive, "gptq": GPTQ}[prefix]; r.Kind != want {
				t.Errorf("taken for a file of %s, want %s", r.Kind, want)
			}
			var b strings.Builder
			b.Write(r.Pipeline)
			b.WriteString("-- notes --\n")
			for _, n := range r.Notes {
				b.WriteString(n.String() + "\n")
			}
			golden(t, strings.TrimSuffix(file, filepath.Ext(file))+".golden", b.String())
		})
	}
	if len(files) < 12 {
		t.Errorf("only %d files", len(files))
	}
}

// inputs are the files of testdata that are migrated.
func inputs(t testing.TB) []string {
	var files []string
	for _, ending := range []string{"yaml", "json"} {
		list, err := filepath.Glob(filepath.Join("testdata", "*."+ending))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, list...)
	}
	return files
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if os.Getenv("COMPRESSC_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; COMPRESSC_UPDATE=1 writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func TestConvertRefuses(t *testing.T) {
	for _, c := range []struct {
		name, src string
		kind      Kind
		want      string
	}{
		{"empty", "", "", "empty"},
		{"no YAML", "a: [", "", "neither JSON nor YAML"},
		{"something else", "apiVersion: v1\nkind: Pod\n", "", "none of those that can be migrated"},
		{"a list", "- a\n- b\n", "", "none of those"},
		{"AWQ", `{"quant_method": "awq", "bits": 4, "group_size": 128}`, "", `quant_method "awq"`},
		{"AutoAWQ", `{"w_bit": 4, "q_group_size": 128, "zero_point": true}`, "", "AutoAWQ"},
		{"five bits", `{"bits": 5, "group_size": 128}`, "", "2, 3, 4 or 8 bits here, not 5"},
		{"no bits", `{"quant_method": "gptq"}`, "", "names no bits"},
		{"group", `{"bits": 4, "group_size": -7}`, "", "-7 is no size"},
		{"no passes", `{"input_model": {}}`, "", "no passes"},
		{"no models", "merge_method: ties\n", "", "names no models"},
		{"forced", "merge_method: ties\n", LLMCompressor, "has no modifiers"},
		{"forced GPTQ", "- 1\n", GPTQ, "names no bits"},
		{"unknown kind", "a: b\n", "onnx", `no kind "onnx"`},
		{"deep", strings.Repeat("[", 200) + strings.Repeat("]", 200), "", "nested too deeply"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Convert([]byte(c.src), c.kind, Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// What the caller says goes over what the file says, and leaves no variables.
func TestOptions(t *testing.T) {
	for _, file := range inputs(t) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Convert(src, "", Options{Model: "org/name", Data: "my.jsonl"})
		if err != nil {
			t.Fatal(err)
		}
		text := string(r.Pipeline)
		if strings.Contains(text, "\nvariable ") || !strings.Contains(text, `"hf://org/name"`) ||
			strings.Contains(text, "data \"text\"") != strings.Contains(text, `"my.jsonl"`) {
			t.Errorf("%s:\n%s", file, text)
		}
	}
}

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		re   string
		want string
	}{
		{`.*q_proj`, "*q_proj"},
		{`.*\.down_proj$`, "*.down_proj"},
		{`model.layers.\d*$`, "model.layers.*"},
		{`model\.layers\.[0-3]\.mlp.*`, "model.layers.[0-3].mlp*"},
		{`.*(gate|up)_proj`, "*gate_proj *up_proj"},
		{`^model\.layers\.(0|31)\.`, "model.layers.0.* model.layers.31.*"},
		{`lm_head`, "lm_head*"},
		{`.*\.(?:1[5-9])\..*(?:up|gate).*`, "*.1[5-9].*gate* *.1[5-9].*up*"},
		{`a?b$`, "ab b"},
		{`a\*$`, "a[*]"},
	} {
		got, err := globs(c.re)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q %v, want %s", c.re, got, err, c.want)
		}
	}
	for _, re := range []string{`[^.]+\.mlp`, `a{3}x+`, `(?=x)`, `(`, `a$b`, strings.Repeat(`(aa|bb)`, 7)} {
		if got, err := globs(re); err == nil {
			t.Errorf("%s: %q", re, got)
		}
	}
}

// Globs match the layers that the expression matches.
func TestGlobsMatch(t *testing.T) {
	part := rapid.SampledFrom([]string{`.*`, `\.`, `model\.`, `layers\.`, `[0-9]`, `\d+`, `1`, `(0|12)`, `mlp`, `self_attn`, `(?:q|k)_proj`, `down_proj`, `.*proj`, `gate`, `$`, `^`, `(up_)?proj`})
	rapid.Check(t, func(t *rapid.T) {
		re := strings.Join(rapid.SliceOfN(part, 1, 6).Draw(t, "parts"), "")
		list, err := globs(re)
		if err != nil {
			t.Skip(err)
		}
		expression := regexp.MustCompile("^(?:" + re + ")")
		for _, l := range linears {
			for _, name := range paths[l][:40] {
				got := slices.ContainsFunc(list, func(g string) bool { return schema.MatchGlob(g, name) })
				// \d+ becomes *, which may match more than digits.
				if want := expression.MatchString(name); got != want && (want || !strings.Contains(re, `\d+`)) {
					t.Fatalf("%s as %q: %s is matched: %t, want %t", re, list, name, got, want)
				}
			}
		}
	})
}
