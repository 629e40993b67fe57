package planner

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/compressc/compressc/lang"
)

// update rewrites what the golden files expect: COMPRESSC_UPDATE=1 go test.
var update = os.Getenv("COMPRESSC_UPDATE") != ""

// load loads and expands texts by file name.
func load(t testing.TB, files map[string][]byte, opt lang.Options) (*Expansion, hcl.Diagnostics) {
	t.Helper()
	opt.Registry = fakeRegistry(t)
	p, diags := lang.LoadFiles(".", files, opt)
	x, more := Expand(p, fakeSources())
	return x, lang.Merge(diags, more)
}

// TestGolden expands each testdata/*.txtar and compares the diagnostics, the
// nodes, or both, as the archive asks by its files "diagnostics" and "nodes".
// The comment's line "vars: a=1 b=2" gives -var values.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files := map[string][]byte{}
			for _, f := range archive.Files {
				if strings.Contains(f.Name, ".hcl") {
					files[f.Name] = f.Data
				}
			}
			opt := lang.Options{Overlay: map[string][]byte{}}
			for name, src := range files {
				if strings.Contains(name, "/") { // a module's
					opt.Overlay[name] = src
					delete(files, name)
				}
			}
			for _, line := range strings.Split(string(archive.Comment), "\n") {
				if vars, ok := strings.CutPrefix(line, "vars: "); ok {
					for _, v := range strings.Fields(vars) {
						k, value, _ := strings.Cut(v, "=")
						opt.Inputs = append(opt.Inputs, lang.Input{Name: k, Value: value})
					}
				}
			}
			x, diags := load(t, files, opt)
			var text strings.Builder
			if err := lang.WriteText(&text, diags, x.Pipeline.Files, lang.TextOptions{Width: 90}); err != nil {
				t.Fatal(err)
			}
			for _, n := range x.Nodes {
				if found, err := x.Find(n.Addr()); err != nil || !slices.Contains(found, n) {
					t.Errorf("%s finds %v, %v", n.Addr(), found, err)
				}
			}
			got := map[string]string{"diagnostics": text.String(), "nodes": nodesText(x)}
			seen := map[string]bool{}
			for i, f := range archive.Files {
				want, ok := got[f.Name]
				if !ok {
					continue
				}
				seen[f.Name] = true
				if update {
					archive.Files[i].Data = []byte(want)
				} else if string(f.Data) != want {
					t.Errorf("%s differ: got\n%s\nwant\n%s", f.Name, want, f.Data)
				}
			}
			if !seen["diagnostics"] {
				t.Error("the archive has no file called diagnostics")
			}
			if update {
				if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// nodesText is one line a node: its ID, marks, and what it waits for.
func nodesText(x *Expansion) string {
	var b strings.Builder
	for _, n := range x.Nodes {
		fmt.Fprint(&b, n.ID())
		for _, mark := range []struct {
			is   bool
			word string
		}{{!n.Enabled, "disabled"}, {n.Broken, "broken"}, {n.Deferred && !n.Broken, "deferred"}, {!n.Needed, "unneeded"}} {
			if mark.is {
				fmt.Fprint(&b, " ", mark.word)
			}
		}
		if n.Settled != nil {
			fmt.Fprintf(&b, " settled:%s %q", n.Settled.Decision, n.Settled.Message)
		}
		fmt.Fprintln(&b)
		for _, l := range []struct {
			word string
			list []*Node
		}{{"needs", n.DependsOn}, {"watches", n.Watches}, {"requires", n.Requires}, {"candidate", n.Candidates}} {
			for _, m := range l.list {
				fmt.Fprintf(&b, "  %s %s\n", l.word, m.ID())
			}
		}
	}
	return b.String()
}
