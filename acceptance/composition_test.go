package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hashicorp/hcl/v2"

	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/all"
	"github.com/compressc/compressc/planner"
)

// matrixPage is the committed matrix of pairs.
const matrixPage = "docs/composition.md"

// composed is the part that all chains share: a model of two blocks, a second
// one made of it, and text.
const composed = `
data "text" "train" {
  source          = "TEXT"
  sequence_length = 32
  samples         = 8
}
data "text" "calib" {
  source          = "TEXT"
  sequence_length = 32
  samples         = 4
}
data "text" "test" {
  source          = "TEXT"
  sequence_length = 32
  offset          = 40
  samples         = 2
}
train "language_model" "base" {
  data              = data.train
  architecture      = "ARCHITECTURE"
  hidden_size       = 96
  intermediate_size = 160
  layers            = 2
  steps             = 3
  batch_size        = 2
}
retrain "perp" "other" {
  model = train.base
  data  = data.train
  steps = 2
}
retrain "lora" "source" {
  model = train.base
  data  = data.train
  rank  = 4
  steps = 2
}
`

// small are values for arguments that are about size or time: those that suit
// the model above.
var small = map[string]string{"steps": "4", "batch_size": "2", "group_size": "32", "rank": "4", "iterations": "3", "block": "16", "round_to": "32"}

// originals are the arguments that take the model as it was before: the first, or
// the latest whose shapes were cut, whose weights were rewritten or that got
// adapters, since nothing compares models of different shapes, or weights that mean
// something else.
var originals = map[string]bool{"reference": true, "base": true}

// stage is a pass in a chain: as it is by default or, as a variant, with other
// arguments.
type stage struct {
	*passes.Pass
	variant string // "" for none
	with    map[string]string
	// remakes says that what the model was before cannot be compared with it.
	remakes bool
}

// variants are those of which the matrix has a row, by verb and method.
var variants = map[string]stage{
	"retrain compacter": {variant: "as adapters", with: map[string]string{"placement": `"both"`, "rank": "1"}, remakes: true},
}

// stages are the passes that make a model of a model.
func stages() []stage {
	var out []stage
	for _, p := range all.Passes() {
		s, err := schema.For(p.NewArgs())
		if err != nil {
			panic(err)
		}
		takes := s.Arg("model") != nil || s.Arg("models") != nil
		if takes && !slices.Contains([]string{"evaluate", "export", "allocate"}, p.Verb) {
			usual := stage{Pass: p, remakes: p.Decide != nil || p.Verb == "transform"}
			out = append(out, usual)
			if v, ok := variants[usual.title()]; ok {
				v.Pass = p
				out = append(out, v)
			}
		}
	}
	return out
}

func (p stage) title() string {
	if p.variant != "" {
		return p.Verb + " " + p.Method + " " + p.variant
	}
	return p.Verb + " " + p.Method
}

