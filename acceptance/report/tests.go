package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/acceptance/pages"
)

// test is what became of one test function.
type test struct {
	name, verdict string // "pass", "fail" or "skip"
	seconds       float64
	output        []string
}

// test runs tests of one package, in their long form unless the report is
// small, and returns them in the order in which they ended.
func (r *report) test(pkg, pattern string) ([]test, error) {
	cmd := exec.CommandContext(r.ctx, "go", "test", "-json", "-count=1", "-timeout=30m", "-run", pattern, pkg)
	cmd.Env = append(os.Environ(), acceptance.EnvReference+"="+r.reference.Dir, "COMPRESSC_ACCEPTANCE_CACHE="+r.cache)
	if !r.scale.small {
		cmd.Env = append(cmd.Env, "COMPRESSC_LONG_TESTS=1")
	}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		return nil, err
	}
	var done []test
	output := map[string][]string{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e struct {
			Action, Test, Output string
			Elapsed              float64
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Test == "" || strings.Contains(e.Test, "/") {
			continue
		}
		switch e.Action {
		case "output":
			output[e.Test] = append(output[e.Test], strings.TrimSpace(e.Output))
		case "pass", "fail", "skip":
			done = append(done, test{e.Test, e.Action, e.Elapsed, output[e.Test]})
		}
	}
	if len(done) == 0 {
		return nil, fmt.Errorf("go test %s ran no test that matches %s: %w\n%s", pkg, pattern, errors.Join(err, lines.Err()), complaint.Bytes())
	}
	return done, lines.Err()
}

// verdictOf is a test's mark; one that was skipped has shown nothing.
func verdictOf(p *pages.Page, t test) string { return p.Verdict(t.name, t.verdict == "pass", false) }

// golden runs the tests that compare tensors with golden ones.
func (r *report) golden(p *pages.Page) error {
	p.Printf("## Golden tensors\n\nTests, run in their long form; the tolerances are theirs.\n\n| what agrees | tolerance | test | |\n|---|---|---|---|\n")
	rows := []struct{ pkg, test, what, tolerance string }{
		{"./acceptance", "TestGoldenTokens", "token ids of all lines", "equal"},
		{"./acceptance", "TestGoldenTinyLogits", "logits of the tiny models llama, llama_tied, mistral, qwen2, qwen3", "1e-4"},
		{"./internal/nn", "TestSmolLM2MatchesTorch", "logits and hidden states of the reference model", "1e-3"},
		{"./acceptance", "TestGoldenDensePerplexity", "dense perplexity; each window's loss", "4 digits; 0.01"},
		{"./acceptance", "TestGoldenStatistics", "diagonal, trace and entries of XᵀX, and Σ\\|x\\|, at 12 sites", "1e-4"},
		{"./acceptance", "TestGoldenBlock0", "block 0: codes and masks; output errors (EoRA's may be lower)", "99.5 %; 0.5 %"},
		{"./acceptance", "TestGoldenBlock0Unreported", "block 0: output errors of Wanda, LoRC and RTN", "0.5 %"},
		{"./acceptance", "TestGoldenRTNHidden", "hidden states of the RTN 4 bit model", "1e-3"},
		{"./internal/train", "TestSmolLM2GradientsMatchTorch", "LoRA gradients of A and B at three linears, plain and masked", "1e-3"},
		{"./internal/train", "TestSmolLM2LossCurve", "ten steps' losses of masked LoRA", "1 %"},
	}
	found := map[string]test{}
	for _, pkg := range []string{"./acceptance", "./internal/nn", "./internal/train"} {
		var names []string
		for _, w := range rows {
			if w.pkg == pkg {
				names = append(names, w.test)
			}
		}
		tests, err := r.test(pkg, "^("+strings.Join(names, "|")+")$")
		if err != nil {
			return err
		}
		for _, t := range tests {
			found[t.name] = t
		}
	}
	for _, w := range rows {
		t, ok := found[w.test]
		if !ok {
			return fmt.Errorf("%s has no test %s", w.pkg, w.test)
		}
		p.Printf("| %s | %s | `%s` | %s |\n", w.what, w.tolerance, w.test, verdictOf(p, t))
	}
	return nil
}

// kills runs the tests that kill the program.
func (r *report) kills(p *pages.Page) error {
	p.Printf("## Killed and resumed\n\nA pipeline that trains, prunes, retrains, quantises and compensates a small model is killed with SIGKILL at seeded moments and started again until it ends: in the middle of writing a blob, of an index entry, of gradient accumulation, of a GPTQ block. The final digests are those of an uninterrupted run, and nothing that was finished runs again.\n\n")
	tests, err := r.test("./acceptance", "^TestKilledRunGoesOn$")
	if err != nil {
		return err
	}
	summary := regexp.MustCompile(`\d+ kills in .*`)
	for _, t := range tests {
		said := slices.IndexFunc(t.output, summary.MatchString)
		if said < 0 {
			return fmt.Errorf("%s tells of no kills: %s", t.name, strings.Join(t.output, "\n"))
		}
		p.Printf("- The program: %s %s\n", strings.Replace(summary.FindString(t.output[said]), "map[", "[", 1), verdictOf(p, t))
	}
	for _, c := range []struct{ pkg, pattern, what string }{
		{"./executor", "^(TestKilledAtRandom|TestKilledAtFaultPoints|TestHolderIsKilled|TestDiskFull)$", "The executor, killed at random, at every delicate place of the store and while another process waits for it; a full disk"},
		{"./cache", "^(TestKilledAnywhere|TestFullAndReadOnlyDisk|TestLyingDisk|TestDamagedFiles)$", "The store, killed at every step of every operation; full, read-only and lying disks; damaged files"},
	} {
		tests, err := r.test(c.pkg, c.pattern)
		if err != nil {
			return err
		}
		var marks []string
		for _, t := range tests {
			marks = append(marks, fmt.Sprintf("`%s` %s", t.name, verdictOf(p, t)))
		}
		p.Printf("- %s: %s\n", c.what, strings.Join(marks, ", "))
	}
	return nil
}
