package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2/maybe"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/version"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/planner"
)

// savedPlanVersion is the format of saved plans: of another major version they
// are refused.
const savedPlanVersion = "1.0"

// savedPlan is a plan as "plan -out" writes it: the whole text and the values
// that the actions follow from, and what they were, so that a run of it does
// exactly this or says what has changed.
type savedPlan struct {
	Format  string `json:"compressc_plan"`
	Version string `json:"compressc_version"`
	// Pipeline is the absolute path of the folder or file, Dir its folder.
	Pipeline string `json:"pipeline"`
	Dir      string `json:"dir"`
	// Text by path from Dir. Inputs of files have theirs here by absolute path.
	Text   map[string]string `json:"text"`
	Inputs []savedInput      `json:"inputs,omitempty"`
	// Environ are the values of variables from the environment.
	Environ []string `json:"environment,omitempty"`
	Targets []string `json:"targets,omitempty"`
	Points  []string `json:"points,omitempty"`
	// Sources are the digests of models and data by address.
	Sources map[string]string `json:"sources"`
	// Actions identifies all actions: the digest of their sorted definition keys.
	Actions string `json:"actions"`
	// Report is what "plan -json" printed.
	Report json.RawMessage `json:"plan"`
}

type savedInput struct {
	File  string `json:"file,omitempty"`
	Name  string `json:"name,omitempty"`
	Value string `json:"value,omitempty"`
}

// savePlan writes a plan. Values of sensitive variables are not kept: they do
// not decide what is computed.
func savePlan(path, pipeline string, l *loaded, in *inputs, cut cutFlags, plan *planner.Plan, report any) error {
	dir, err := filepath.Abs(l.pipeline.Dir)
	if err != nil {
		return err
	}
	s := savedPlan{Format: savedPlanVersion, Version: version.Number, Pipeline: pipelineName(pipeline), Dir: dir, Text: map[string]string{},
		Targets: cut.targets, Points: cut.points, Sources: sourceDigests(plan), Actions: actionsDigest(plan)}
	if s.Report, err = json.Marshal(report); err != nil {
		return err
	}
	for name, f := range l.pipeline.Files {
		abs, err := filepath.Abs(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, abs)
		if err != nil {
			rel = abs
		}
		s.Text[filepath.ToSlash(rel)] = string(f.Bytes)
	}
	sensitive := map[string]bool{}
	for _, b := range l.pipeline.Blocks {
		if b.Kind == lang.KindVariable && b.Sensitive {
			sensitive[b.Name] = true
		}
	}
	for _, i := range in.order {
		if sensitive[i.Name] {
			continue
		}
		file := i.File
		if file != "" {
			if file, err = filepath.Abs(file); err != nil {
				return err
			}
		}
		s.Inputs = append(s.Inputs, savedInput{File: file, Name: i.Name, Value: i.Value})
	}
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, lang.EnvPrefix) && !sensitive[strings.TrimPrefix(name, lang.EnvPrefix)] {
			s.Environ = append(s.Environ, e)
		}
	}
	slices.Sort(s.Environ)
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return maybe.WriteFile(path, append(raw, '\n'), 0o600) // values may be private
}

// readPlan reads a saved plan; it is nil where the file is something else.
func readPlan(path string) (*savedPlan, error) {
	if lang.IsPipelineFile(path) {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		return nil, nil // the loader says what is wrong
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(raw[:min(len(raw), 100)], []byte(`"compressc_plan"`)) {
		return nil, nil
	}
	var s savedPlan
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%s is a damaged plan: %w. Make it again with plan -out", path, err)
	}
	if major, _, _ := strings.Cut(s.Format, "."); major != "1" {
		return nil, fmt.Errorf("%s is a plan of format %s, and this program (%s) reads %s. Make it again with plan -out", path, s.Format, version.Number, savedPlanVersion)
	}
	return &s, nil
}

// options are how the plan's pipeline is loaded: from the text as it was.
func (s *savedPlan) options(o lang.Options) (files map[string][]byte, _ lang.Options) {
	files, o.Overlay = map[string][]byte{}, map[string][]byte{}
	single := lang.IsPipelineFile(s.Pipeline)
	for name, text := range s.Text {
		path := filepath.FromSlash(name)
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.Dir, path)
		}
		o.Overlay[path] = []byte(text)
		isInput := slices.ContainsFunc(s.Inputs, func(i savedInput) bool { return i.File == path })
		if single && path == s.Pipeline || !single && filepath.Dir(path) == s.Dir && !isInput {
			files[path] = []byte(text)
		}
	}
	for _, i := range s.Inputs {
		o.Inputs = append(o.Inputs, lang.Input{File: i.File, Name: i.Name, Value: i.Value})
	}
	o.Environ = slices.Clone(s.Environ)
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, lang.EnvPrefix) && !slices.ContainsFunc(s.Environ, func(t string) bool { return strings.HasPrefix(t, name+"=") }) {
			o.Environ = append(o.Environ, e) // sensitive ones, and those of others
		}
	}
	return files, o
}

// check compares a plan that was made again with what was saved.
func (s *savedPlan) check(path string, plan *planner.Plan) error {
	now := sourceDigests(plan)
	for _, addr := range slices.Sorted(maps.Keys(s.Sources)) {
		if now[addr] != s.Sources[addr] {
			return fmt.Errorf("%s cannot be run: the source of %s has changed since it was made (its digest was %.12s and is %.12s). Make the plan again with plan -out", path, addr, s.Sources[addr], now[addr])
		}
	}
	if actionsDigest(plan) != s.Actions {
		why := "a file that its expressions read has changed"
		if s.Version != version.Number {
			why = fmt.Sprintf("it was made by version %s, and this is %s", s.Version, version.Number)
		}
		return fmt.Errorf("%s cannot be run: its actions are not those that were planned, perhaps because %s. Make the plan again with plan -out", path, why)
	}
	return nil
}

// sourceDigests are those of all sources that a plan needs.
func sourceDigests(p *planner.Plan) map[string]string {
	out := map[string]string{}
	keys := action.DefKeys(p.Graph)
	for _, s := range p.Steps {
		if s.Node.Source() == "" {
			continue
		}
		d := s.Digest(func(r action.Ref) (artifact.Digest, bool) {
			if r.Action.Leaf != nil {
				return r.Action.Leaf[r.Output].Digest(), true
			}
			return keys[r.Action], true
		})
		out[s.Node.Addr()] = string(d)
	}
	return out
}

// actionsDigest identifies what a plan's roots need.
func actionsDigest(p *planner.Plan) string {
	keys := action.DefKeys(p.Graph)
	var all []string
	for a := range planner.Reach(p.Roots()) {
		all = append(all, string(keys[a]))
	}
	slices.Sort(all)
	return string(artifact.Sum([]byte(strings.Join(slices.Compact(all), "\n"))))
}
