package kernel

import (
	"fmt"
	"math"
	"os"
	"strings"
)

// Path names one implementation of the kernels.
type Path string

// The paths, and the values of COMPRESSC_KERNEL.
const (
	AVX512 Path = "avx512"
	AVX2   Path = "avx2"
	NEON   Path = "neon"
	Go     Path = "go"
)

// EnvPath is the environment variable that forces a path.
const EnvPath = "COMPRESSC_KERNEL"

// table is one path's kernels: those of tiles from the narrowest on.
type table struct {
	path     Path
	sgemm    []Gemm[float32]
	dgemm    []Gemm[float64]
	svector  Vector[float32]
	dvector  Vector[float64]
	srows    []Rows[float32]
	drows    []Rows[float64]
	packF32  func(dst, src []float32, ld, kc, w, cnt, avail int, trans bool)
	packF64  func(dst, src []float64, ld, kc, w, cnt, avail int, trans bool)
	gemvRows func(m, n int, a *float64, lda int, x, y *float64)
	gemvCols func(m, n int, a *float64, lda int, c, y *float64)
	divide   func(n int, x *float64, d float64)
	poles    func(n int, gap, z2 *float64, mu float64, sums *[8]float64)
	ratios   func(n int, x, gap, d *float64, at float64)
	// transposeBand transposes band rows of cols columns, cols a multiple of band.
	band          int
	transposeBand func(cols int, src []float64, lds int, dst []float64, ldd int)
}

var goTable = table{
	path:     Go,
	sgemm:    []Gemm[float32]{{MR: 4, NR: 16, Run: sgemm4x16Go}},
	dgemm:    []Gemm[float64]{{MR: 4, NR: 16, Run: dgemm4x16Go}},
	svector:  Vector[float32]{Width: 16, Run: vectorGo[float32]},
	dvector:  Vector[float64]{Width: 16, Run: vectorGo[float64]},
	packF32:  packGo[float32],
	packF64:  packGo[float64],
	gemvRows: gemvRowsGo,
	gemvCols: gemvColsGo,
	divide:   divideGo,
	poles:    polesGo,
	ratios:   gapRatiosGo,
	// The remainder's loop does it all.
	band: 1 << 30,
}

var active, envErr = choose(os.Getenv(EnvPath))

func choose(want string) (*table, error) {
	ts := tables()
	if want == "" {
		return ts[0], nil
	}
	var have []string
	for _, t := range ts {
		if string(t.path) == want {
			return t, nil
		}
		have = append(have, string(t.path))
	}
	return ts[0], fmt.Errorf("%s=%q: this machine has the kernel paths %s; unset the variable or name one of them",
		EnvPath, want, strings.Join(have, ", "))
}

// Paths returns the paths this machine can run, fastest first.
func Paths() []Path {
	var ps []Path
	for _, t := range tables() {
		ps = append(ps, t.path)
	}
	return ps
}

// Active returns the path in use: the fastest, unless COMPRESSC_KERNEL says
// otherwise.
func Active() Path { return active.path }

// Use switches to path p and returns the function that switches back. It is for
// tests that compare paths: no kernel may run at the same time. It panics if
// the machine lacks p.
func Use(p Path) (restore func()) {
	t, err := choose(string(p))
	if err != nil {
		panic(err)
	}
	old := active
	active = t
	return func() { active = old }
}

// CheckEnvironment reports a COMPRESSC_KERNEL that cannot be honoured, and a
// floating point unit that flushes denormals or does not round to nearest, as
// some libraries loaded into a process leave it: results would not be
// reproducible. Call it once at the start of a program.
func CheckEnvironment() error {
	if envErr != nil {
		return envErr
	}
	one, tiny, half := opaque(1), opaque(0x1p-1074), opaque(0x1p-53)
	if tiny*one == 0 || opaque(0x1p-1022)*opaque(0.5) == 0 {
		return fmt.Errorf("floating point unit flushes denormals to zero (MXCSR or FPCR was changed): results would not be reproducible")
	}
	if one+half != 1 || -one-half != -1 || one+opaque(0x1.8p-53) == 1 {
		return fmt.Errorf("floating point unit does not round to nearest even (MXCSR or FPCR was changed): results would not be reproducible")
	}
	return nil
}

// opaque keeps the compiler from folding the checks above.
//
//go:noinline
func opaque(x float64) float64 { return math.Float64frombits(math.Float64bits(x)) }
