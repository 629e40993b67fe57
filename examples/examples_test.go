// Package examples holds pipelines to start from, and the test that each still
// does what its text and the README say.
package examples

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/cli"
	"github.com/compressc/compressc/internal/record"
)

// command runs the program in this process.
func command(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = cli.Main(args, cli.Streams{In: strings.NewReader(""), Out: &o, Err: &e})
	return code, o.String(), e.String()
}

// workspace is a copy of the pipelines, so that exports leave this folder alone.
func workspace(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pipelines")
	if err := os.CopyFS(dir, os.DirFS("pipelines")); err != nil {
		t.Fatal(err)
	}
	// What somebody has exported here would be found to be right already.
	for _, name := range []string{"quickstart", "smollm2"} {
		if err := os.RemoveAll(filepath.Join(dir, name, "out")); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func run(t *testing.T, cache, pipeline string, flags ...string) *record.Record {
	t.Helper()
	args := append([]string{"run", "-cache-dir", cache, "-progress", "plain", "-json"}, flags...)
	code, out, errs := command(t, append(args, pipeline)...)
	if code != cli.ExitOK {
		t.Fatalf("exit status %d:\n%s", code, errs)
	}
	rec := &record.Record{}
	if err := json.Unmarshal([]byte(out), rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

// perplexities by evaluation, and by rank where a sweep made several.
func perplexities(t *testing.T, rec *record.Record) map[string]float64 {
	t.Helper()
	m := map[string]float64{}
	for _, e := range rec.Evaluations {
		name := strings.TrimPrefix(e.Name, "evaluate.")
		if rank, ok := e.Point["side.rank"]; ok {
			name += fmt.Sprint(rank)
		}
		v := e.Metrics["perplexity"]
		if v == nil {
			t.Fatalf("%s has no perplexity", name)
		}
		m[name] = *v
	}
	return m
}

// The examples' own tests pass.
func TestPipelineTests(t *testing.T) {
	dir := filepath.Join(workspace(t), "quickstart")
	code, out, errs := command(t, "test", "-cache-dir", t.TempDir(), dir)
	if code != cli.ExitOK || !strings.Contains(out, "3 passed, 0 failed") {
		t.Errorf("exit status %d:\n%s%s", code, out, errs)
	}
}

func TestQuickstart(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: runs the whole quickstart")
	}
	dir, cache := filepath.Join(workspace(t), "quickstart"), t.TempDir()
	rec := run(t, cache, dir)
	if rec.Actions.Cached != 0 {
		t.Errorf("%d actions were cached in an empty cache", rec.Actions.Cached)
	}

	// Each is worse than the one before by at least so much.
	p := perplexities(t, rec)
	t.Log(p)
	for _, c := range []struct {
		better, worse string
		atLeast       float64
	}{
		{"dense", "sparsegpt", 1.004},
		{"sparsegpt", "magnitude", 1.08},
		{"healed", "sparsegpt", 1.002},
		{"healed", "quantized", 1.001},
		{"final32", "quantized", 1.002},
	} {
		if better, worse := p[c.better], p[c.worse]; better == 0 || worse == 0 {
			t.Errorf("no perplexity of %s or %s", c.better, c.worse)
		} else if better*c.atLeast > worse {
			t.Errorf("%s %.4f and %s %.4f: expected at least %g times as much", c.better, p[c.better], c.worse, p[c.worse], c.atLeast)
		}
	}
	// A byte that is one of 256 equally likely ones has 256.
	if p["dense"] > 4.5 {
		t.Errorf("the model has a perplexity of %.3f; it has learnt too little to show anything", p["dense"])
	}
	if len(rec.Selections) != 1 {
		t.Errorf("%d selections, expected one", len(rec.Selections))
	}
	for _, s := range rec.Selections {
		if s.Winner != "compensate.final[side.rank=4]" {
			t.Errorf("%s is %q, expected the smallest that is nearly as good as the best", s.Name, s.Winner)
		}
	}

	t.Run("digests", func(t *testing.T) { checkDigests(t, "quickstart.digests", digests(t, dir, rec)) })

	t.Run("again", func(t *testing.T) {
		again := run(t, cache, dir)
		if again.Actions.Run != 0 {
			t.Errorf("%d actions ran again", again.Actions.Run)
		}
		for _, e := range again.Exports {
			for _, f := range e.Files {
				if f.Written {
					t.Errorf("%s was written again", f.Path)
				}
			}
		}
		if a, b := digests(t, dir, rec), digests(t, dir, again); a != b {
			t.Errorf("the second run has other digests:\n%s\nthan the first:\n%s", b, a)
		}
	})
}

// digests lists what a run yielded, a line each: nodes by address, and files by
// their path in the pipeline's folder.
func digests(t *testing.T, dir string, rec *record.Record) string {
	t.Helper()
	lines := map[string]string{}
	add := func(name string, p record.Point, digest string) {
		if len(p) > 0 {
			at, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			name += " " + string(at)
		}
		lines[name] = digest
	}
	for _, n := range rec.Nodes {
		if n.Digest != "" && n.Verb != "export" {
			add(n.Name, n.Point, n.Digest)
		}
	}
	for _, e := range rec.Exports {
		for _, f := range e.Files {
			path, err := filepath.Rel(dir, f.Path)
			if err != nil {
				t.Fatal(err)
			}
			add(e.Name+" "+filepath.ToSlash(path), nil, f.Digest)
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintf(&b, "%s %s\n", lines[name], name)
	}
	return b.String()
}

// The same text and sources give the same bits on every machine; a change of
// this file means that a kernel has changed, and belongs with a new version of
// it. COMPRESSC_UPDATE=1 rewrites it.
func checkDigests(t *testing.T, name, got string) {
	golden := filepath.Join("testdata", name)
	if os.Getenv("COMPRESSC_UPDATE") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	known := map[string]bool{}
	for line := range strings.Lines(string(want)) {
		known[line] = true
	}
	for line := range strings.Lines(got) {
		if !known[line] {
			t.Errorf("not as in %s: %s", golden, line)
		}
		delete(known, line)
	}
	for line := range known {
		t.Errorf("only in %s: %s", golden, line)
	}
}

// Every folder with a pipeline is sound and in the canonical style.
func TestValid(t *testing.T) {
	t.Setenv("HF_HUB_CACHE", t.TempDir()) // what is said of absent models must not depend on this machine
	files, err := filepath.Glob("pipelines/*/*.pipeline.hcl")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 4 {
		t.Fatalf("found only %v", files)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			if code, _, errs := command(t, "validate", dir); code != cli.ExitOK {
				t.Errorf("validate: exit status %d:\n%s", code, errs)
			} else if strings.Contains(errs, "Warning") {
				t.Errorf("validate warns:\n%s", errs)
			}
			if code, out, _ := command(t, "fmt", "-check", "-diff", dir); code != cli.ExitOK {
				t.Errorf("fmt -check: exit status %d:\n%s", code, out)
			}
		})
	}
}

// The promise of the quickstart's first lines: any other model goes the same
// way, with other values and not one other line.
func TestSamePipeline(t *testing.T) {
	a, err := os.ReadFile("pipelines/quickstart/compress.pipeline.hcl")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("pipelines/smollm2/compress.pipeline.hcl")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("quickstart and smollm2 are not the same pipeline")
	}
}
