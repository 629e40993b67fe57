package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/record"
)

// anyPlan is a plan of a few blocks at a few points.
func anyPlan(t *rapid.T, label string) *planReport {
	r := &planReport{FormatVersion: planFormat}
	seen := map[string]bool{}
	for range rapid.IntRange(0, 6).Draw(t, label) {
		n := planNode{Name: rapid.SampledFrom([]string{"prune.a", "prune.b", "model.m"}).Draw(t, "name"), Verb: "prune",
			Method: rapid.SampledFrom([]string{"wanda", "magnitude"}).Draw(t, "method"), Point: record.Point{"s.x": rapid.IntRange(0, 2).Draw(t, "point")},
			Arguments: map[string]any{"bits": rapid.IntRange(2, 3).Draw(t, "bits"), "targets": []string{"<&>"}}}
		if rapid.Bool().Draw(t, "typed") {
			n.Model = &record.Model{Bytes: int64(rapid.IntRange(1, 2).Draw(t, "bytes"))}
		}
		key := n.Name + string(rawJSON(n.Point))
		if !seen[key] {
			seen[key] = true
			r.Nodes = append(r.Nodes, n)
		}
	}
	return r
}

// throughJSON is a plan as a file holds it.
func throughJSON(t *rapid.T, r *planReport) *planReport {
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var out planReport
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

// Nothing is different from itself, read from a file or not, and what comes one
// way goes the other.
func TestCompare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := anyPlan(t, "from"), anyPlan(t, "to")
		if r := compare(planSnapshot("x", x), planSnapshot("x", throughJSON(t, x)), "plans"); !r.Equal {
			t.Fatalf("a plan is different from itself: %+v", r)
		}
		there, back := compare(planSnapshot("x", x), planSnapshot("y", y), "plans"), compare(planSnapshot("y", y), planSnapshot("x", x), "plans")
		count := func(r *diffReport, change string) (n int) {
			for _, b := range r.Blocks {
				if b.Change == change {
					n += len(b.Points)
				}
			}
			return n
		}
		if count(there, diffAdded) != count(back, diffRemoved) || count(there, diffRemoved) != count(back, diffAdded) ||
			count(there, diffChanged) != count(back, diffChanged) || len(there.Models) != len(back.Models) || there.Equal != back.Equal {
			t.Fatalf("%+v and back %+v", there, back)
		}
		if n := len(x.Nodes) + count(there, diffAdded) - count(there, diffRemoved); n != len(y.Nodes) {
			t.Fatalf("%d blocks become %d, by %+v", len(x.Nodes), len(y.Nodes), there.Blocks)
		}
	})
}

// A run that gives another result from the same arguments is marked.
func TestCompareRuns(t *testing.T) {
	one, two := 1.0, 2.0
	run := func(digest string, m *float64, gate, file string) *snapshot {
		return runSnapshot(&record.Record{ID: digest, Nodes: []record.Node{{Name: "prune.a", Digest: digest, Arguments: map[string]any{"x": 1}}},
			Evaluations: []record.Evaluation{{Name: "evaluate.p", Metrics: map[string]*float64{"perplexity": m}}},
			Gates:       []record.Gate{{Name: "gate.g", Status: gate}},
			Exports:     []record.Export{{Files: []record.File{{Path: "out", Digest: file}}}}})
	}
	r := compare(run("d1", &one, "passed", "f1"), run("d2", &two, "failed", "f2"), "runs")
	if r.Equal || len(r.Blocks) != 1 || r.Blocks[0].Change != diffResult || len(r.Metrics) != 1 || len(r.Decisions) != 1 || len(r.Files) != 1 {
		t.Errorf("%+v", r)
	}
	var out bytes.Buffer
	a := &app{Streams: Streams{Out: &out, Err: &out}, noColor: true}
	a.showDiff(r)
	golden(t, "diff_runs.txt", out.String())
	if r := compare(run("d1", &one, "passed", "f1"), run("d1", &one, "passed", "f1"), "runs"); !r.Equal {
		t.Errorf("%+v", r)
	}
}

// Files that are no plans and no records are refused with what is expected.
func FuzzFileSnapshot(f *testing.F) {
	f.Add([]byte(`{"format_version":"1.1","work":true,"nodes":[{"name":"a.b","point":{"x":1},"arguments":{"n":null}}]}`))
	f.Add([]byte(`{"format_version":"1.4","id":"x","nodes":[],"evaluations":[{"name":"e","metrics":{"p":null}}]}`))
	f.Add([]byte(`{"compressc_plan":"1","plan":{"format_version":"1.0","work":false}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, src []byte) {
		path := filepath.Join(t.TempDir(), "x.json")
		if err := os.WriteFile(path, src, 0o666); err != nil {
			t.Fatal(err)
		}
		s, err := fileSnapshot(path)
		if err != nil {
			return
		}
		if r := compare(s, s, s.kind); len(r.Metrics)+len(r.Files)+len(r.Decisions) != 0 {
			t.Errorf("different from itself: %+v", r)
		}
	})
}
