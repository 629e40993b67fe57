package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/record"
)

// sampleRecord has one of everything that a run can end in. It is read from
// JSON, as show does.
const sampleRecord = `{
  "format_version": "1.1", "id": "20260102T030405.000000000Z-abcdef", "pipeline": "/p", "time": "2026-01-02T03:04:05Z",
  "seconds": 83.2, "status": "failed", "peak_anon_bytes": 512000000, "axes": ["s.method", "r.rank"],
  "actions": {"total": 40, "cached": 10, "run": 20, "failed": 1, "skipped": 9},
  "nodes": [], "roots": [],
  "evaluations": [
    {"name": "evaluate.dense", "point": {}, "status": "cached", "of": "model.base", "metrics": {"nll": 3.0, "perplexity": 20.0855},
     "model": {"parameters": 1000, "bytes": 4000, "bits_per_weight": 32, "sparsity": 0}},
    {"name": "evaluate.ppl", "point": {"r.rank": 16, "s.method": "wanda"}, "status": "run", "of": "c.final[s.method=wanda,r.rank=16]", "metrics": {"nll": 3.1, "perplexity": 22.198},
     "model": {"parameters": 1000, "bytes": 900, "bits_per_weight": 4.5, "sparsity": 0.5}},
    {"name": "evaluate.ppl", "point": {"r.rank": 32, "s.method": "wanda"}, "status": "run", "of": "c.final[s.method=wanda,r.rank=32]", "metrics": {"nll": null, "perplexity": null}},
    {"name": "evaluate.ppl", "point": {"r.rank": 16, "s.method": "x"}, "status": "failed", "of": "c.final[s.method=x,r.rank=16]", "metrics": {"nll": null, "perplexity": null}},
    {"name": "evaluate.ppl", "point": {"r.rank": 32, "s.method": "x"}, "status": "withheld", "of": "c.final[s.method=x,r.rank=32]", "metrics": {"nll": null, "perplexity": null}},
    {"name": "evaluate.more", "point": {"r.rank": 16, "s.method": "wanda"}, "status": "run", "of": "model.base", "metrics": {"accuracy": 0.75}}
  ],
  "gates": [
    {"name": "gate.a", "point": {}, "status": "passed"},
    {"name": "gate.q", "point": {"r.rank": 16}, "status": "passed"},
    {"name": "gate.q", "point": {"r.rank": 32}, "status": "failed", "message": "too much lost"},
    {"name": "gate.q", "point": {"r.rank": 64}, "status": "undecided", "message": "what it depends on has failed"},
    {"name": "gate.q", "point": {"r.rank": 128}, "status": "undecided", "message": "what it depends on has failed"}
  ],
  "selections": [
    {"name": "select.best", "point": {}, "status": "ok", "winner": "c.final[s.method=wanda,r.rank=16]"},
    {"name": "select.none", "point": {}, "status": "failed", "error": "none of the 2 candidates can be chosen"}
  ],
  "exports": [
    {"name": "export.gguf", "point": {}, "status": "run", "files": [{"path": "out/m.gguf", "digest": "0123456789abcdef", "bytes": 95000000, "written": true}]},
    {"name": "export.hf", "point": {"r.rank": 32}, "status": "withheld"}
  ],
  "outputs": [
    {"name": "one", "output": {"value": 1.5}},
    {"name": "lost", "output": {"value": null, "reason": "evaluate.ppl.perplexity diverged"}},
    {"name": "many", "output": {"points": [{"point": {"r": {"rank": 16}}, "status": "ok", "value": 2}, {"point": {"r": {"rank": 32}}, "status": "failed", "value": null, "reason": "diverged"}]}}
  ],
  "failures": [
    {"name": "quantize.w4", "point": {"r.rank": 16}, "part": "block 3", "kernel": "quantize.gptq", "message": "the Hessian is singular; raise damping",
     "stopped": ["evaluate.a", "evaluate.b", "evaluate.c", "evaluate.d", "evaluate.e"]},
    {"name": "export.peft", "point": {}, "part": "files", "message": "export.peft: no space left on device"},
    {"name": "prune.p", "point": {}, "part": "block 0", "message": "the kernel panicked: index out of range", "detail": "prune.go:12"}
  ]
}`

func TestShowRecord(t *testing.T) {
	var rec record.Record
	if err := json.Unmarshal([]byte(sampleRecord), &rec); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	a := &app{Streams: Streams{Out: &out, Err: &errs}}
	if err := a.showFailures(&rec); err != nil {
		t.Fatal(err)
	}
	a.showRecord(&rec, true)
	golden(t, "record.txt", out.String())
	golden(t, "failures.txt", errs.String())
}

func TestFindRun(t *testing.T) {
	at := func(id, pipeline string, open bool) cache.RunInfo {
		return cache.RunInfo{ID: id, Pipeline: pipeline, Time: time.Unix(0, 0), Open: open}
	}
	dir := t.TempDir()
	all := []cache.RunInfo{at("20260105T1", "/else", true), at("20260104T1", "/else", false), at("20260103T2", dir+"/p.pipeline.hcl", false), at("20260103T1", dir, false)}
	for arg, want := range map[string]string{
		"":            "20260104T1",
		"20260104":    "20260104T1",
		"20260103":    `error: 2 runs begin with "20260103": 20260103T2, 20260103T1`,
		"20260105":    "error: run 20260105T1 of /else is under way, or was killed",
		"20260109":    `error: there is no run "20260109". The latest are 20260104T1, 20260103T2, 20260103T1.`,
		"20260104T11": `error: there is no run "20260104T11". Did you mean "20260104T1"?`,
		dir:           "20260103T2",
		"/else":       "20260104T1",
	} {
		var args []string
		if arg != "" {
			args = []string{arg}
		}
		r, err := findRun(all, args)
		got := r.ID
		if err != nil {
			got = "error: " + err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", arg, got, want)
		}
	}
	if _, err := findRun(nil, nil); err == nil || !strings.Contains(err.Error(), "nothing has been run") {
		t.Errorf("no runs: %v", err)
	}
	many := make([]cache.RunInfo, 8)
	for i := range many {
		many[i] = at(fmt.Sprintf("2026010%dT", i), "/x", false)
	}
	if got := idList(many); !strings.HasSuffix(got, "20260104T and 3 more") {
		t.Errorf("a list of eight: %s", got)
	}
}
