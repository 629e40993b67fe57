package linalg

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mayFuse are the functions that ask for fused multiply-adds with math.FMA.
var mayFuse = regexp.MustCompile(`/kernel\.(dgemm4x16Go|gemvColsGo|gemvRowsGo)$|/vmath\.(exp37|Exp32|Sigmoid32|SiLU32|Tanh32|Erf32|expGo|siluGo|expShiftGo|Pow64|logPair)$`)

// TestNoFusedArithmetic builds for arm64, where the compiler fuses x*y + z
// wherever an explicit conversion does not forbid it, and looks for fused
// instructions in functions that did not ask for them: their results would differ
// between architectures. It compiles the standard library for arm64, which takes
// a minute when not cached, so it runs only with COMPRESSC_DISASSEMBLE=1 (as in
// continuous integration).
func TestNoFusedArithmetic(t *testing.T) {
	if os.Getenv("COMPRESSC_DISASSEMBLE") == "" {
		t.Skip("set COMPRESSC_DISASSEMBLE=1 to build for arm64 and disassemble")
	}
	for _, pkg := range []string{".", "./kernel", "./vmath", "./rng"} {
		bin := filepath.Join(t.TempDir(), "test")
		build := exec.Command("go", "test", "-c", "-o", bin, pkg)
		build.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", pkg, err, out)
		}
		out, err := exec.Command("go", "tool", "objdump", "-s", "compressc/internal/linalg", bin).Output()
		if err != nil {
			t.Fatal(err)
		}
		fused := regexp.MustCompile(`\bFN?M(ADD|SUB)[SD]\b`)
		function, functions := "", 0
		for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
			line := lines.Text()
			if rest, ok := strings.CutPrefix(line, "TEXT "); ok {
				function, _, _ = strings.Cut(rest, "(SB)")
				functions++
				continue
			}
			isTest := strings.Contains(line, "_test.go:")
			if fused.MatchString(line) && !isTest && !mayFuse.MatchString(function) {
				t.Errorf("%s: fused multiply-add: %s", function, strings.TrimSpace(line))
			}
		}
		if functions == 0 {
			t.Errorf("%s: nothing was disassembled", pkg)
		}
	}
}
