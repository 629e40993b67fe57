// Command methods measures on the real model what is claimed of methods: each
// beside its baseline, in one run. From the module's root:
//
//	go run ./acceptance/methods -reference ../shared/reference -dir DIR -write docs/methods.md
//	go run ./acceptance/methods -only flap,vptq
//	go run ./acceptance/methods -only flap -small
//
// What each section found is kept in DIR, as the report does. It exits with 1
// where a claim does not hold and its section gives no reason.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/acceptance/pages"
	"github.com/compressc/compressc/internal/record"
)

// claim is what is claimed of one method, or of several that are compared.
type claim struct {
	// name is the section's, and that of its pipeline in folder pipelines; begin
	// that of the file there with which the pipeline begins, "" for none.
	name, title, begin string
	// measure runs pipelines and writes the section.
	measure func(*measurement) error
}

// pipelines is the folder of the claims' pipelines.
var pipelines = filepath.Join("acceptance", "methods", "pipelines")

// smollm2 begins with the reference model and its texts.
const smollm2 = "smollm2"

// files are those of the claim's pipeline.
func (c claim) files() (paths []string) {
	for _, name := range []string{c.begin, c.name} {
		if name != "" {
			paths = append(paths, filepath.Join(pipelines, name+".pipeline.hcl"))
		}
	}
	return paths
}

// text is the claim's pipeline.
func (c claim) text() (string, error) {
	var text strings.Builder
	for _, file := range c.files() {
		raw, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		text.Write(raw)
		text.WriteByte('\n')
	}
	return text.String(), nil
}

// claims in the order of the page.
var claims = []claim{
	{"global", "Magnitudes compared over all layers", smollm2, global},
	{"gblm", "GBLM: gradients beside activations", smollm2, gblm},
	{"flap", "FLAP", smollm2, flap},
	{"imatrix", "Imatrix: grids fitted by the inputs' importance", smollm2, imatrix},
	{"awq", "AWQ: scales and ranges by activations", smollm2, awq},
	{"bitstack", "BitStack: signs and low-rank magnitudes", smollm2, bitstack},
	{"vptq", "VPTQ: codebooks of vectors", smollm2, vptq},
	{"allocate", "Rate and distortion: a level for each half block", smollm2, shares},
	{"smooth", "SmoothQuant: ranges moved into weights", smollm2, smooth},
	{"sensitivity", "Sensitivity to rounding", smollm2, sensitivity},
	{"adalora", "AdaLoRA: ranks that change while training", smollm2, adalora},
	{"bone", "Bone: blocks changed by themselves", smollm2, bone},
	{"compacter", "Compacter: sums of Kronecker products", smollm2, compacter},
	{"merge", "Merges of three models", "", merge},
	{"merging", "What merges of three models take", smollm2, merging},
	{"rmsnorm", "RMSNorm and CRMSNorm in the place of LayerNorm", "", rmsnorm},
}

const introduction = `# Methods on a real model

Written by ` + "`go run ./acceptance/methods -write docs/methods.md`" + `: SmolLM2-135M-Instruct from its Q4_1 file, calibrated on the first 16 windows of 512 tokens of one text, measured on the first 20 windows of another, unless a section says otherwise. Every table has its baseline from the same run.
`

// measurement is one claim being measured: a page to write to, and what can be
// run.
type measurement struct {
	*pages.Page
	ctx       context.Context
	claim     claim
	reference acceptance.Reference
	program   *acceptance.Program
	// cache is shared by all sections; scratch is an empty folder.
	cache, scratch string
}

// run brings the claim's pipeline about. Every pipeline has the variables
// reference, targets (globs of linears), windows (of the test text) and steps
// (of training; 0 is the pipeline's own number), which a small measurement
// lowers; vars are further ones.
func (m *measurement) run(vars map[string]string) (*record.Record, error) {
	path, err := m.pipeline()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	rec, err := m.program.Run(m.ctx, acceptance.RunOptions{Pipeline: path, CacheDir: m.cache, Vars: m.vars(vars)})
	if err == nil {
		log.Printf("  %s: %d actions, %d of them cached, %.0f s", m.claim.name, rec.Actions.Total, rec.Actions.Cached, time.Since(start).Seconds())
	}
	return rec, err
}

