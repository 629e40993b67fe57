package main

import (
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/internal/record"
)

// said is how often a run that goes on tells of it.
const said = 30 * time.Second

// sized are the variables by which each pipeline is made smaller.
var sized = map[string][]string{
	"rows":     {"targets", "windows", "steps"},
	"noise":    {"targets", "windows"},
	"exports":  {"targets", "windows", "steps"},
	"readback": {"windows"},
	"sharing":  {"targets", "windows"},
	"oneshot":  {"targets", "windows"},
	"chain":    {"targets", "windows", "steps"},
	"threads":  {"windows"},
}

// vars are the variables of a pipeline, besides more.
func (r *report) vars(pipeline string, more map[string]string) map[string]string {
	v := map[string]string{"reference": r.reference.Dir}
	if r.scale.small {
		values := map[string]string{"targets": `["model.layers.0.*"]`, "windows": fmt.Sprint(r.scale.windows), "steps": fmt.Sprint(r.scale.steps)}
		for _, name := range sized[pipeline] {
			v[name] = values[name]
		}
	}
	maps.Copy(v, more)
	return v
}

// run brings a pipeline of acceptance/pipelines about. o.Vars are further
// variables.
func (r *report) run(name string, o acceptance.RunOptions) (*record.Record, error) {
	o.Pipeline = pipelinePath(name)
	o.Vars = r.vars(name, o.Vars)
	start := time.Now()
	next := start.Add(said)
	o.Progress = func(e acceptance.Event) {
		if now := time.Now(); e.Actions != nil && now.After(next) {
			next = now.Add(said)
			log.Printf("    %s: %d of %d actions after %.0f s", name, e.Actions.Cached+e.Actions.Run, e.Actions.Total, now.Sub(start).Seconds())
		}
	}
	rec, err := r.program.Run(r.ctx, o)
	if err != nil {
		return nil, err
	}
	log.Printf("  pipeline %s: %d actions, %d of them cached, %.1f s", name, rec.Actions.Total, rec.Actions.Cached, time.Since(start).Seconds())
	return rec, nil
}

// session opens a pipeline of acceptance/pipelines on the rows' cache.
func (r *report) session(name string, more map[string]string) (*acceptance.Session, error) {
	text, err := os.ReadFile(pipelinePath(name))
	if err != nil {
		return nil, err
	}
	return acceptance.OpenSession(r.scratch, string(text), acceptance.SessionOptions{CacheDir: r.cache, Vars: r.vars(name, more)})
}

// empty is a folder for a cache that starts empty.
func (r *report) empty(name string) (string, error) {
	dir := filepath.Join(r.scratch, "cache-"+name)
	return dir, os.RemoveAll(dir)
}

// perplexity is that of an evaluation, which must have one.
func perplexity(rec *record.Record, name, point string) (float64, error) {
	e := acceptance.FindEvaluation(rec, "evaluate."+name, point)
	if e == nil || e.Metrics["perplexity"] == nil {
		return 0, fmt.Errorf("the run has no perplexity of evaluate.%s at %q", name, point)
	}
	return *e.Metrics["perplexity"], nil
}

// windowLosses are the summed losses of an evaluation's windows.
func windowLosses(rec *record.Record, name, point string) ([]float64, error) {
	e := acceptance.FindEvaluation(rec, "evaluate."+name, point)
	if e == nil {
		return nil, fmt.Errorf("the run has no evaluate.%s at %q", name, point)
	}
	var rep struct {
		Windows []float64 `json:"windows"`
	}
	if err := json.Unmarshal(e.Report, &rep); err != nil {
		return nil, fmt.Errorf("evaluate.%s: %w", name, err)
	}
	return rep.Windows, nil
}