// block writes p as a block that works on the model in, made of original.
func block(p stage, name, in, original string) string {
	s, err := schema.For(p.NewArgs())
	if err != nil {
		panic(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q %q {\n", p.Verb, p.Method, name)
	for _, a := range s.Args {
		v, ok := p.with[a.Name]
		if !ok {
			v = valueOf(a, in, original)
		}
		if v != "" {
			fmt.Fprintf(&b, "  %s = %s\n", a.Name, v)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// valueOf is an argument's in a chain, "" to leave it out.
func valueOf(a *schema.Arg, in, original string) string {
	if v, ok := small[a.Name]; ok && a.Kind == schema.Int {
		return v
	}
	if !a.Required {
		return a.Example // what nobody leaves out
	}
	switch {
	case originals[a.Name]:
		return original
	case a.Kind == schema.Reference && a.RefKind == "model":
		return in
	case a.Kind == schema.Reference && a.RefKind == "data":
		return "data.calib"
	case a.Kind == schema.Reference && a.RefKind == "adapter":
		return "retrain.source.adapter"
	case a.Kind == schema.ReferenceList:
		return "[" + in + ", retrain.other]"
	case a.Example != "":
		return a.Example
	case len(a.Enum) > 0:
		return fmt.Sprintf("%q", a.Enum[0])
	case a.Kind == schema.Bool:
		return "true"
	case a.Kind == schema.Float || a.Kind == schema.Custom:
		return "0.5"
	}
	return "1"
}

// chainOf writes a pipeline of blocks one after the other; the last yields the model
// named by the second result.
func chainOf(prefix string, ps ...stage) (text, model string) {
	model = "train.base"
	original := model
	for i, p := range ps {
		name := fmt.Sprintf("%s_%d", prefix, i)
		text += block(p, name, model, original)
		model = p.Verb + "." + name
		if p.remakes {
			original = model
		}
	}
	return text, model
}

func evaluation(name, model string) string {
	return fmt.Sprintf("evaluate \"perplexity\" %q {\n  model = %s\n  data  = data.test\n}\n", name, model)
}

func folder(name, model string) string {
	return fmt.Sprintf("export \"safetensors\" %q {\n  model    = %s\n  path     = \"out/%s\"\n  adapters = \"file\"\n}\n", name, model, name)
}

// composition checks and runs chains.
type composition struct {
	dir, text string
	registry  *lang.Registry
}

func newComposition(t testing.TB, architecture string) *composition {
	t.Helper()
	license, err := filepath.Abs(filepath.Join(root, "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	reg, err := lang.NewRegistry(all.Passes()...)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(composed, "TEXT", filepath.ToSlash(license))
	return &composition{t.TempDir(), strings.ReplaceAll(text, "ARCHITECTURE", architecture), reg}
}

// grounds are the models that chains begin with: a Llama and, for what transforms
// LayerNorm, a GPT-2.
type grounds struct {
	llama, gpt2 *composition
	needs       map[string]bool
}

func newGrounds(t testing.TB) *grounds {
	t.Helper()
	g := &grounds{newComposition(t, "llama"), newComposition(t, "gpt2"), map[string]bool{}}
	for _, p := range stages() {
		text, _ := chainOf("alone", p)
		for _, d := range g.llama.findings(t, text) {
			g.needs[p.title()] = g.needs[p.title()] || d.Summary == "Nothing to transform" || d.Severity == hcl.DiagError && g.gpt2.refusal(t, text) == nil
		}
	}
	return g
}

// of is where a chain of passes begins.
func (g *grounds) of(ps ...stage) *composition {
	if slices.ContainsFunc(ps, func(p stage) bool { return g.needs[p.title()] }) {
		return g.gpt2
	}
	return g.llama
}

// refusal is the first error of a pipeline, nil where it is valid.
func (c *composition) refusal(t testing.TB, text string) *hcl.Diagnostic {
	t.Helper()
	for _, d := range c.findings(t, text) {
		if d.Severity == hcl.DiagError {
			if d.Detail == "" || d.Summary == "" {
				t.Errorf("an error without an explanation: %v\n%s", d, text)
			}
			return d
		}
	}
	return nil
}

// findings is what validate says of a pipeline.
func (c *composition) findings(t testing.TB, text string) hcl.Diagnostics {
	t.Helper()
	p, diags := lang.LoadFiles(c.dir, map[string][]byte{"p.pipeline.hcl": []byte(c.text + text)}, lang.Options{Registry: c.registry, Complete: true})
	if !diags.HasErrors() {
		r := &planner.Resolver{Dir: c.dir}
		_, more := planner.Expand(p, planner.Sources{Model: r.Model, Data: r.Data})
		diags = append(diags, more...)
	}
	return diags
}

// fate is what becomes of a chain.
type fate struct {
	refused string // why validate refuses it
	folder  string // why it has no folder of Hugging Face's form
}

func (f fate) String() string {
	switch {
	case f.refused != "":
		return "refused: " + f.refused
	case f.folder != "":
		return "runs; no folder: " + f.folder
	}
	return "runs"
}

// fateOf asks validate, and returns the blocks that a run then needs.
func (c *composition) fateOf(t testing.TB, name string, ps ...stage) (fate, string) {
	t.Helper()
	text, model := chainOf(name, ps...)
	text += evaluation(name, model)
	if d := c.refusal(t, text); d != nil {
		return fate{refused: d.Summary}, ""
	}
	if d := c.refusal(t, text+folder(name, model)); d != nil {
		native := strings.Replace(folder(name, model), "\n}", "\n  layout = \"native\"\n}", 1)
		if c.refusal(t, text+native) == nil {
			text += native
		}
		return fate{folder: d.Summary}, text
	}
	return fate{}, text + folder(name, model)
}

// run brings all blocks about; what fails is told with its reason.
func (c *composition) run(t testing.TB, cache, text string) *record.Record {
	t.Helper()
	dir := writePipeline(t, c.text+text)
	cmd := program(t).Command(context.Background(), RunOptions{Pipeline: dir, CacheDir: cache})
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var rec record.Record
	if json.Unmarshal(out.Bytes(), &rec) != nil {
		t.Fatalf("%v\n%s\n%s", err, complaint.Bytes(), text)
	}
	for _, f := range rec.Failures {
		t.Errorf("%+v", f)
	}
	if err != nil && len(rec.Failures) == 0 {
		t.Errorf("%v\n%s", err, complaint.Bytes())
	}
	return &rec
}

// Every pair of passes, in every order, either runs, can be measured and
// exported, or is refused before anything runs; which is which is on record.
func TestPairsRunOrAreRefused(t *testing.T) {
	g := newGrounds(t)
	cache := t.TempDir()
	ps := stages()
	var page strings.Builder
	page.WriteString(matrixHead)
	for i, a := range ps {
		text, evaluations := map[*composition]string{}, map[*composition]map[string]string{g.llama: {}, g.gpt2: {}}
		fmt.Fprintf(&page, "\n## %s\n\n", a.title())
		alone, _ := g.of(a).fateOf(t, "alone", a)
		fmt.Fprintf(&page, "Alone: %s.\n\n| then | |\n|---|---|\n", alone)
		for j, b := range ps {
			name := fmt.Sprintf("p%d_%d", i, j)
			c := g.of(a, b)
			f, blocks := c.fateOf(t, name, a, b)
			text[c] += blocks
			if blocks != "" {
				evaluations[c][name] = a.title() + " → " + b.title()
			}
			fmt.Fprintf(&page, "| %s | %s |\n", b.title(), f)
		}
		if testing.Short() {
			continue
		}
		for _, c := range []*composition{g.llama, g.gpt2} {
			if text[c] == "" {
				continue
			}
			rec := c.run(t, cache, text[c])
			for name, what := range evaluations[c] {
				if ppl, err := metricOf(rec, name); err != nil || !(ppl > 1) {
					t.Errorf("%s: perplexity %v, %v", what, ppl, err)
				}
			}
		}
	}
	path := filepath.Join(root, filepath.FromSlash(matrixPage))
	if os.Getenv("COMPRESSC_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(page.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != page.String() {
		t.Errorf("%s is not what the passes say (%v); set COMPRESSC_UPDATE=1 to write it", matrixPage, err)
	}
}

const matrixHead = `# What goes with what

Every pass that makes a model of a model, followed by every other, with default arguments on a small model: a Llama, or a GPT-2 for what transforms LayerNorm and for what comes before and after it. Compacter is there twice, as adapters with ` + "`placement = \"both\"`" + `. "Runs" means that the pair was run, measured and written as a folder; a refusal comes from ` + "`validate`" + `, before anything runs, with the lines and what to change. Written by a test: ` + "`COMPRESSC_UPDATE=1 go test ./acceptance -run TestPairs`" + `.
`

func metricOf(rec *record.Record, name string) (float64, error) {
	e := FindEvaluation(rec, "evaluate."+name, "")
	if e == nil || e.Metrics["perplexity"] == nil {
		return 0, errors.New("not measured")
	}
	return *e.Metrics["perplexity"], nil
}

// What users write runs.
func TestPairsThatUsersWriteRun(t *testing.T) {
	g := newGrounds(t)
	of := map[string]stage{}
	var methods []string
	for _, p := range stages() {
		name := strings.TrimPrefix(p.title(), p.Verb+" ")
		of[name] = p
		methods = append(methods, name)
	}
	chains := orders([]string{"sparsegpt", "lora", "gptq", "eora"})
	chains = append(chains, []string{"smooth", "gptq"}, []string{"flap", "gptq", "eora"}, []string{"wanda", "awq"}, []string{"awq", "lora"}, []string{"awq", "eora"}, []string{"smooth", "gptq", "eora"})
	for _, m := range methods {
		chains = append(chains, []string{"linear", m}, []string{"ties", m})
	}
	for _, names := range chains {
		var ps []stage
		for _, n := range names {
			if of[n].Pass == nil {
				t.Fatalf("no method %q", n)
			}
			ps = append(ps, of[n])
		}
		text, model := chainOf("x", ps...)
		if d := g.of(ps...).refusal(t, text+evaluation("x", model)); d != nil {
			t.Errorf("%s: %s: %s", strings.Join(names, " → "), d.Summary, d.Detail)
		}
	}
}

func orders(items []string) [][]string {
	if len(items) == 0 {
		return [][]string{nil}
	}
	var out [][]string
	for i, first := range items {
		rest := slices.Concat(items[:i], items[i+1:])
		for _, o := range orders(rest) {
			out = append(out, append([]string{first}, o...))
		}
	}
	return out
}

// Any three passes in any order.
func TestThreePassesRunOrAreRefused(t *testing.T) {
	g := newGrounds(t)
	cache := t.TempDir()
	ps := stages()
	text := map[*composition]string{}
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		var three []stage
		for range 3 {
			three = append(three, rapid.SampledFrom(ps).Draw(rt, "pass"))
		}
		n++
		c := g.of(three...)
		_, blocks := c.fateOf(t, fmt.Sprintf("t%d", n), three...)
		text[c] += blocks
	})
	for c, blocks := range text {
		if !testing.Short() {
			c.run(t, cache, blocks)
		}
	}
}
