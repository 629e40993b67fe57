//go:build linux

package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/compressc/compressc/acceptance"
)

//go:embed llmcompressor.py
var llmCompressor string

// process is one compression, from a cold start to written files.
type process struct {
	key, what string
	block     string // HCL, on model.base and data.calib
	alone     bool   // llm-compressor has no such method
	// Wanted are the largest ratios of time and of peak memory that are good enough.
	time, memory string
}

var processes = []process{
	{key: "wanda", what: "Wanda 2:4", block: `prune "wanda" "x" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
}`, time: "0.5", memory: "0.5"},
	{key: "sparsegpt", what: "SparseGPT 2:4", block: `prune "sparsegpt" "x" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
}`, time: "0.4", memory: "0.5"},
	{key: "gptq", what: "GPTQ 4 bit, groups of 64", block: `quantize "gptq" "x" {
  model      = model.base
  data       = data.calib
  bits       = 4
  group_size = 64
}`, time: "0.4", memory: "0.5"},
	{key: "eora", what: "EoRA of rank 64 beside 4-bit RTN, 210 layers", block: `quantize "rtn" "w4" {
  model      = model.base
  bits       = 4
  group_size = 64
}
compensate "eora" "x" {
  model     = quantize.w4
  reference = model.base
  data      = data.calib
  rank      = 64
}`, alone: true, time: "20 s"},
}

// spent is what a finished process took.
type spent struct {
	seconds float64 // by the clock, or of processors with -cpu
	peak    float64 // bytes resident at most
}

// measure runs a command to its end.
func measure(o options, cmd *exec.Cmd) spent {
	var errs bytes.Buffer
	cmd.Stderr = &errs
	start := time.Now()
	if err := cmd.Run(); err != nil {
		log.Fatalf("%s: %v\n%s", strings.Join(cmd.Args[:1], " "), err, errs.String()[max(0, errs.Len()-4000):])
	}
	s := spent{seconds: time.Since(start).Seconds()}
	use := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if o.cpu {
		s.seconds = time.Duration(use.Utime.Nano() + use.Stime.Nano()).Seconds()
	}
	s.peak = float64(use.Maxrss) * 1024
	return s
}

// processTable compares whole processes with llm-compressor: 16 windows of 512
// tokens, one block after the other, the result written as a model folder. Both
// start from the same folder, written from the reference model.
func processTable(o options) string {
	dir, err := os.MkdirTemp("", "compressc-performance")
	must(err)
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "compressc")
	build := exec.Command("go", "build", "-o", bin, "github.com/compressc/compressc/cmd/compressc")
	build.Stderr = os.Stderr
	must(build.Run())
	model, text := filepath.Join(dir, "model"), filepath.Join(o.reference, "text", "calib.txt")
	gguf, err := filepath.Glob(filepath.Join(o.reference, "*.gguf"))
	must(err)
	if len(gguf) != 1 {
		log.Fatalf("-reference %s: expected a folder with one .gguf file", o.reference)
	}
	threads := strconv.Itoa(slices.Max(o.threads))
	run := func(pipeline string) spent {
		folder, err := os.MkdirTemp(dir, "run")
		must(err)
		defer os.RemoveAll(folder)
		must(os.WriteFile(filepath.Join(folder, "p.pipeline.hcl"), []byte(pipeline), 0o666))
		return measure(o, exec.Command(bin, "run", "-threads", threads, "-cache-dir", filepath.Join(folder, "cache"), folder))
	}
	source := func(path string) string { return fmt.Sprintf("model \"base\" {\n  source = %q\n}\n", path) }
	export := func(of, to, more string) string {
		return fmt.Sprintf("export \"safetensors\" \"out\" {\n  model = %s\n  path  = %q\n%s}\n", of, to, more)
	}
	// In float32, as both compute: in the file's own float16 PyTorch takes several
	// times longer on processors.
	run(source(gguf[0]) + export("model.base", model, "  dtype = \"f32\"\n"))

	var b strings.Builder
	fmt.Fprintf(&b, "\nFrom a cold start to written files: 16 × 512 tokens through SmolLM2-135M, %s threads, beside llm-compressor", threads)
	if o.cpu {
		b.WriteString(" (seconds of processor time)")
	}
	b.WriteString(".\n\n| work | compressc | peak | llm-compressor | peak | time ratio | wanted at most | memory ratio | wanted at most |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, p := range processes {
		if !o.only.MatchString(p.key) {
			continue
		}
		alone := p.alone || o.llm == ""
		var ours, theirs, peaks, theirPeaks []float64
		for r := range o.rounds {
			log.Printf("processes, %s: round %d of %d", p.key, r+1, o.rounds)
			verb, more := strings.Fields(p.block)[0], ""
			if p.alone {
				verb, more = "compensate", "  adapters = \"file\"\n"
			}
			out := filepath.Join(dir, "out")
			data := fmt.Sprintf("data \"text\" \"calib\" {\n  source          = %q\n  tokenizer       = model.base\n  sequence_length = 512\n  samples         = 16\n}\n", text)
			s := run(source(model) + data + p.block + "\n" + export(verb+".x", out, more))
			ours, peaks = append(ours, s.seconds), append(peaks, s.peak)
			must(os.RemoveAll(out))
			if alone {
				continue
			}
			cmd := exec.Command(o.llm, "-c", llmCompressor, p.key, model, text, out, threads)
			cmd.Dir = dir
			s = measure(o, cmd)
			theirs, theirPeaks = append(theirs, s.seconds), append(theirPeaks, s.peak)
			must(os.RemoveAll(out))
		}
		if alone {
			fmt.Fprintf(&b, "| %s | %.1f s | %.0f MB | – | – | – | %s | – | – |\n", p.what, acceptance.Median(ours), acceptance.Median(peaks)/1e6, p.time)
			continue
		}
		fmt.Fprintf(&b, "| %s | %.1f s | %.0f MB | %.1f s | %.0f MB | %.2f | %s | %.2f | %s |\n", p.what, acceptance.Median(ours), acceptance.Median(peaks)/1e6,
			acceptance.Median(theirs), acceptance.Median(theirPeaks)/1e6, acceptance.Median(ratios(ours, theirs)), p.time, acceptance.Median(ratios(peaks, theirPeaks)), p.memory)
	}
	return b.String()
}
