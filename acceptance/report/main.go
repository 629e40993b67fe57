// Command report is the long form of the acceptance suite: it runs the pipelines
// in acceptance/pipelines on the real model, compares what comes out with what
// independent programs measured, and writes the tables. From the module's root:
//
//	go run ./acceptance/report -reference ../shared/reference -write docs/results.md
//
// It exits with 1 if a number is out of its tolerance and no reason is known,
// and with 1 if a promise (sharing, memory, threads) is not kept.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/internal/record"
)

func main() {
	log.SetFlags(log.Ltime)
	ref := flag.String("reference", "", "the folder of the reference material (also COMPRESSC_REFERENCE; ../shared/reference by default)")
	cacheDir := flag.String("cache-dir", "", "the cache of the rows; a temporary one by default. Measurements of time and memory have caches of their own")
	write := flag.String("write", "", "the file to write the tables to")
	flag.Parse()
	if err := run(context.Background(), *ref, *cacheDir, *write); err != nil {
		log.Fatal(err)
	}
}

// report is one report under way.
type report struct {
	ctx       context.Context
	reference acceptance.Reference
	program   *acceptance.Program
	// cache is that of the rows, tmp a folder for caches that start empty.
	cache, tmp string
	out        bytes.Buffer
	// broken are promises that were not kept, without a known reason.
	broken []string
}

func run(ctx context.Context, ref, cacheDir, write string) error {
	r, err := acceptance.FindReference(ref, ".")
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "compressc-report")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if cacheDir == "" {
		cacheDir = filepath.Join(tmp, "cache")
	}
	program, err := acceptance.BuildProgram(ctx, ".", tmp)
	if err != nil {
		return err
	}
	p := &report{ctx: ctx, reference: r, program: program, cache: cacheDir, tmp: tmp}
	p.printf("# Results on a real model\n\nWritten by `go run ./acceptance/report -write docs/results.md`, which anyone can repeat with the reference material: SmolLM2-135M-Instruct from its Q4_1 file, the linears of its blocks compressed, calibrated on the first 16 windows of 512 tokens of one text, measured on the first 20 windows of another.\n")
	for _, section := range []func() error{p.rows, p.noise, p.methods, p.sharing, p.memory, p.threads} {
		if err := section(); err != nil {
			return err
		}
	}
	if _, err := os.Stdout.Write(p.out.Bytes()); err != nil {
		return err
	}
	if write != "" {
		if err := os.WriteFile(write, p.out.Bytes(), 0o666); err != nil {
			return err
		}
	}
	if len(p.broken) > 0 {
		return fmt.Errorf("not as promised, and for no known reason: %q", p.broken)
	}
	return nil
}

func (p *report) printf(format string, args ...any) { fmt.Fprintf(&p.out, format, args...) }

// verdict is a mark; what is not kept is noted unless the reason is known.
func (p *report) verdict(what string, kept, known bool) string {
	if kept {
		return "✓"
	}
	if !known {
		p.broken = append(p.broken, what)
	}
	return "✗"
}

// run brings a pipeline of acceptance/pipelines about.
func (p *report) run(name string, o acceptance.RunOptions) (*record.Record, error) {
	o.Pipeline = pipelinePath(name)
	o.Vars = map[string]string{"reference": p.reference.Dir}
	log.Printf("running %s", name)
	rec, err := p.program.Run(p.ctx, o)
	if err != nil {
		return nil, err
	}
	log.Printf("%s: %d actions, %d of them cached, %.0f s", name, rec.Actions.Total, rec.Actions.Cached, rec.Seconds)
	return rec, nil
}

func pipelinePath(name string) string {
	return filepath.Join("acceptance", "pipelines", name+".pipeline.hcl")
}

// perplexity is that of an evaluation, which must have one.
func perplexity(rec *record.Record, name, point string) (float64, error) {
	e := acceptance.FindEvaluation(rec, "evaluate."+name, point)
	if e == nil || e.Metrics["perplexity"] == nil {
		return 0, fmt.Errorf("the run has no perplexity of evaluate.%s at %q", name, point)
	}
	return *e.Metrics["perplexity"], nil
}
