package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/acceptance/pages"
)

// exports writes both kept-mask chains to files and reads them back.
func (r *report) exports(p *pages.Page) error {
	out := filepath.Join(r.scratch, "exports")
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	defer os.RemoveAll(out)
	vars := map[string]string{"out": filepath.ToSlash(out)}
	rec, err := r.run("exports", acceptance.RunOptions{CacheDir: r.cache, Vars: vars})
	if err != nil {
		return err
	}
	s, err := r.session("exports", vars)
	if err != nil {
		return err
	}
	defer s.Close()
	const rounded = 1e-3
	p.Printf("## Exported files\n\nWhat is in the files, codes decoded by the formats' descriptions rather than by compressc's readers, against the models that were written: weights that differ in any bit, groups of four with fewer than two zeros, different codes of a layer, bits a weight. A folder takes the bits that the plan reported; GGUF's Q4_0 has a scale for 32 weights where the model has one for 64. Perplexity is that of the file as a model again; embedding, head and norms of a folder are rounded to 16 bits, which may move it by %g. Scales are float16 here, float32 in the rows. EoRA's side paths are in a file of their own.\n\n| file | layers | differ | zeros | broken groups | codes | bits in the file | reported | | perplexity | read back | |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n", rounded)
	for _, c := range []struct {
		what, node, path, evaluation string
		packed                       bool
		tolerance                    float64 // of the perplexity
	}{
		{"SparseGPT → GPTQ, GGUF", "quantize.s24g4", "s24g4.gguf", "s24g4", true, 1e-6},
		{"SparseGPT → GPTQ, folder", "quantize.s24g4", "s24g4", "s24g4", true, rounded},
		{"SparseGPT → GPTQ → EoRA, GGUF without its side paths", "compensate.s24g4e", "s24g4e.gguf", "s24g4", true, 1e-6},
		{"Wanda → LoRA, folder in float32", "retrain.wl", "wl", "wl", false, 1e-6},
		{"Wanda → LoRA → GPTQ, GGUF", "quantize.wlg4", "wlg4.gguf", "wlg4", true, 1e-6},
		{"Wanda → LoRA → GPTQ, folder", "quantize.wlg4", "wlg4", "wlg4", true, rounded},
	} {
		path := filepath.Join(out, c.path)
		b, err := s.ReadBack(r.ctx, c.node, path, r.scale.blocks)
		if err != nil {
			return err
		}
		codes, reported := "–", "–"
		kept := b.Differ == 0 && b.Zeros.Kept()
		if c.packed {
			codes, reported = fmt.Sprint(b.Codes), fmt.Sprintf("%.3f", b.Reported)
			kept = kept && b.Packed == b.Zeros.Layers && b.Codes <= 16
			if filepath.Ext(path) == "" {
				kept = kept && b.Bits == b.Reported
			}
		}
		before, err := perplexity(rec, c.evaluation, "")
		if err != nil {
			return err
		}
		again, err := r.run("readback", acceptance.RunOptions{CacheDir: r.cache, Vars: map[string]string{"file": filepath.ToSlash(path)}})
		if err != nil {
			return err
		}
		after, err := perplexity(again, "again", "")
		if err != nil {
			return err
		}
		p.Printf("| %s | %d | %d | %.4f %% | %d | %s | %.3f | %s | %s | %.4f | %.4f | %s |\n", c.what, b.Zeros.Layers, b.Differ, 100*b.Zeros.Share(), b.Zeros.Broken, codes, b.Bits, reported,
			p.Verdict("what is in "+c.path, kept, false), before, after, p.Verdict("perplexity of "+c.path, math.Abs(after/before-1) <= c.tolerance, false))
	}
	return nil
}
