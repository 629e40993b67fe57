package cli

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2/maybe"
	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/lang"
)

func (a *app) fmtCmd() *cobra.Command {
	var check, diff, recursive bool
	c := &cobra.Command{
		Use: "fmt [flags] [FOLDER|FILE|-]...", Short: "Rewrite pipeline files in the canonical style",
		Long: `Rewrites *.pipeline.hcl, *.vars.hcl and *.test.hcl files in the canonical style and
prints the names of those that changed. Only white space changes. "-" reads
standard input and writes standard output. A file that does not parse is left as
it is.`,
		Example: "  compressc fmt\n  compressc fmt -check -diff -recursive .",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			f := formatter{a: a, check: check, diff: diff, recursive: recursive}
			for _, arg := range args {
				if err := f.path(arg); err != nil {
					return err
				}
			}
			switch {
			case f.failed:
				return exit(ExitError)
			case check && f.changed:
				return exit(ExitWork)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&check, "check", false, "write nothing; exit with 2 if a file would change")
	c.Flags().BoolVar(&diff, "diff", false, "print what changes")
	c.Flags().BoolVar(&recursive, "recursive", false, "also the folders below")
	return c
}

type formatter struct {
	a                      *app
	check, diff, recursive bool
	changed, failed        bool
}

func isHCL(name string) bool {
	return strings.HasSuffix(name, ".pipeline.hcl") || strings.HasSuffix(name, ".vars.hcl") || strings.HasSuffix(name, ".test.hcl")
}

func (f *formatter) path(path string) error {
	if path == "-" {
		src, err := io.ReadAll(f.a.In)
		if err != nil {
			return err
		}
		return f.one("<stdin>", src, func(out []byte) error {
			_, err := f.a.Out.Write(out)
			return err
		})
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return f.file(path)
	}
	return filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != path && (!f.recursive || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if isHCL(d.Name()) {
			return f.file(p)
		}
		return nil
	})
}

func (f *formatter) file(path string) error {
	src, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return f.one(path, src, func(out []byte) error {
		if f.check || bytes.Equal(src, out) {
			return nil
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return maybe.WriteFile(path, out, info.Mode().Perm())
	})
}

// one formats one text and hands the result to write.
func (f *formatter) one(name string, src []byte, write func([]byte) error) error {
	out, diags := lang.Format(src, name)
	if diags.HasErrors() {
		f.failed = true
		return f.a.showDiagnostics(diags, nil)
	}
	if changed := !bytes.Equal(src, out); changed {
		f.changed = true
		if name != "<stdin>" {
			fmt.Fprintln(f.a.Out, name)
		}
		if f.diff {
			text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: difflib.SplitLines(string(src)), B: difflib.SplitLines(string(out)),
				FromFile: name, ToFile: name, Context: 3})
			if err != nil {
				return err
			}
			fmt.Fprint(f.a.Out, text)
			if name == "<stdin>" {
				return nil
			}
		}
	}
	return write(out)
}
