// Command report runs the reference rows on the real model and compares them
// with what independent programs measured.
//
//	go run ./acceptance/report -reference ../shared/reference -write docs/results.md
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/internal/record"
)

// row is one line of the table.
type row struct {
	what       string
	evaluation string
	point      string
	// golden is the file of the float64 row, tolerance how much worse than it
	// counts as agreement; node is whose layers are compared with it.
	golden    string
	tolerance float64
	node      string
	// other is what llm-compressor measured, with side paths by a torch
	// program where there are any; 0 where there is none.
	other float64
}

var rows = []row{
	{"dense", "dense", "", "", 0.0005, "", 29.771},
	{"RTN 4 bit", "rtn4", "", "", 0.0005, "", 40.952},
	{"RTN 3 bit", "rtn3", "", "", 0.0005, "", 159.14},
	{"magnitude 2:4", "m24", "", "", 0.0005, "", 1161.26},
	{"Wanda 2:4", "w24", "", "Wanda_24", 0.03, "", 152.64},
	{"Wanda 50 %", "w50", "", "", 0, "", 55.06},
	{"SparseGPT 2:4", "s24", "", "SparseGPT_24", 0.03, "prune.s24", 80.93},
	{"SparseGPT 50 %", "s50", "", "", 0, "", 47.54},
	{"GPTQ 4 bit", "g4", "", "GPTQ4", 0.01, "quantize.g4", 36.857},
	{"GPTQ 3 bit", "g3", "", "GPTQ3", 0.03, "quantize.g3", 96.17},
	{"GPTQ 4 bit + EoRA 32", "g4e", "rank=32", "", 0.01, "", 32.43},
	{"GPTQ 4 bit + EoRA 64", "g4e", "rank=64", "", 0.01, "", 32.01},
	{"GPTQ 4 bit + LoRC 32", "g4l", "", "", 0, "", 0},
	{"GPTQ 3 bit + EoRA 32", "g3e", "rank=32", "", 0.03, "", 47.58},
	{"GPTQ 3 bit + EoRA 64", "g3e", "rank=64", "", 0.03, "", 43.69},
	{"GPTQ 3 bit + EoRA 128", "g3e", "rank=128", "", 0.03, "", 39.01},
	{"SparseGPT 2:4 + EoRA 32", "s24e", "rank=32", "", 0.03, "", 66.02},
	{"SparseGPT 2:4 + EoRA 64", "s24e", "rank=64", "", 0.03, "", 58.40},
	{"SparseGPT 2:4 + EoRA 128", "s24e", "rank=128", "", 0.03, "", 48.68},
	{"SparseGPT 2:4 → GPTQ 4 bit, mask kept", "s24g4", "", "SparseGPT_24_GPTQ4_mask_kept", 0.03, "quantize.s24g4", 0},
	{"… + EoRA 32", "s24g4e", "rank=32", "SparseGPT_24_GPTQ4_mask_kept_eora32", 0.03, "", 0},
	{"… + EoRA 64", "s24g4e", "rank=64", "SparseGPT_24_GPTQ4_mask_kept_eora64", 0.03, "compensate.s24g4e", 0},
	{"Wanda 2:4 → masked LoRA, 40 steps", "wl", "", "", 0.03, "", 70.07},
	{"… → GPTQ 4 bit, mask kept", "wlg4", "", "Wanda_24_LoRA_GPTQ4_mask_kept", 0.03, "quantize.wlg4", 0},
	{"… + EoRA 32", "wlg4e", "rank=32", "Wanda_24_LoRA_GPTQ4_mask_kept_eora32", 0.03, "", 0},
	{"… + EoRA 64", "wlg4e", "rank=64", "Wanda_24_LoRA_GPTQ4_mask_kept_eora64", 0.03, "compensate.wlg4e", 0},
	{"magnitude 2:4 → PERP, norms only, 40 steps", "p24", "", "", 0, "", 0},
	{"windows 20–59: dense", "dense_held", "", "", 0, "", 0},
	{"windows 20–59: GPTQ 4 bit", "g4_held", "", "", 0, "", 0},
	{"windows 20–59: SparseGPT 2:4", "s24_held", "", "", 0, "", 0},
}

// notes say why a row is as it is.
var notes = map[string]string{
	"GPTQ 3 bit":    "The row hangs on the last bits. Changing the damping by a few parts in ten million gave 93.7, 101.7, 101.9, 103.1, 107.3, 108.0 and 109.6 at otherwise equal settings: codes that flip in early blocks change the inputs of all later ones. In block 0, where both programs see the same inputs, all seven layers agree with the reference to 1.5e-4.",
	"magnitude 2:4": "Weights that were dequantised from four bits are often equal in magnitude, and the pattern hangs on which of equals goes. compressc drops the lower index first, as it does within rows; the reference has the order that its sort happened to have.",
}

func main() {
	log.SetFlags(0)
	ref := flag.String("reference", "", "the folder of the reference material (also COMPRESSC_REFERENCE; ../shared/reference by default)")
	cacheDir := flag.String("cache-dir", "", "the cache to use; a temporary one by default")
	write := flag.String("write", "", "the file to write the tables to")
	flag.Parse()
	if err := run(*ref, *cacheDir, *write); err != nil {
		log.Fatal(err)
	}
}

