package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/internal/record"
)

// merge measures what merges of three models, each trained further on a kind of text
// of its own, know of each kind.
func merge(m *measurement) error {
	vars := map[string]string{}
	for name, text := range map[string]string{"train": "calib.txt", "test": "test.txt"} {
		dir := filepath.Join(m.scratch, name)
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
		files, err := splitDomains(filepath.Join(m.reference.Dir, "text", text), dir)
		if err != nil {
			return err
		}
		vars[name] = object(files)
	}
	rec, err := m.run(vars)
	if err != nil {
		return err
	}
	return m.mergedLosses(rec)
}

// object spells a map in HCL.
func object(files map[string]string) string {
	text := "{"
	for _, d := range domains {
		text += fmt.Sprintf(" %s = %q,", d, files[d])
	}
	return text + " }"
}

// merged is one row of the table.
type merged struct{ name, point, title string }

// mergedLosses writes the perplexities and what they say of the claims. Losses
// are their logarithms.
func (m *measurement) mergedLosses(rec *record.Record) error {
	m.Printf("LoRA of rank 16 on each of three kinds of text in the reference material, merged into the weights: chapters of novels, a database's reference pages on commands, and sections of its manual. Perplexity on other texts of each kind; what a row is made of is measured on its own kind where it stands for one model.\n\n| | novels | commands | manual | mean loss |\n|---|---|---|---|---|\n")
	mean := map[string]float64{}
	loss := map[string]map[string]float64{}
	rows := []merged{{"base", "", "base"}, {"expert", "", "each model on its own kind"}, {"thinned", "", "DARE of each model alone, half dropped"}, {"tall", "", "TALL, each model brought back"},
		{"mean", "", "mean of the models"}, {"ties", "", "TIES"}}
	best := map[string]float64{}
	for _, scaled := range []merged{{name: "tsvm", title: "TSV-M"}, {name: "sum", title: "task arithmetic"}, {name: "consensus", title: "consensus"}} {
		for _, scale := range []string{"0.3", "0.6", "1"} {
			rows = append(rows, merged{scaled.name, "scale=" + scale, scaled.title + ", " + scale})
		}
		best[scaled.name] = math.Inf(1)
	}
	for _, r := range rows {
		key := r.name + r.point
		loss[key] = map[string]float64{}
		line := ""
		for _, d := range domains {
			x, err := perplexity(rec, fmt.Sprintf("%s[%q]", r.name, d), r.point)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %.3f |", x)
			loss[key][d] = math.Log(x)
			mean[key] += math.Log(x) / float64(len(domains))
		}
		if b, ok := best[r.name]; ok {
			best[r.name] = min(b, mean[key])
		}
		m.Printf("| %s |%s %.4f |\n", r.title, line, mean[key])
	}
	gain := mean["base"] - mean["expert"]
	m.Printf("\n- The models are better on their own kinds than the base: by %.4f in the mean: %s\n", gain, m.Agreement("experts", gain > 0, false))
	m.Printf("- TALL masks lose at most a fifth of that: %.2f of it: %s\n", (mean["tall"]-mean["expert"])/gain, m.Agreement("tall masks", mean["tall"]-mean["expert"] <= 0.2*gain, false))
	m.Printf("- TSV-M at its best is no worse than the mean of the models: %s; than task arithmetic at its best: %s\n", m.Agreement("tsvm", best["tsvm"] <= mean["mean"], false), m.Agreement("tsvm beside task arithmetic", best["tsvm"] <= best["sum"], true))
	m.Printf("- TIES and task arithmetic at its best are better than the base: %s\n", m.Agreement("ties and task arithmetic", mean["ties"] < mean["base"] && best["sum"] < mean["base"], false))
	worst := 0.0
	for _, d := range domains {
		worst = max(worst, math.Abs(loss["thinned"][d]/loss["expert"][d]-1))
	}
	m.Printf("- DARE changes a model's own loss by less than 2 %%: by at most %.2f %%: %s\n", 100*worst, m.Agreement("dare", worst < 0.02, false))
	m.Printf("- Consensus at its best beside task arithmetic at its best: %.4f against %.4f: %s (its card found no gain)\n", best["consensus"], best["sum"], m.Agreement("consensus", best["consensus"] <= best["sum"], true))
	return nil
}

// fromFiles merges models that lie in files.
const fromFiles = `
variable "base" {
  type = string
}
variable "dir" {
  type = string
}
model "base" {
  source = var.base
}
model "novel" {
  source = "${var.dir}/novel"
}
model "commands" {
  source = "${var.dir}/commands"
}
model "manual" {
  source = "${var.dir}/manual"
}
merge %q "merged" {
%s  models = [model.novel, model.commands, model.manual]
}
export "safetensors" "merged" {
  model = merge.merged
  dtype = "f32"
  path  = "${var.dir}/merged-%s"
}
`

