//go:build linux

package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/rng"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

//go:embed openblas.py
var openblas string

// blasCase is one product or factorization. Its fields are what openblas.py
// reads; shapes are row-major.
type blasCase struct {
	Key     string  `json:"key"`
	Op      string  `json:"op"`
	Double  bool    `json:"double"`
	TA      bool    `json:"tA"`
	TB      bool    `json:"tB"`
	M       int     `json:"m"`
	N       int     `json:"n"`
	K       int     `json:"k"`
	Wanted  string  `json:"-"` // the largest ratio of times that is good enough
	flops   float64 // 0 where a rate says nothing
	what    string
	noGonum bool // gonum takes minutes
}

func product(double, tA, tB bool, m, n, k int, what, wanted string) blasCase {
	return blasCase{Op: "gemm", Double: double, TA: tA, TB: tB, M: m, N: n, K: k,
		what: what, Wanted: wanted, flops: 2 * float64(m) * float64(n) * float64(k)}
}

func gramCase(double bool, k, n int, wanted string) blasCase {
	return blasCase{Op: "syrk", Double: double, N: n, K: k, Wanted: wanted,
		what: fmt.Sprintf("XᵀX, X %d×%d", k, n), flops: 2 * float64(n) * float64(n) * float64(k)}
}

func factorization(op string, m, n int, wanted string, noGonum bool) blasCase {
	c := blasCase{Op: op, Double: true, M: m, N: n, Wanted: wanted, noGonum: noGonum}
	c.what = fmt.Sprintf("%s %d", op, n)
	if m > 0 {
		c.what = fmt.Sprintf("%s %d×%d", op, m, n)
	}
	if op == "cholesky" {
		c.flops = float64(n) * float64(n) * float64(n) / 3
	}
	return c
}

// blasCases are the shapes of decoders' layers, of LoRA and of their statistics.
func blasCases() []blasCase {
	cs := []blasCase{
		product(false, false, true, 512, 1536, 576, "512×576 · (1536×576)ᵀ", "1.25"),
		product(false, false, false, 2048, 4096, 4096, "2048×4096 · 4096×4096", "1.11"),
		product(false, true, false, 2048, 2048, 2048, "(2048×2048)ᵀ · 2048×2048", "1.11"),
		product(false, true, true, 2048, 2048, 2048, "(2048×2048)ᵀ · (2048×2048)ᵀ", "1.11"),
		product(false, false, true, 512, 16, 576, "512×576 · (16×576)ᵀ", "1.25"),
		product(false, false, false, 512, 576, 16, "512×16 · 16×576", "1.25"),
		product(false, true, false, 16, 576, 512, "(512×16)ᵀ · 512×576", "1.25"),
		product(false, true, false, 576, 16, 512, "(512×576)ᵀ · 512×16", "1.25"),
		product(false, false, true, 512, 4096, 576, "512×576 · (4096×576)ᵀ", "1.25"),
		product(false, false, true, 64, 512, 64, "64×64 · (512×64)ᵀ", "1.25"),
		gramCase(false, 2048, 4096, "1.11"),
		gramCase(false, 2048, 576, "1.25"),
		gramCase(false, 512, 1536, "1.25"),
		product(true, false, true, 512, 1536, 576, "512×576 · (1536×576)ᵀ", "1.25"),
		product(true, false, false, 2048, 2048, 2048, "2048×2048 · 2048×2048", "1.11"),
		gramCase(true, 2048, 2048, "1.11"),
		gramCase(true, 2048, 576, "1.25"),
		{Op: "gemv", M: 2048, N: 2048, what: "2048×2048 · vector", Wanted: "1.25", flops: 2 * 2048 * 2048},
		{Op: "gemv", Double: true, M: 2048, N: 2048, what: "2048×2048 · vector", Wanted: "1.25", flops: 2 * 2048 * 2048},
		factorization("cholesky", 0, 576, "1", false),
		factorization("cholesky", 0, 1536, "1", false),
		factorization("cholesky", 0, 4096, "1", true),
		factorization("inverse", 0, 1536, "1.25", true),
		factorization("trsm", 0, 1536, "1.25", true),
		factorization("qr", 1536, 576, "1.25", true),
		factorization("eigen", 0, 576, "1.7", false),
		factorization("eigen", 0, 1536, "2.5", true),
		factorization("svd", 576, 576, "2.5", false),
		factorization("svd", 1536, 576, "2.5", true),
		factorization("svd", 1536, 1536, "2.5", true),
	}
	for i := range cs {
		precision := "f32"
		if cs[i].Double {
			precision = "f64"
		}
		cs[i].Key = strings.ReplaceAll(precision+" "+cs[i].Op+" "+cs[i].what, " ", "_")
		if cs[i].Op != "cholesky" && cs[i].Op != "eigen" && cs[i].Op != "svd" && cs[i].Op != "qr" && cs[i].Op != "inverse" && cs[i].Op != "trsm" {
			cs[i].what = precision + " " + cs[i].what
		}
	}
	return cs
}

