package compressc

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// mayFuse are the functions that may have fused multiply-adds: those that ask for
// them with math.FMA, and estimates and drawings, which no result depends on.
var mayFuse = regexp.MustCompile(`linalg/kernel\.(dgemm4x16Go|gemvColsGo|gemvRowsGo|fma\[.*\])$` +
	`|linalg/vmath\.(exp37|Exp32|Sigmoid32|SiLU32|Tanh32|Erf32|GELUTanh32|GELUTanhSlope32|GELUSlope32|normalCDF|GELU32|expGo|siluGo|geluGo|expShiftGo|Pow64|logPair)$` +
	`|passes/blockwise\.\(\*Method\[.*\]\)\.(flops|Lower)$|passes/compensate\.Common\.lower$|internal/drawing\.`)

// TestNoFusedArithmetic compiles the program for processors on which the compiler
// fuses x*y + z wherever an explicit conversion does not forbid it, also across
// statements, and looks for fused instructions in functions that may not have
// them: their results would differ between machines. The compiler's own listing
// is read because Go's disassembler does not know the AVX encodings. It compiles
// everything twice, so it runs only with COMPRESSC_DISASSEMBLE=1 (as in
// continuous integration).
func TestNoFusedArithmetic(t *testing.T) {
	if os.Getenv("COMPRESSC_DISASSEMBLE") == "" {
		t.Skip("set COMPRESSC_DISASSEMBLE=1 to compile for other processors and read the listing")
	}
	for _, target := range []struct{ env, fused string }{
		{"GOARCH=amd64 GOAMD64=v3", `\tVFN?M(ADD|SUB)[0-9]+[SP][SD]\t`},
		{"GOARCH=arm64", `\tFN?M(ADD|SUB)[SD]\t`},
	} {
		t.Run(target.env, func(t *testing.T) {
			build := exec.Command("go", "build", "-gcflags=github.com/compressc/compressc/...=-S", "-o", os.DevNull, "./cmd/compressc")
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			build.Env = append(build.Env, strings.Fields(target.env)...)
			listing, err := build.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, listing[max(0, len(listing)-2000):])
			}
			fused := regexp.MustCompile(target.fused)
			function, asked := "", 0
			lines := bufio.NewScanner(bytes.NewReader(listing))
			lines.Buffer(nil, 1<<22)
			for lines.Scan() {
				line := lines.Text()
				if name, _, ok := strings.Cut(line, " STEXT "); ok {
					function = name
					continue
				}
				if !fused.MatchString(line) {
					continue
				}
				if mayFuse.MatchString(function) {
					asked++
				} else {
					t.Errorf("%s: fused multiply-add: %s", function, strings.TrimSpace(line))
				}
			}
			if err := lines.Err(); err != nil {
				t.Fatal(err)
			}
			if asked == 0 {
				t.Error("not even math.FMA gave a fused instruction: the listing is not what this test expects")
			}
		})
	}
}
