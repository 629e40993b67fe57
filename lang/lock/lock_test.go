package lock

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/format/compressedtensors"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/tensor"
)

func anyFile(t *rapid.T) *File {
	word := rapid.StringMatching(`[a-z0-9 ."${}%]{1,12}`)
	f := &File{Version: word.Draw(t, "version"), Numerics: word.Draw(t, "numerics"), Kernels: map[string]int{}}
	for range rapid.IntRange(0, 3).Draw(t, "kernels") {
		f.Kernels[word.Draw(t, "kernel")] = rapid.IntRange(1, 9).Draw(t, "impl")
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "models") {
		m := Model{Source: fmt.Sprint(i, word.Draw(t, "source")), Revision: rapid.SampledFrom([]string{"", "main"}).Draw(t, "revision"), Digest: word.Draw(t, "digest"),
			Config: []byte(`{"a":[1,2.5,1e-05],"b":{"c":null,"d":true},"e":"$` + "{x}" + `"}`)}
		seen := map[string]bool{}
		for range rapid.IntRange(0, 12).Draw(t, "tensors") {
			name := rapid.StringMatching(`(model\.layers\.[0-9]{1,2}\.)?[ab]\.weight`).Draw(t, "name")
			if seen[name] {
				continue
			}
			seen[name] = true
			meta := rapid.SampledFrom([]tensor.Meta{{DType: tensor.BF16, Shape: []int{4, 6}}, {DType: tensor.F32, Shape: []int{7}},
				{DType: tensor.F32, Encoding: "q4_1", Shape: []int{2, 32}, RotaryHeadDim: 2}}).Draw(t, "meta")
			bytes := int64(meta.Elements() * meta.DType.Size())
			if meta.Encoding != "" {
				bytes = 40
			}
			m.Tensors = append(m.Tensors, Tensor{name, meta, bytes})
		}
		if rapid.Bool().Draw(t, "quantized") {
			m.Quantized = map[string]compressedtensors.Stored{"model.layers.1.a": {Spec: grid.Spec{Bits: 4, GroupSize: 32}}, "model.layers.2.a": {Spec: grid.Spec{Bits: 4, GroupSize: 32}}}
		}
		f.Models = append(f.Models, m)
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "data") {
		f.Adapters = append(f.Adapters, Adapter{Source: fmt.Sprint(i, word.Draw(t, "text")), Revision: rapid.SampledFrom([]string{"", "main"}).Draw(t, "revision"), Commit: rapid.SampledFrom([]string{"", "c0"}).Draw(t, "commit"), Digest: "d", Alpha: rapid.Float64Range(0, 64).Draw(t, "alpha"),
			Layers: []AdapterLayer{{Path: "model.layers.0.mlp.up_proj", Rank: 4, Out: 64, In: 32, Scale: rapid.Float64Range(-2, 2).Draw(t, "scale")},
				{Path: "model.layers.1.mlp.up_proj", Rank: rapid.IntRange(1, 9).Draw(t, "rank"), Out: 64, In: 32, Scale: 1}}})
		f.Modules = append(f.Modules, Module{Source: fmt.Sprint("git::", i, word.Draw(t, "module")), Commit: rapid.StringMatching(`[0-9a-f]{40}`).Draw(t, "commit"), Digest: word.Draw(t, "digest")})
		f.Data = append(f.Data, Data{Source: fmt.Sprint(i, word.Draw(t, "text")), Digest: "d", Bytes: rapid.Int64Range(0, 1<<40).Draw(t, "bytes")})
	}
	return f
}

