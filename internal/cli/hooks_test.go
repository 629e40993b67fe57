package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// hook is a hook of pre-commit, whose fields are at
// https://pre-commit.com/#creating-new-hooks.
type hook struct {
	ID            string `yaml:"id"`
	Name          string `yaml:"name"`
	Description   string `yaml:"description"`
	Language      string `yaml:"language"`
	Entry         string `yaml:"entry"`
	Files         string `yaml:"files"`
	PassFilenames *bool  `yaml:"pass_filenames"`
}

// The hooks of the repository run, on the files they name, and refuse what they
// are there to refuse.
func TestPreCommitHooks(t *testing.T) {
	src, err := os.ReadFile(filepath.Join("..", "..", ".pre-commit-hooks.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var hooks []hook
	d := yaml.NewDecoder(bytes.NewReader(src))
	d.KnownFields(true)
	if err := d.Decode(&hooks); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{
		"good": "model \"base\" {\n  source = \"hf://a/b\"\n}\n",
		"bad":  "model \"base\" {\n",
	}
	for _, h := range hooks {
		if h.ID == "" || h.Name == "" || h.Language != "golang" {
			t.Errorf("%+v lacks a field", h)
		}
		files := regexp.MustCompile(h.Files)
		for name, want := range map[string]bool{"a/p.pipeline.hcl": true, "x.vars.hcl": true, "p.tf": false, "a/p.pipeline.hcl.orig": false} {
			if files.MatchString(name) != want {
				t.Errorf("%s takes %s: %t", h.ID, name, !want)
			}
		}
		for kind, text := range texts {
			t.Run(h.ID+" "+kind, func(t *testing.T) {
				dir := t.TempDir()
				t.Chdir(dir)
				if err := os.WriteFile("p.pipeline.hcl", []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
				args := strings.Fields(h.Entry)[1:]
				if h.PassFilenames == nil || *h.PassFilenames {
					args = append(args, "p.pipeline.hcl")
				}
				var out, errs bytes.Buffer
				if code := Main(args, Streams{Out: &out, Err: &errs}); (code == ExitOK) != (kind == "good") {
					t.Errorf("exit status %d\n%s%s", code, out.String(), errs.String())
				}
			})
		}
	}
}
