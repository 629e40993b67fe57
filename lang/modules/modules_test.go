package modules

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/git"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/lang/lock"
)

const (
	commit = "0123456789abcdef0123456789abcdef01234567"
	text   = "git::https://example.com/r.git//a?ref=v1"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func digest(t *testing.T, dir string) string {
	t.Helper()
	d, err := Digest(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The digest is of the text of the language with its paths, and of nothing else.
func TestDigest(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a", "m.pipeline.hcl"), "x")
	first := digest(t, dir)
	// sha256("16 1\na/m.pipeline.hclx"), without the quotes.
	if want := "01a35d7db010fa37286c40ad30e3d9e4b5792f91159e1a15ef0e627bb8c4c709"; first != want {
		t.Errorf("%s, want %s: entries of lock files would not hold any more", first, want)
	}
	write(t, filepath.Join(dir, "README.md"), "y")
	if d := digest(t, dir); d != first {
		t.Error("a file that is no part of the language counts")
	}
	seen := map[string]bool{first: true}
	for _, change := range []func(){
		func() { write(t, filepath.Join(dir, "a", "m.pipeline.hcl"), "xy") },
		func() { write(t, filepath.Join(dir, "b", "v.vars.hcl"), "") },
		func() { write(t, filepath.Join(dir, "b", "v.vars.hcl"), "z") },
		func() {
			if err := os.Rename(filepath.Join(dir, "b"), filepath.Join(dir, "c")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		change()
		d := digest(t, dir)
		if seen[d] {
			t.Errorf("a change is not seen: %s", d)
		}
		seen[d] = true
	}
	if _, err := Digest(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// Without leave to fetch, what is found follows from the pins and from what is
// there.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, commit, "a", "m.pipeline.hcl"), "x")
	good := digest(t, filepath.Join(dir, commit))
	pins := func(source, id, digest string) *lock.File {
		return &lock.File{Modules: []lock.Module{{Source: source, Commit: id, Digest: digest}}}
	}
	byCommit := "git::https://example.com/r.git//a?ref=" + commit
	for _, c := range []struct {
		name, text string
		pins       *lock.File
		strict     bool
		want       string
	}{
		{"no lock file", text, nil, false, "Module is not locked"},
		{"another source", text, pins(byCommit, commit, good), false, "Module is not locked"},
		{"pinned", text, pins(text, commit, good), true, ""},
		{"not there", text, pins(text, strings.Repeat("1", 40), good), false, "Module is not fetched"},
		{"changed", text, pins(text, commit, "other"), false, "Module has changed"},
		{"a commit", byCommit, nil, false, ""},
		{"a commit, strictly", byCommit, nil, true, "Module is not locked"},
		{"no such folder", strings.Replace(byCommit, "//a", "//b", 1), nil, false, "Module cannot be read"},
	} {
		s, err := git.ParseSource(c.text)
		if err != nil {
			t.Fatal(err)
		}
		f := &Finder{Dir: dir, Pins: c.pins, Strict: c.strict}
		at, ds := f.Find(lang.ModuleCall{Addr: `module.m["k"]`, Text: c.text, Source: s})
		got := ""
		if len(ds) > 0 {
			got = ds[0].Summary
		}
		switch {
		case got != c.want:
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		case c.want == "" && (at.Checkout != filepath.Join(dir, commit) || at.Dir != filepath.Join(dir, commit, "a")):
			t.Errorf("%s: %+v", c.name, at)
		case c.want == "" && (len(f.Used()) != 1 || f.Used()[0] != lock.Module{Source: c.text, Commit: commit, Digest: good}):
			t.Errorf("%s: used %+v", c.name, f.Used())
		case len(f.Addrs()) != 1 || f.Addrs()[0] != "module.m":
			t.Errorf("%s: %q", c.name, f.Addrs())
		}
	}
}