func run(ref, cacheDir, write string) error {
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
	ctx := context.Background()
	program, err := acceptance.BuildProgram(ctx, ".", tmp)
	if err != nil {
		return err
	}
	log.Print("running acceptance/pipelines/rows.pipeline.hcl: about a quarter of an hour on two cores with an empty cache")
	rec, err := program.Run(ctx, acceptance.RunOptions{Pipeline: filepath.Join("acceptance", "pipelines", "rows.pipeline.hcl"), CacheDir: cacheDir,
		Vars: map[string]string{"model": r.Model(), "calibration": r.Text("calib"), "test": r.Text("test")}})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := table(&b, r, rec); err != nil {
		return err
	}
	if _, err := os.Stdout.Write(b.Bytes()); err != nil {
		return err
	}
	if write != "" {
		return os.WriteFile(write, b.Bytes(), 0o666)
	}
	return nil
}

func table(b *bytes.Buffer, r acceptance.Reference, rec *record.Record) error {
	fmt.Fprintf(b, `# Results on a real model

Written by `+"`go run ./acceptance/report -write docs/results.md`"+`. SmolLM2-135M-Instruct from its Q4_1 file, linears of the blocks only, calibration on the first 16 windows of 512 tokens of one text, perplexity on the first 20 windows of another (the last rows: windows 20 to 59, which nothing was tuned on). The column "reference" is a torch program with float64 inverses, "other" is llm-compressor 0.14 or, for rows with side paths or training, a torch program on top of it. "worse by" compares with the reference, or with the other where there is none; below zero compressc is better.

| what | perplexity | reference | other | worse by | allowed | |
|---|---|---|---|---|---|---|
`)
	for _, w := range rows {
		e := acceptance.FindEvaluation(rec, "evaluate."+w.evaluation, w.point)
		if e == nil || e.Metrics["perplexity"] == nil {
			return fmt.Errorf("the run has no perplexity of %s", w.what)
		}
		p := *e.Metrics["perplexity"]
		golden, other := "", ""
		base := w.other
		if w.other > 0 {
			other = fmt.Sprintf("%.2f", w.other)
		}
		if w.golden != "" {
			g, err := r.Row(w.golden)
			if err != nil {
				return err
			}
			golden, base = fmt.Sprintf("%.2f", g.Perplexity), g.Perplexity
		}
		worse, allowed, verdict := "", "", ""
		if base > 0 {
			d := p/base - 1
			worse = fmt.Sprintf("%+.2f %%", 100*d)
			tolerance := w.tolerance
			if tolerance == 0 {
				tolerance = 0.05
			}
			allowed = fmt.Sprintf("%.4g %%", 100*tolerance)
			verdict = "✓"
			if d > tolerance {
				verdict = "✗"
			}
		}
		fmt.Fprintf(b, "| %s | %.3f | %s | %s | %s | %s | %s |\n", w.what, p, golden, other, worse, allowed, verdict)
	}
	for _, what := range []string{"magnitude 2:4", "GPTQ 3 bit"} {
		fmt.Fprintf(b, "\n**%s.** %s\n", what, notes[what])
	}
	fmt.Fprintf(b, "\n## Layers\n\nEach layer's relative output error tr(ΔHΔᵀ)/tr(WHWᵀ) over the reference's. From block 1 on the two programs see the inputs that their own blocks make, so that single layers differ either way.\n\n| what | layers | smallest | median | largest | above 1.02 | sum over layers |\n|---|---|---|---|---|---|---|\n")
	for _, w := range rows {
		if w.node == "" {
			continue
		}
		if err := layers(b, r, rec, w); err != nil {
			return err
		}
	}
	fmt.Fprintf(b, "\nThe run: %d actions, of which %d were cached; %.0f s; peak memory without file-backed pages %d MB.\n", rec.Actions.Total, rec.Actions.Cached, rec.Seconds, rec.PeakAnonBytes/1e6)
	return nil
}

func layers(b *bytes.Buffer, r acceptance.Reference, rec *record.Record, w row) error {
	g, err := r.Row(w.golden)
	if err != nil {
		return err
	}
	n := acceptance.FindNode(rec, w.node, w.point)
	if n == nil {
		return fmt.Errorf("the run has no node %s[%s]", w.node, w.point)
	}
	var ratios []float64
	ours, theirs, above := 0.0, 0.0, 0
	for layer, want := range g.Errors {
		got, ok := n.Layers[layer]["relative_output_error"]
		if !ok {
			return fmt.Errorf("%s reports no error of %s", w.node, layer)
		}
		ratios = append(ratios, got/want)
		ours, theirs = ours+got, theirs+want
		if got > 1.02*want {
			above++
		}
	}
	slices.Sort(ratios)
	what := strings.TrimPrefix(w.what, "… ")
	fmt.Fprintf(b, "| %s (%s) | %d | %.3f | %.3f | %.3f | %d | %.4f |\n", what, w.node, len(ratios), ratios[0], ratios[len(ratios)/2], ratios[len(ratios)-1], above, ours/theirs)
	return nil
}
