// Command performance times compressc's kernels beside PyTorch, in turns in one
// run, and writes the table in docs/performance.md.
//
//	go run ./acceptance/performance -python python3 -write docs/performance.md
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/kernel"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/lowrank"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/internal/obs"
)

//go:embed reference.py
var reference string

// row is one kind of work.
type row struct {
	key, what string
	flops     float64 // 0 where a rate says nothing
	run       func()
}

func main() {
	log.SetFlags(0)
	python := flag.String("python", "python3", "an interpreter with torch")
	write := flag.String("write", "", "the file to write the table to")
	rounds := flag.Int("rounds", 5, "rounds, each of both programs")
	threads := flag.Int("threads", 2, "threads of both programs")
	flag.Parse()
	pool := linalg.NewPool(*threads)
	defer pool.Close()
	rows := work(pool)
	ours, theirs := map[string][]float64{}, map[string][]float64{}
	version := ""
	for r := range *rounds {
		log.Printf("round %d of %d", r+1, *rounds)
		for _, w := range rows {
			ours[w.key] = append(ours[w.key], best(w.run))
		}
		cmd := exec.Command(*python, "-c", reference, strconv.Itoa(*threads))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			log.Fatalf("the reference program: %v", err)
		}
		var t map[string]any
		if err := json.Unmarshal(out, &t); err != nil {
			log.Fatalf("the reference program printed %q: %v", out, err)
		}
		version, _ = t["version"].(string)
		for _, w := range rows {
			x, ok := t[w.key].(float64)
			if !ok {
				log.Fatalf("the reference program does not time %s", w.key)
			}
			theirs[w.key] = append(theirs[w.key], x)
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Performance\n\nWritten by `go run ./acceptance/performance`: both programs in turns in one run of %d rounds on %d threads, %s/%s, %s kernels, PyTorch %s. Times are medians over the rounds of the best of a few repetitions; the ratio is the median of the rounds' ratios, below 1 where compressc is faster.\n\n",
		*rounds, *threads, runtime.GOOS, runtime.GOARCH, kernel.Active(), version)
	b.WriteString("| work | compressc | GFLOP/s | PyTorch | ratio |\n|---|---|---|---|---|\n")
	for _, w := range rows {
		ratio := make([]float64, *rounds)
		for i := range ratio {
			ratio[i] = ours[w.key][i] / theirs[w.key][i]
		}
		rate := ""
		if w.flops > 0 {
			rate = fmt.Sprintf("%.0f", w.flops/median(ours[w.key])/1e9)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.2f |\n", w.what, ms(median(ours[w.key])), rate, ms(median(theirs[w.key])), median(ratio))
	}
	b.WriteString(`
compressc's results have the same bits on any number of threads and on every processor; its sweeps and decompositions are in float64 throughout, where the reference's GPTQ sweep is in float32.

Each kind of work is also a benchmark: ` + "`go test -bench . ./internal/linalg ./internal/nn ./internal/obs ./internal/lowrank ./internal/train`" + `.
`)
	os.Stdout.Write(b.Bytes())
	if *write != "" {
		if err := os.WriteFile(*write, b.Bytes(), 0o666); err != nil {
			log.Fatal(err)
		}
	}
}

// work lists what is timed, at the shapes of a model of width 576.
func work(p *linalg.Pool) []row {
	const d, f, tokens = 576, 1536, 512
	s := rng.New(1, "performance")
	n := uint64(0)
	draw := func(len int, scale float64) []float32 {
		x := make([]float32, len)
		for i := range x {
			x[i] = float32((s.Float64At(n) - 0.5) * scale)
			n++
		}
		return x
	}
	x, w, a := draw(tokens*d, 2), draw(f*d, 2), draw(16*d, 2)
	y, z := make([]float32, tokens*f), make([]float32, tokens*16)
	mid, gram := draw(tokens*f, 2), make([]float64, f*f)

	cfg := &arch.Config{ModelType: "llama", Hidden: d, Intermediate: f, Layers: 1, Heads: 9, KVHeads: 3, HeadDim: 64, RMSEps: 1e-5, RopeTheta: 1e5, Vocab: 1}
	ones := slices.Repeat([]float32{1}, d)
	blk, err := nn.LoadBlock(cfg, 0, func(name string) ([]float32, error) {
		for _, l := range cfg.Linears() {
			if l.Weight() == name {
				return draw(l.Out*l.In, 0.1), nil
			}
		}
		return ones, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	run := nn.NewRunner(cfg, p)
	h0 := draw(4*tokens*d, 2)
	h := make([]float32, len(h0))

	hess := make([]float64, d*d)
	for range 3 {
		p.GramAdd(hess, draw(tokens*d, 2), tokens, d)
	}
	linalg.GramMirror(hess, d)
	spec := grid.Spec{Bits: 4, GroupSize: 64, Symmetric: true}
	dw := make([]float64, d*d)
	for i, v := range draw(d*d, 0.02) {
		dw[i] = float64(v)
	}
	params := 0.0
	for _, l := range cfg.Linears() {
		params += float64(l.Out) * float64(l.In)
	}
	must := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	return []row{
		{"gemm", "product 512×576 · 576×1536", 2 * tokens * d * f, func() { p.Sgemm(false, true, tokens, f, d, 1, x, d, w, d, 0, y, f) }},
		{"skinny", "product 512×576 · 576×16", 2 * tokens * d * 16, func() { p.Sgemm(false, true, tokens, 16, d, 1, x, d, a, d, 0, z, 16) }},
		{"gram", "statistics: XᵀX of 512×1536 added in float64", 2 * tokens * f * f, func() { p.GramAdd(gram, mid, tokens, f) }},
		{"block", "forward of one decoder block, 4 × 512 tokens", 2 * params * 4 * tokens, func() {
			copy(h, h0)
			run.ForwardWindows(blk, h, 4, tokens, nil, false)
		}},
		{"gptq", "GPTQ 4 bit of 1536×576, with its factorization", 0, func() {
			fac, err := obs.Prepare(p, hess, d, 0.01, nil)
			must(err)
			_, err = obs.Sweep(p, fac, w, f, obs.Options{Grid: &spec})
			must(err)
		}},
		{"eora", "EoRA decomposition of 576×576", 0, func() {
			_, err := lowrank.Decompose(p, dw, d, d, hess, 128)
			must(err)
		}},
		{"eigen", "symmetric eigenproblem of 576", 0, func() { p.SymEigen(d, slices.Clone(hess)) }},
	}
}

// best is the shortest of the repetitions that fit into a fifth of a second, at
// least three, in seconds.
func best(f func()) float64 {
	f()
	least := time.Duration(1 << 62)
	start := time.Now()
	for i := 0; i < 3 || time.Since(start) < 200*time.Millisecond; i++ {
		t := time.Now()
		f()
		least = min(least, time.Since(t))
	}
	return least.Seconds()
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}

func ms(s float64) string { return fmt.Sprintf("%.2f ms", s*1000) }