// task returns what is timed, and what prepares its input first.
func (c blasCase) task(p *linalg.Pool) (prepare, run func()) {
	s := rng.New(1, c.Key)
	draw := func(n int) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = s.Float64At(uint64(i)) - 0.5
		}
		return x
	}
	none := func() {}
	m, n, k := c.M, c.N, c.K
	switch c.Op {
	case "gemm":
		lda, ldb := k, n
		if c.TA {
			lda = m
		}
		if c.TB {
			ldb = k
		}
		a, b, out := draw(m*k), draw(k*n), make([]float64, m*n)
		if c.Double {
			return none, func() { p.Dgemm(c.TA, c.TB, m, n, k, 1, a, lda, b, ldb, 0, out, n) }
		}
		a32, b32, out32 := narrow(a), narrow(b), make([]float32, m*n)
		return none, func() { p.Sgemm(c.TA, c.TB, m, n, k, 1, a32, lda, b32, ldb, 0, out32, n) }
	case "syrk":
		x, out := draw(k*n), make([]float64, n*n)
		if c.Double {
			return none, func() { p.Dsyrk(true, true, n, k, 1, x, n, 0, out, n) }
		}
		x32, out32 := narrow(x), make([]float32, n*n)
		return none, func() { p.Ssyrk(true, true, n, k, 1, x32, n, 0, out32, n) }
	case "gemv":
		a, x, y := draw(m*n), draw(n), make([]float64, m)
		if c.Double {
			return none, func() { p.Dgemm(false, false, m, 1, n, 1, a, n, x, 1, 0, y, 1) }
		}
		a32, x32, y32 := narrow(a), narrow(x), make([]float32, m)
		return none, func() { p.Sgemm(false, false, m, 1, n, 1, a32, n, x32, 1, 0, y32, 1) }
	case "qr", "svd":
		a := draw(m * n)
		if c.Op == "qr" {
			return none, func() { p.QR(m, n, a) }
		}
		return none, func() { p.ThinSVD(m, n, a) }
	}
	x, h := draw(2*n*n), make([]float64, n*n)
	p.Dsyrk(true, true, n, 2*n, 1, x, n, 0, h, n)
	linalg.GramMirror(nil, h, n)
	work := make([]float64, n*n)
	prepare = func() { copy(work, h) }
	switch c.Op {
	case "trsm":
		for i := range n {
			h[i*n+i] += float64(n)
		}
		b := draw(n * n)
		return func() { copy(work, b) }, func() { p.TriSolve(true, false, false, false, n, n, h, n, work, n) }
	case "cholesky":
		return prepare, func() { must(p.Cholesky(n, work, n)) }
	case "inverse":
		return prepare, func() { must(p.InverseSPD(n, work)) }
	}
	return prepare, func() { p.SymEigen(n, work) }
}