// What is written is read, and writing it again gives the same bytes.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFile(t)
		text := f.Format()
		got, err := Parse(text, Name)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if again := got.Format(); !bytes.Equal(again, text) {
			t.Fatalf("written again it is\n%s\nwas\n%s", again, text)
		}
		for _, m := range f.Modules {
			if n := got.Module(m.Source); n == nil || *n != m {
				t.Fatalf("module %+v is %+v", m, n)
			}
		}
		for i, m := range f.Models {
			n := got.Model(m.Source, m.Revision)
			if n == nil || len(n.Tensors) != len(m.Tensors) || !reflect.DeepEqual(n.Quantized, m.Quantized) {
				t.Fatalf("model %d is %+v, was %+v", i, n, m)
			}
			for _, want := range m.Tensors {
				found := false
				for _, have := range n.Tensors {
					found = found || have.Name == want.Name && reflect.DeepEqual(have, want)
				}
				if !found {
					t.Fatalf("tensor %+v is lost:\n%s", want, text)
				}
			}
		}
	})
}

// Tensors of equal shape in consecutive blocks are one line.
func TestFold(t *testing.T) {
	specs := map[string]string{"head.weight": "x", "layers.07.w": "x"}
	for _, i := range []int{0, 1, 2, 5, 6, 9} {
		specs[fmt.Sprintf("layers.%d.w", i)] = "x"
	}
	specs["layers.6.w"] = "y"
	var got []string
	for _, g := range fold(specs) {
		got = append(got, g.pattern+"="+g.spec)
	}
	want := "head.weight=x layers.07.w=x layers.5.w=x layers.6.w=y layers.9.w=x layers.{0-2}.w=x"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("%s\nwant %s", s, want)
	}
}

func TestParseErrors(t *testing.T) {
	const program = "program {\n  version = \"1\"\n  numerics = \"1\"\n  kernels = {}\n}\n"
	model := func(tensors string) string {
		return program + "model \"m\" {\n  digest = \"d\"\n  config = {}\n  tensors = {" + tensors + "}\n}\n"
	}
	for _, c := range []struct{ name, src, want string }{
		{"syntax", "program {", "Unclosed configuration block"},
		{"no program", "", "program"},
		{"an unknown argument", program + "data \"x\" {\n  digest = \"\"\n  bytes = 1\n  colour = 1\n}\n", "colour"},
		{"a shape", model(`"a" = "BF16 4x4"`), "expected a tensor's type and shape"},
		{"a range", model(`"a.{3-1}.b" = "BF16 [4]"`), "expected {first-last}"},
		{"a huge range", model(`"a.{0-99999999}.b" = "BF16 [4]"`), "numbers below"},
		{"twice", model("\"a.{0-2}.b\" = \"BF16 [4]\"\n\"a.1.b\" = \"BF16 [4]\""), "stands twice"},
		{"two entries", model("") + strings.TrimPrefix(model(""), program), "two entries"},
		{"a commit", program + "module \"m\" {\n  commit = \"../../x\"\n  digest = \"d\"\n}\n", "40 hexadecimal digits"},
		{"two modules", program + strings.Repeat("module \"m\" {\n  commit = \"0123456789012345678901234567890123456789\"\n  digest = \"d\"\n}\n", 2), "two entries"},
		{"config", program + "model \"m\" {\n  digest = \"d\"\n  config = 3\n  tensors = {}\n}\n", "expected an object"},
	} {
		if _, err := Parse([]byte(c.src), Name); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	if f, err := Read(dir); f != nil || err != nil {
		t.Fatalf("no file: %v, %v", f, err)
	}
	f := &File{Version: "1", Numerics: "2", Kernels: map[string]int{"k": 3}}
	if err := f.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil || !reflect.DeepEqual(got, f) {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, Name), []byte("model {"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "run that again") {
		t.Error(err)
	}
	if f.Model("x", "") != nil || f.Text("x") != nil || (*File)(nil).Model("x", "") != nil {
		t.Error("an entry out of nothing")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("program {\n  version = \"1\"\n  numerics = \"1\"\n  kernels = { a = 1 }\n}\nmodel \"m\" {\n  digest = \"d\"\n  config = { a = 1 }\n  tensors = { \"l.{0-3}.w\" = \"q4_1 [2, 32] rotary 2 40 bytes\" }\n}\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		file, err := Parse(src, Name)
		if err != nil {
			return
		}
		text := file.Format()
		again, err := Parse(text, Name)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !bytes.Equal(again.Format(), text) {
			t.Fatal("not stable")
		}
	})
}