// merging measures whole processes that merge three models, which differ in every
// linear: from files to a file with an empty cache, beside hashing what they read and
// write and copying what they write, by the commands for that, and as fast as this
// machine hashes.
func merging(m *measurement) error {
	if _, err := m.run(map[string]string{"out": m.scratch}); err != nil {
		return err
	}
	m.Printf("Whole processes with an empty cache, from three folders of float32 to a fourth, which takes writing it twice, durably: into the cache and out of it. Beside it, right after, `sha256sum` of the three and the fourth and `cp` of the fourth, and the same with the processor's instructions for SHA-256, which `sha256sum` may not use. Times are medians of %d rounds, ratios those of the rounds' ratios.\n\n| method | seconds | sha256sum and cp | ratio | with instructions | ratio | peak memory |\n|---|---|---|---|---|---|---|\n", mergeRounds)
	for _, x := range []struct {
		method       string
		based, plain bool // takes a base; decomposes nothing
	}{
		{"linear", false, true}, {"task_arithmetic", true, true}, {"ties", true, true}, {"dare", true, true}, {"consensus", true, true}, {"tsvm", true, false},
	} {
		var took, commands, least, toCommands, toLeast []float64
		peak := int64(0)
		for range mergeRounds {
			t, err := m.mergeOnce(x.method, x.based)
			if err != nil {
				return err
			}
			took, commands, least = append(took, t.took), append(commands, t.commands), append(least, t.least)
			toCommands, toLeast = append(toCommands, t.took/t.commands), append(toLeast, t.took/t.least)
			peak = max(peak, t.peak)
		}
		verdict := ""
		if x.plain {
			verdict = ": " + m.Verdict("time of merge "+x.method, acceptance.Median(toCommands) <= 1.5, false)
		}
		m.Printf("| %s | %.1f | %.1f | %.2f%s | %.1f | %.2f | %d MB: %s |\n", x.method, acceptance.Median(took), acceptance.Median(commands), acceptance.Median(toCommands), verdict, acceptance.Median(least), acceptance.Median(toLeast), peak/1e6, m.Verdict("memory of merge "+x.method, peak < 500e6, false))
	}
	return nil
}

// mergeRounds is how often each merge is timed.
const mergeRounds = 3

// mergeTime is one merge, in seconds and bytes.
type mergeTime struct {
	took     float64 // by compressc
	commands float64 // by sha256sum and cp
	least    float64 // the same by the processor's instructions
	peak     int64   // anonymous memory
}

// mergeOnce times one merge and removes what it wrote.
func (m *measurement) mergeOnce(method string, based bool) (t mergeTime, err error) {
	base := ""
	if based {
		base = "  base   = model.base\n"
	}
	dir, out := filepath.Join(m.scratch, "p-"+method), filepath.Join(m.scratch, "merged-"+method, "model.safetensors")
	defer func() { err = errors.Join(err, os.RemoveAll(dir), os.RemoveAll(filepath.Dir(out))) }()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return t, err
	}
	file := filepath.Join(dir, "merge.pipeline.hcl")
	if err := os.WriteFile(file, fmt.Appendf(nil, fromFiles, method, base, method), 0o666); err != nil {
		return t, err
	}
	start := time.Now()
	rec, err := m.program.Run(m.ctx, acceptance.RunOptions{Pipeline: file, CacheDir: filepath.Join(dir, "cache"),
		Vars: map[string]string{"base": filepath.Join(m.reference.Dir, "smollm2-135m-instruct-q4_1.gguf"), "dir": m.scratch}})
	if err != nil {
		return t, err
	}
	t.took, t.peak = time.Since(start).Seconds(), rec.PeakAnonBytes
	files := []string{out}
	for _, d := range domains {
		files = append(files, filepath.Join(m.scratch, d, "model.safetensors"))
	}
	start = time.Now()
	if err := errors.Join(exec.CommandContext(m.ctx, "sha256sum", files...).Run(), exec.CommandContext(m.ctx, "cp", out, out+".copy").Run()); err != nil {
		return t, fmt.Errorf("sha256sum and cp are needed for comparison: %w", err)
	}
	t.commands = time.Since(start).Seconds()
	start = time.Now()
	for _, file := range files {
		if err := hashFile(file); err != nil {
			return t, err
		}
	}
	err = copyFile(out, out+".copy")
	t.least = time.Since(start).Seconds()
	return t, err
}

func hashFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(sha256.New(), f)
	return err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
