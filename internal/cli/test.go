package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2/maybe"
	"github.com/hashicorp/hcl/v2"
	"github.com/jstemmer/go-junit-report/v2/junit"
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/internal/spell"
	"github.com/compressc/compressc/lang"
)

func (a *app) testCmd() *cobra.Command {
	var in inputs
	var res resources
	var filter []string
	var junitFile string
	var asJSON bool
	c := &cobra.Command{
		Use: "test [flags] [PIPELINE]", Short: "Run a pipeline's tests",
		Long: `Runs the *.test.hcl files beside the pipeline and in its folder tests/. Each run block
gives values to variables and asserts what must hold:

  mock "model.base" {              # no weights needed
    architecture        = "llama"
    hidden_size         = 4096
    intermediate_size   = 14336
    num_hidden_layers   = 32
    num_attention_heads = 32
    num_key_value_heads = 8
  }

  run "fits_on_the_card" {
    command = plan                 # nothing is computed; run computes
    variables {
      bits = 4
    }
    assert {
      condition     = quantize.packed.size < 6e9
      error_message = "${quantize.packed.size} bytes are too many"
    }
  }

  run "odd_groups_are_refused" {
    variables {
      group_size = 7
    }
    expect_failures = [quantize.packed]
  }

A test with command = run writes no exports. Exit status 1 if a run fails.`,
		Example: "  compressc test\n  compressc test -filter fits_on_the_card pipelines/prod\n  compressc test -junit-xml tests.xml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			mem, err := res.check()
			if err != nil {
				return err
			}
			t := &tester{app: a, pipeline: pipelineArg(args), inputs: in.order, threads: res.threads, memory: mem}
			return a.test(c.Context(), t, filter, junitFile, asJSON)
		},
	}
	in.variables(c)
	res.flags(c)
	c.Flags().StringSliceVar(&filter, "filter", nil, "run only the run blocks called `NAME`")
	c.Flags().StringVar(&junitFile, "junit-xml", "", "also write the results to `FILE` as JUnit XML")
	c.Flags().BoolVar(&asJSON, "json", false, "print the results as JSON")
	return c
}

// testReport is what "test -json" prints.
type testReport struct {
	FormatVersion string           `json:"format_version"`
	Passed        int              `json:"passed"`
	Failed        int              `json:"failed"`
	Seconds       float64          `json:"seconds"`
	Files         []testFileReport `json:"files"`
}

type testFileReport struct {
	File string          `json:"file"`
	Runs []testRunReport `json:"runs"`
	// Diagnostics of a file that could not be read as it stands.
	Diagnostics []lang.ReportDiagnostic `json:"diagnostics,omitempty"`
}

type testRunReport struct {
	Name        string                  `json:"name"`
	Status      string                  `json:"status"` // "pass" or "fail"
	Seconds     float64                 `json:"seconds"`
	Diagnostics []lang.ReportDiagnostic `json:"diagnostics,omitempty"`
}

