// Package docs holds the pages for users, and the test that their examples are
// right.
package docs

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/cli"
)

// example is one block of HCL in a page, with what the comment before it says.
// In pages: <!-- example: NAME, after: OTHER, fails: TEXT -->, where the text of
// OTHER (and of what OTHER is after) goes before this one, and TEXT is part of
// the message that validate must give.
type example struct {
	name, after, fails string
	text               string
}

var (
	fence  = regexp.MustCompile("(?ms)^(?:<!-- example: ([^\n]*?) -->\n)?```hcl\n(.*?)^```$")
	file   = regexp.MustCompile("(?ms)^<!-- file: ([^\n]*?) -->\n```hcl\n(.*?)^```$")
	option = regexp.MustCompile(`^(?:(.*?))(?:, after: (.*?))?(?:, fails: (.*))?$`)
)

// files are the texts that a page's examples have beside them, by path:
// <!-- file: PATH -->.
func files(page string) map[string]string {
	list := map[string]string{}
	for _, m := range file.FindAllStringSubmatch(page, -1) {
		list[m[1]] = m[2]
	}
	return list
}

func examples(page string) []example {
	var list []example
	page = file.ReplaceAllString(page, "")
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		o := option.FindStringSubmatch(m[1])
		list = append(list, example{o[1], o[2], o[3], m[2]})
	}
	return list
}

// pages are the README and everything in this folder.
func pages(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("*.md")
	if err != nil || len(list) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	return append(list, "../README.md")
}

// folder is where an example is validated: with the quickstart's model and text
// under the names that the pages use.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	quickstart := filepath.Join("..", "examples", "pipelines", "quickstart")
	if err := os.CopyFS(filepath.Join(dir, "model"), os.DirFS(filepath.Join(quickstart, "model"))); err != nil {
		t.Fatal(err)
	}
	for to, from := range map[string]string{"calib.txt": "train.txt", "test.txt": "test.txt"} {
		text, err := os.ReadFile(filepath.Join(quickstart, "text", from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestExamples(t *testing.T) {
	dir := folder(t)
	t.Setenv("HF_HUB_CACHE", filepath.Join(dir, "hub")) // no model there
	main := filepath.Join(dir, "main.pipeline.hcl")
	found := 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for name, src := range files(string(text)) {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(src), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		named := map[string]string{}
		for _, ex := range examples(string(text)) {
			found++
			src := ex.text
			if ex.after != "" {
				before, ok := named[ex.after]
				if !ok {
					t.Errorf("%s: example %q comes after %q, which there is not", page, ex.name, ex.after)
					continue
				}
				src = before + "\n" + src
			}
			if ex.name != "" {
				if _, twice := named[ex.name]; twice {
					t.Errorf("%s: two examples are called %q", page, ex.name)
				}
				named[ex.name] = src
			}
			t.Run(page+"/"+ex.name, func(t *testing.T) {
				if err := os.WriteFile(main, []byte(src), 0o644); err != nil {
					t.Fatal(err)
				}
				var out, errs bytes.Buffer
				code := cli.Main([]string{"validate", "--no-color", dir}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
				switch {
				case ex.fails == "" && code != cli.ExitOK:
					t.Errorf("exit status %d:\n%s", code, errs.String())
				case ex.fails != "" && (code != cli.ExitError || !strings.Contains(unwrap(errs.String()), ex.fails)):
					t.Errorf("exit status %d, expected %q in:\n%s", code, ex.fails, errs.String())
				}
				var diff bytes.Buffer
				if code := cli.Main([]string{"fmt", "-check", "-diff", dir}, cli.Streams{In: strings.NewReader(""), Out: &diff, Err: &diff}); code != cli.ExitOK {
					t.Errorf("not in the canonical style:\n%s", diff.String())
				}
			})
		}
	}
	if found < 10 {
		t.Errorf("only %d examples found: are they still marked ```hcl?", found)
	}
}

// unwrap undoes the line breaks and margins of a diagnostic.
func unwrap(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "│", " ")), " ")
}

// Every command that a page shows exists, with the flags it is shown with.
func TestCommands(t *testing.T) {
	shell := regexp.MustCompile("(?ms)^```(?:sh|yaml)\n(.*?)^```$")
	line := regexp.MustCompile(`(?m)^\s*(?:- run: )?(?:compressc|go run \./cmd/compressc)( .*)?$`)
	found := 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range shell.FindAllStringSubmatch(string(text), -1) {
			for _, m := range line.FindAllStringSubmatch(block[1], -1) {
				found++
				words, _, _ := strings.Cut(m[1], "#")
				var out bytes.Buffer
				args := append(strings.Fields(words), "--help") // parses flags, does nothing
				code := cli.Main(args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out})
				if code != cli.ExitOK || !strings.Contains(out.String(), "compressc "+args[0]) {
					t.Errorf("%s:%s: exit status %d:\n%s", page, m[0], code, out.String())
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d commands found", found)
	}
}

// Every file that a page links to is there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`(?:\]\(|src=")([^)"#]+)`)
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
	}
}