// pipeline puts the claim's pipeline together and returns its file.
func (m *measurement) pipeline() (string, error) {
	text, err := m.claim.text()
	if err != nil {
		return "", err
	}
	path := filepath.Join(m.scratch, m.claim.name+".pipeline.hcl")
	return path, os.WriteFile(path, []byte(text), 0o666)
}

// vars are the values of the pipeline's variables.
func (m *measurement) vars(further map[string]string) map[string]string {
	v := map[string]string{"reference": m.reference.Dir}
	if m.Small {
		v["targets"], v["windows"], v["steps"] = `["model.layers.0.*"]`, "1", "20"
	}
	maps.Copy(v, further)
	return v
}

// perplexity is that of an evaluation, which must have one.
func perplexity(rec *record.Record, name, point string) (float64, error) {
	return metric(rec, name, point, "perplexity")
}

func metric(rec *record.Record, name, point, what string) (float64, error) {
	e := acceptance.FindEvaluation(rec, "evaluate."+name, point)
	if e == nil || e.Metrics[what] == nil {
		return 0, fmt.Errorf("the run has no %s of evaluate.%s at %q", what, name, point)
	}
	return *e.Metrics[what], nil
}

func main() {
	log.SetFlags(log.Ltime)
	reference := flag.String("reference", "", "the folder of the reference material (also "+acceptance.EnvReference+"; ../shared/reference by default)")
	dir := flag.String("dir", "", "the folder for the cache and for what sections found; a temporary one by default")
	write := flag.String("write", "", "the file to write the page to; every section must have been measured")
	only := flag.String("only", "", "sections to measure anew, separated by commas")
	small := flag.Bool("small", false, "compress one block and measure on one window, to see that it works: what it says of numbers means nothing")
	flag.Parse()
	if err := measure(*reference, *dir, *write, *only, *small); err != nil {
		log.Fatal(err)
	}
}

func measure(reference, dir, write, only string, small bool) error {
	ctx := context.Background()
	ref, err := acceptance.FindReference(reference, ".")
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "compressc-methods")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if dir == "" {
		dir = tmp
	}
	chosen := map[string]bool{}
	for _, name := range strings.FieldsFunc(only, func(r rune) bool { return r == ',' }) {
		if !slices.ContainsFunc(claims, func(c claim) bool { return c.name == name }) {
			return fmt.Errorf("no section %q", name)
		}
		chosen[name] = true
	}
	program, err := acceptance.BuildProgram(ctx, ".", tmp)
	if err != nil {
		return err
	}
	text := introduction
	if small {
		text += "\n**A small page: its numbers mean nothing.**\n"
	}
	var broken, missing []string
	for _, c := range claims {
		key, err := pages.Key(fmt.Sprint(small, ref.Dir), append([]string{program.Path}, c.files()...)...)
		if err != nil {
			return err
		}
		kept := pages.Kept{Dir: filepath.Join(dir, "methods"), Key: key}
		p := kept.Load(c.name)
		if chosen[c.name] || p == nil && len(chosen) == 0 {
			log.Printf("%s: begins", c.name)
			p = &pages.Page{Small: small}
			p.Printf("## %s\n\n", c.title)
			m := &measurement{Page: p, ctx: ctx, claim: c, reference: ref, program: program,
				cache: filepath.Join(dir, "cache"), scratch: filepath.Join(tmp, c.name)}
			if err := os.MkdirAll(m.scratch, 0o777); err != nil {
				return err
			}
			start := time.Now()
			if err := c.measure(m); err != nil {
				return fmt.Errorf("section %s: %w", c.name, err)
			}
			p.Seconds = time.Since(start).Seconds()
			if err := kept.Save(c.name, p); err != nil {
				return err
			}
		}
		if p == nil {
			missing = append(missing, c.name)
			continue
		}
		text += "\n" + p.Text
		broken = append(broken, p.Broken...)
	}
	fmt.Print(text)
	if write != "" {
		if len(missing) > 0 {
			return fmt.Errorf("%s would not be whole: sections %s have not been measured with this program; leave -only out", write, strings.Join(missing, ", "))
		}
		if err := os.WriteFile(write, []byte(text), 0o666); err != nil {
			return err
		}
	}
	if len(broken) > 0 {
		return errors.New("not as claimed, and for no known reason: " + strings.Join(broken, "; "))
	}
	return nil
}