// gonumTime returns gonum's seconds for the same work, or 0 where it is left out.
func (c blasCase) gonumTime(o options) float64 {
	if c.noGonum || c.flops > 1e10 || !c.Double {
		return 0
	}
	x := mat.NewDense(max(c.M, c.K, c.N), c.N, nil)
	s := rng.New(1, c.Key)
	for i := range x.RawMatrix().Data {
		x.RawMatrix().Data[i] = s.Float64At(uint64(i)) - 0.5
	}
	var h mat.SymDense
	h.SymOuterK(1, x.T())
	rows, _ := x.Dims()
	switch c.Op {
	case "gemm":
		// gonum skips zeros: these must not be any.
		a, b, out := mat.NewDense(c.M, c.K, ones(c.M*c.K)), mat.NewDense(c.K, c.N, ones(c.K*c.N)), mat.NewDense(c.M, c.N, nil)
		return o.best(nil, func() { out.Mul(a, b) })
	case "syrk":
		out := mat.NewSymDense(c.N, nil)
		return o.best(nil, func() { out.SymOuterK(1, x.T()) })
	case "gemv":
		v, out := blas64.Vector{N: c.N, Inc: 1, Data: make([]float64, c.N)}, blas64.Vector{N: rows, Inc: 1, Data: make([]float64, rows)}
		return o.best(nil, func() { blas64.Gemv(blas.NoTrans, 1, x.RawMatrix(), v, 0, out) })
	case "cholesky":
		return o.best(nil, func() { var f mat.Cholesky; f.Factorize(&h) })
	case "eigen":
		return o.best(nil, func() { var f mat.EigenSym; f.Factorize(&h, true) })
	case "svd":
		return o.best(nil, func() { var f mat.SVD; f.Factorize(x, mat.SVDThin) })
	}
	return 0
}

func ones(n int) []float64 { return slices.Repeat([]float64{1}, n) }

func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// kernelTable compares products and factorizations with OpenBLAS, whose kernels
// are chosen for the processor (OPENBLAS_CORETYPE of the environment is not
// honoured: it is often set to kernels of half the speed).
func kernelTable(o options) string {
	cases := slices.DeleteFunc(blasCases(), func(c blasCase) bool { return !o.only.MatchString(c.Key) })
	input, err := json.Marshal(cases)
	must(err)
	var b strings.Builder
	for _, threads := range o.threads {
		pool := linalg.NewPool(threads)
		ours, theirs := map[string][]float64{}, map[string][]float64{}
		version := ""
		for r := range o.rounds {
			log.Printf("kernels, %d threads: round %d of %d", threads, r+1, o.rounds)
			for _, c := range cases {
				prepare, run := c.task(pool)
				ours[c.Key] = append(ours[c.Key], o.best(prepare, run))
			}
			var t struct {
				Seconds map[string]float64
				Version string
			}
			cmd := exec.Command(o.python, "-c", openblas, strconv.FormatBool(o.cpu))
			cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
			cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "OPENBLAS_") }),
				fmt.Sprintf("OPENBLAS_NUM_THREADS=%d", threads))
			decode(cmd, &t)
			version = t.Version
			for _, c := range cases {
				theirs[c.Key] = append(theirs[c.Key], t.Seconds[c.Key])
			}
		}
		pool.Close()
		fmt.Fprintf(&b, "\nWith %d threads, beside %s:\n\n| work | compressc | GFLOP/s | OpenBLAS | time ratio | wanted at most | gonum |\n|---|---|---|---|---|---|---|\n", threads, version)
		for _, c := range cases {
			ratio := ratios(ours[c.Key], theirs[c.Key])
			gonum := "–"
			if o.gonum {
				if t := c.gonumTime(o); t > 0 {
					gonum = ms(t)
				}
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %.2f | %s | %s |\n", c.what, ms(acceptance.Median(ours[c.Key])), rate(c.flops, acceptance.Median(ours[c.Key])), ms(acceptance.Median(theirs[c.Key])), acceptance.Median(ratio), c.Wanted, gonum)
		}
	}
	return b.String()
}
