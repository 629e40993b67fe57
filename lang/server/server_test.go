package server

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"pgregory.net/rapid"

	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes/all"
)

func testServer(t testing.TB) *Server {
	t.Helper()
	reg, err := lang.NewRegistry(all.Passes()...)
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Registry: reg, Check: func(dir string, overlay map[string][]byte) Checked {
		p, diags := lang.Load(dir, lang.Options{Registry: reg, Overlay: overlay})
		return Checked{Pipeline: p, Diags: diags}
	}})
}

// open puts a text into a server without having it checked.
func (s *Server) open(path, text string) { s.docs[path] = &document{text: []byte(text)} }

// A byte's position means that byte, whatever characters there are and however
// they are counted.
func TestPositions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(rapid.StringOf(rapid.SampledFrom([]rune("ab\né🙂字\t"))).Draw(t, "text"))
		e := rapid.SampledFrom([]encoding{utf8Units, utf16Units}).Draw(t, "encoding")
		for i := range string(text) { // the beginnings of characters
			if got := e.offset(text, e.position(text, i)); got != i {
				t.Fatalf("%s: byte %d of %q is at %v, which means byte %d", e, i, text, e.position(text, i), got)
			}
		}
		if p := e.position(text, len(text)); e.offset(text, p) != len(text) {
			t.Fatalf("the end of %q is at %v", text, p)
		}
	})
	for _, c := range []struct {
		enc  encoding
		text string
		p    position
		want int
	}{
		{utf16Units, "🙂x", position{0, 2}, 4},
		{utf8Units, "🙂x", position{0, 4}, 4},
		{utf16Units, "a\nb", position{0, 99}, 1},
		{utf16Units, "a\r\nb", position{0, 99}, 1},
		{utf16Units, "a\nb", position{7, 0}, 3},
		{utf8Units, "ab", position{0, -1}, 0},
	} {
		if got := c.enc.offset([]byte(c.text), c.p); got != c.want {
			t.Errorf("%s: %v in %q is byte %d, want %d", c.enc, c.p, c.text, got, c.want)
		}
	}
}

func TestPaths(t *testing.T) {
	for _, path := range []string{"/a/b.pipeline.hcl", "/with space/ü.hcl", "/a#b?c"} {
		if got := pathOf(uriOf(path)); filepath.ToSlash(got) != path {
			t.Errorf("%s becomes %s and %s", path, uriOf(path), got)
		}
	}
	if pathOf("untitled:Untitled-1") != "" {
		t.Error("an untitled document has a path")
	}
}

func TestNames(t *testing.T) {
	const src = `variable "n" {
  validation {
    condition     = var.n > 0
    error_message = "${var.n} is too small"
  }
}
locals {
  a = var["n"]
}
sweep "grid" "s" {
  rank  = [1, 2]
  where = axis.rank > local.a
}
prune "wanda" "p" {
  requires = [gate.g]
  model    = model.base
  sparsity = { x = prune.q["k"].size }["x"]
}
output "o" {
  value = [for r in all.evaluate.e : r.perplexity if sweep.s.rank > module.m["k"].out]
}
`
	f, diags := hclsyntax.ParseConfig([]byte(src), "f.pipeline.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var got []string
	for _, n := range names(map[string]*hcl.File{"f.pipeline.hcl": f}) {
		at := src[n.at.Start.Byte:n.at.End.Byte]
		mark := ""
		if n.declares {
			mark = "!"
		}
		got = append(got, mark+n.addr)
		if !strings.HasSuffix(n.addr, "."+at) {
			t.Errorf("%s stands at %q", n.addr, at)
		}
	}
	want := strings.Fields(`!var.n var.n var.n !local.a var.n !sweep.s !sweep.s.rank sweep.s.rank local.a
		!prune.p gate.g model.base prune.q !output.o evaluate.e sweep.s sweep.s.rank module.m module.m.out`)
	// A for expression's own variable is no name of the language's.
	got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "axis.") || strings.HasPrefix(s, "r.") })
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

