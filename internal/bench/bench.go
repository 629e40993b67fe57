// Package bench measures what a machine does a second of the work that pipelines
// are made of: products, factorizations, a decoder block forward and backward,
// hashing, and the disk of the cache.
//
// Terms. A figure is one measurement: how long one piece of work took at best,
// and the rate that makes. Figures are kept in the cache's folder, where the
// planner finds them to estimate times of what no run has timed yet. They say
// nothing about results and are part of no key.
package bench

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/nn"
)

// Names of the figures.
const (
	Product    = "product"    // float32, GFLOP/s
	Product64  = "product64"  // float64, GFLOP/s
	Statistics = "statistics" // XᵀX in float32 added in float64, GFLOP/s counted in full
	Cholesky   = "cholesky"   // float64, GFLOP/s
	Eigen      = "eigen"      // float64 with vectors, GFLOP/s at 9·n³
	Forward    = "forward"    // a decoder block's linear layers, GFLOP/s
	Backward   = "backward"   // the same, back to its input, GFLOP/s
	Hashing    = "hashing"    // SHA-256 on one thread, GB/s
	DiskWrite  = "disk_write" // a file, flushed to the device, GB/s
	DiskRead   = "disk_read"  // the same file, not from memory where the system lets us, GB/s
)

// Figure is one measurement.
type Figure struct {
	Name string `json:"name"`
	// Work says what was done, for people.
	Work string `json:"work"`
	// Seconds is the shortest time it took.
	Seconds float64 `json:"seconds"`
	// Rate is in Unit.
	Rate float64 `json:"rate"`
	Unit string  `json:"unit"` // "GFLOP/s" or "GB/s"
}

// Machine is what figures depend on.
type Machine struct {
	Platform string `json:"platform"` // such as "linux/amd64"
	Kernels  string `json:"kernels"`  // the instruction set in use
	CPUs     int    `json:"cpus"`     // that Go may use
}

// ThisMachine describes where the program runs.
func ThisMachine() Machine {
	return Machine{Platform: runtime.GOOS + "/" + runtime.GOARCH, Kernels: linalg.KernelPath(), CPUs: runtime.NumCPU()}
}

// Figures are the measurements of one machine.
type Figures struct {
	Machine Machine   `json:"machine"`
	Threads int       `json:"threads"`
	Taken   time.Time `json:"taken"`
	Figures []Figure  `json:"figures"`
}

// Rate returns the rate of a figure, and whether there is one.
func (f *Figures) Rate(name string) (float64, bool) {
	if f == nil {
		return 0, false
	}
	i := slices.IndexFunc(f.Figures, func(g Figure) bool { return g.Name == name })
	if i < 0 {
		return 0, false
	}
	return f.Figures[i].Rate, true
}

// Options of Measure.
type Options struct {
	Pool *linalg.Pool
	// Dir is a folder on the disk to measure; a file is written there and removed.
	Dir string
	// Each is about how long one figure may take; longer where a single piece of
	// work takes longer.
	Each time.Duration
	// Now is the time to note.
	Now time.Time
	// Progress, if not nil, is told of each figure as it is there.
	Progress func(Figure)
}

// piece is one kind of work, done by run as often as the time lasts.
type piece struct {
	name, work, unit string
	amount           float64 // operations or bytes of one run
	prepare, run     func() error
}

// Measure takes all figures. It returns an error of ctx, or of the disk.
func Measure(ctx context.Context, o Options) (*Figures, error) {
	out := &Figures{Machine: ThisMachine(), Threads: o.Pool.Threads(), Taken: o.Now}
	disk, err := newDiskFile(o.Dir)
	if err != nil {
		return nil, err
	}
	defer disk.close()
	for _, p := range append(arithmetic(o.Pool), disk.pieces()...) {
		least, start := time.Duration(0), time.Now()
		for i := 0; i < 2 || time.Since(start) < o.Each; i++ {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if p.prepare != nil {
				if err := p.prepare(); err != nil {
					return nil, fmt.Errorf("measure %s: %w", p.name, err)
				}
			}
			t := time.Now()
			if err := p.run(); err != nil {
				return nil, fmt.Errorf("measure %s: %w", p.name, err)
			}
			if d := time.Since(t); least == 0 || d < least {
				least = d
			}
		}
		s := max(least, 1).Seconds()
		f := Figure{Name: p.name, Work: p.work, Seconds: s, Rate: p.amount / s / 1e9, Unit: p.unit}
		out.Figures = append(out.Figures, f)
		if o.Progress != nil {
			o.Progress(f)
		}
	}
	return out, nil
}