func (a *app) test(ctx context.Context, t *tester, filter []string, junitFile string, asJSON bool) error {
	files, err := testFiles(t.pipeline)
	if err != nil {
		return err
	}
	ctx, stop, release := interrupts(ctx, func(text string) { fmt.Fprintln(a.Err, text) })
	defer release()
	t.stop = stop
	report := testReport{FormatVersion: "1.0", Files: []testFileReport{}}
	suites := junit.Testsuites{}
	found := map[string]bool{}
	for _, path := range files {
		fr, suite, err := a.testFile(ctx, t, path, filter, found, asJSON)
		if err != nil {
			return err
		}
		for _, r := range fr.Runs {
			report.Seconds += r.Seconds
			if r.Status == "pass" {
				report.Passed++
			} else {
				report.Failed++
			}
		}
		if len(fr.Diagnostics) > 0 {
			report.Failed++
		}
		report.Files = append(report.Files, fr)
		suites.AddSuite(suite)
	}
	for _, name := range filter {
		if !found[name] {
			return fmt.Errorf("-filter %s: no run block is called that", name)
		}
	}
	if junitFile != "" {
		var b bytes.Buffer
		if err := suites.WriteXML(&b); err != nil {
			return err
		}
		if err := maybe.WriteFile(junitFile, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if asJSON {
		if err := printJSON(a.Out, report); err != nil {
			return err
		}
	} else {
		word := a.paintOut(green, "Success!")
		if report.Failed > 0 {
			word = a.paintOut(red, "Failure!")
		}
		fmt.Fprintf(a.Out, "\n%s %d passed, %d failed.\n", word, report.Passed, report.Failed)
	}
	if report.Failed > 0 {
		return exit(ExitError)
	}
	return nil
}

// testFile runs the tests of one file, telling of each as it ends.
func (a *app) testFile(ctx context.Context, t *tester, path string, filter []string, found map[string]bool, asJSON bool) (testFileReport, junit.Testsuite, error) {
	fr := testFileReport{File: path, Runs: []testRunReport{}}
	suite := junit.Testsuite{Name: path}
	src, err := os.ReadFile(path)
	if err != nil {
		return fr, suite, err
	}
	say := func(format string, args ...any) {
		if !asJSON {
			fmt.Fprintf(a.Out, format, args...)
		}
	}
	say("%s\n", path)
	file, diags := lang.ParseTests(src, path)
	if diags.HasErrors() {
		sources := map[string]*hcl.File{path: file.File}
		fr.Diagnostics = lang.NewReport(diags, sources).Diagnostics
		suite.AddTestcase(junit.Testcase{Name: "the file", Classname: path, Error: failureOf(diags)})
		if !asJSON {
			return fr, suite, a.showDiagnostics(diags, sources)
		}
		return fr, suite, nil
	}
	for i := range file.Runs {
		run := &file.Runs[i]
		if len(filter) > 0 && !slices.Contains(filter, run.Name) {
			continue
		}
		found[run.Name] = true
		r, err := t.run(ctx, file, run)
		if err != nil {
			return fr, suite, err
		}
		rr := testRunReport{Name: run.Name, Status: "pass", Seconds: r.seconds}
		tc := junit.Testcase{Name: run.Name, Classname: path, Time: fmt.Sprintf("%.3f", r.seconds)}
		mark := a.paintOut(green, "pass")
		if !r.passed() {
			rr.Status, mark = "fail", a.paintOut(red, "fail")
			rr.Diagnostics = lang.NewReport(r.diags, r.files).Diagnostics
			tc.Failure = failureOf(r.diags)
		}
		fr.Runs = append(fr.Runs, rr)
		suite.AddTestcase(tc)
		say("  %s %s", mark, run.Name)
		if r.seconds >= 1 {
			say(" (%s)", spell.Seconds(r.seconds))
		}
		say("\n")
		if !asJSON {
			if err := a.showDiagnostics(r.diags, r.files); err != nil {
				return fr, suite, err
			}
		}
	}
	return fr, suite, nil
}

// failureOf is JUnit's form of what went wrong.
func failureOf(diags hcl.Diagnostics) *junit.Result {
	var lines []string
	for _, d := range diags {
		at := ""
		if d.Subject != nil {
			at = fmt.Sprintf("%s:%d: ", d.Subject.Filename, d.Subject.Start.Line)
		}
		lines = append(lines, at+d.Summary+": "+d.Detail)
	}
	return &junit.Result{Message: diags[0].Summary, Data: strings.Join(lines, "\n")}
}

// testFiles finds the tests of a pipeline: beside it, and in its folder tests.
func testFiles(pipeline string) ([]string, error) {
	dir := pipeline
	if lang.IsPipelineFile(pipeline) {
		dir = filepath.Dir(pipeline)
	}
	var out []string
	for _, pattern := range []string{filepath.Join(dir, "*"+lang.TestSuffix), filepath.Join(dir, "tests", "*"+lang.TestSuffix)} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there are no tests in %s: they are in files whose names end in %s, beside the pipeline or in its folder tests; compressc test -help shows one", dir, lang.TestSuffix)
	}
	return out, nil
}