// Applying the edit of formatting gives the canonical text.
func TestFormatting(t *testing.T) {
	for _, text := range []string{"", "a {\n}\n", "a {\nx=1\n}\n", "model \"x\" {\n  source=\"é🙂\"\n\n\n   revision = \"y\"\n}", "locals {\na=1\nbb=2\n}\nlocals {\n  c = 1\n}\n", "a {\r\nx=1\r\n}\r\n", "broken {"} {
		for _, enc := range []encoding{utf8Units, utf16Units} {
			s := testServer(t)
			s.enc = enc
			path := filepath.Join(t.TempDir(), "x.pipeline.hcl")
			s.open(path, text)
			edits, err := s.formatting(context.Background(), documentParams{documentID{uriOf(path)}})
			if err != nil {
				t.Fatal(err)
			}
			got := text
			for _, e := range edits {
				got = got[:enc.offset([]byte(text), e.Range.Start)] + e.NewText + got[enc.offset([]byte(text), e.Range.End):]
			}
			want, _ := lang.Format([]byte(text), "x")
			if got != string(want) {
				t.Errorf("%q becomes %q, want %q", text, got, want)
			}
		}
	}
}

// Wherever the caret stands in whatever text, the server answers.
func FuzzPlaces(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join("..", "..", "examples", "pipelines", "*", "*.pipeline.hcl"))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no examples: %v", err)
	}
	for _, p := range paths {
		src, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		for _, at := range []int{0, len(src) / 3, len(src)} {
			f.Add(string(src), at)
		}
	}
	f.Add("prune \"wanda\" \"x\" {\n  model = \n}\n", 29)
	f.Add("sweep \"grid\" \"s\" {\n  where = axis.\n}\nmodule \"m\" {\n  source = \".\"\n}\n", 30)
	f.Fuzz(func(t *testing.T, text string, at int) {
		s := testServer(t)
		path := filepath.Join(t.TempDir(), "x.pipeline.hcl")
		s.open(path, text)
		p := positionParams{documentID{uriOf(path)}, s.enc.position([]byte(text), at)}
		ctx := context.Background()
		if _, err := s.completion(ctx, p); err != nil {
			t.Error(err)
		}
		if _, err := s.hover(ctx, p); err != nil {
			t.Error(err)
		}
		if _, err := s.definition(ctx, p); err != nil {
			t.Error(err)
		}
		if _, err := s.references(ctx, referenceParams{positionParams: p}); err != nil {
			t.Error(err)
		}
		if _, err := s.documentSymbol(ctx, documentParams{p.TextDocument}); err != nil {
			t.Error(err)
		}
		if r, err := s.rename(ctx, renameParams{p, "renamed"}); err == nil {
			for uri, edits := range r.Changes {
				if uri != p.TextDocument.URI || len(edits) == 0 {
					t.Errorf("edits of %s: %v", uri, edits)
				}
			}
		}
	})
}

// Names of a module from git are found in the folder that the program knows for
// it.
func TestModuleFromGit(t *testing.T) {
	dir, checkout := t.TempDir(), t.TempDir()
	const source = "git::https://example.com/r.git//recipe?ref=v1"
	module := filepath.Join(checkout, "m.pipeline.hcl")
	if err := os.WriteFile(module, []byte("variable \"bits\" {\n}\noutput \"size\" {\n  value = var.bits\n}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	s := testServer(t)
	path := filepath.Join(dir, "p.pipeline.hcl")
	s.open(path, "module \"m\" {\n  source = \""+source+"\"\n  bits = 4\n}\noutput \"o\" {\n  value = module.m.size\n}\n")
	if f, n := s.declaration(s.parseFolder(dir), "module.m.size"); n != nil {
		t.Fatalf("found in %s without a folder", f.dir)
	}
	s.opt.Modules = func(d, text string) string {
		if d != dir || text != source {
			t.Errorf("asked for %s in %s", text, d)
		}
		return checkout
	}
	f, n := s.declaration(s.parseFolder(dir), "module.m.size")
	if n == nil || f.dir != checkout || n.at.Filename != module || n.at.Start.Line != 3 {
		t.Errorf("the output is at %+v", n)
	}
}