// arithmetic lists the work on the processor, at the shapes of a small decoder.
func arithmetic(p *linalg.Pool) []piece {
	const d, f, tokens, windows, order = 576, 1536, 512, 4, 1024
	s := rng.New(1, "bench")
	drawn := uint64(0)
	draw := func(n int, scale float64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32((s.Float64At(drawn) - 0.5) * scale)
			drawn++
		}
		return x
	}
	wide := func(x []float32) []float64 {
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = float64(v)
		}
		return y
	}
	const rows = tokens * windows
	x, w := draw(rows*f, 2), draw(f*d, 2)
	y, gram := make([]float32, rows*d), make([]float64, f*f)
	x64, w64, y64 := wide(x), wide(w), make([]float64, rows*d)
	spd := make([]float64, order*order)
	p.Dsyrk(true, true, order, rows, 1, x64, order, 0, spd, order)
	linalg.GramMirror(nil, spd, order)
	work := make([]float64, order*order)

	cfg := &arch.Config{ModelType: "llama", Hidden: d, Intermediate: f, Layers: 1, Heads: 9, KVHeads: 3, HeadDim: 64, RMSEps: 1e-5, RopeTheta: 1e5, Vocab: 1}
	block, err := nn.LoadBlock(cfg, 0, func(name string) ([]float32, error) {
		for _, l := range cfg.Linears() {
			if l.Weight() == name {
				return draw(l.Out*l.In, 0.1), nil
			}
		}
		return slices.Repeat([]float32{1}, d), nil
	})
	if err != nil {
		panic(err) // this configuration is ours
	}
	layers := 0.0
	for _, l := range cfg.Linears() {
		layers += float64(float64(l.Out) * float64(l.In))
	}
	runner := nn.NewRunner(cfg, p)
	h0 := draw(rows*d, 2)
	h := make([]float32, len(h0))
	var tape nn.Tape
	grad := make([]float32, tokens*d)
	bytes := make([]byte, 8<<20)

	do := func(f func()) func() error { return func() error { f(); return nil } }
	gflops := func(name, work string, amount float64, prepare, run func() error) piece {
		return piece{name, work, "GFLOP/s", amount, prepare, run}
	}
	const n3 = float64(order) * order * order
	return []piece{
		gflops(Product, "2048×1536 · 1536×576 in float32", 2*rows*f*d, nil, do(func() { p.Sgemm(false, true, rows, d, f, 1, x, f, w, f, 0, y, d) })),
		gflops(Product64, "2048×1536 · 1536×576 in float64", 2*rows*f*d, nil, do(func() { p.Dgemm(false, true, rows, d, f, 1, x64, f, w64, f, 0, y64, d) })),
		gflops(Statistics, "XᵀX of 512×1536 added in float64", 2*tokens*f*f, nil, do(func() { p.GramAdd(gram, x[:tokens*f], tokens, f) })),
		gflops(Cholesky, "factor of order 1024", n3/3, do(func() { copy(work, spd) }), func() error { return p.Cholesky(order, work, order) }),
		gflops(Eigen, "eigenvectors of order 1024", 9*n3, do(func() { copy(work, spd) }), do(func() { p.SymEigen(order, work) })),
		gflops(Forward, "decoder block of width 576, 4 × 512 tokens", 2*layers*rows, do(func() { copy(h, h0) }), do(func() { runner.ForwardWindows(block, h, windows, tokens, nil, false) })),
		gflops(Backward, "its gradient, 512 tokens", 2*layers*tokens, do(func() {
			copy(h, h0)
			runner.ForwardTape(block, h[:tokens*d], tokens, &tape)
			copy(grad, h0)
		}), do(func() { runner.Backward(block, &tape, grad, nil) })),
		{Hashing, "SHA-256 of 8 MiB", "GB/s", float64(len(bytes)), nil, do(func() { sha256.Sum256(bytes) })},
	}
}
