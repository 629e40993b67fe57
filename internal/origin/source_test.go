package origin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/compressc/compressc/internal/fetched"
)

// What may be looked for and fetched, and what is said of the rest.
func TestCheck(t *testing.T) {
	sha := "sha256:" + strings.Repeat("0", 64)
	for _, c := range []struct {
		s    Source
		want string // of the problem, "" for none
	}{
		{Source{Address: "hf://me/m"}, ""},
		{Source{Address: "hf://me/m", Revision: "refs/pr/1"}, ""},
		{Source{Address: "hf://me/m", Revision: "../x"}, "Not a revision"},
		{Source{Address: "hf://me/m", Commit: "a/b"}, "Lock entry"},
		{Source{Address: "hf://me/m", Commit: ".."}, "Lock entry"},
		{Source{Address: "hf://m"}, "Not a hub address"},
		{Source{Address: "hf://a/b/c"}, "Not a hub address"},
		{Source{Address: "hf://../m"}, "Not a hub address"},
		{Source{Address: "hf://me/.."}, "Not a hub address"},
		{Source{Address: `hf://me/a\b`}, "Not a hub address"},
		{Source{Kind: Text, Address: "hf://me/m"}, "datasets"},
		{Source{Address: "https://h/a/m.gguf?download=true"}, ""},
		{Source{Address: "https://h/a%20b.safetensors"}, ""},
		{Source{Address: "https://h/..%2fx.gguf"}, "expected the address of a file"},
		{Source{Address: "https://h/a%5cx.gguf"}, "expected the address of a file"},
		{Source{Address: "https://h/x.gguf/"}, "expected the address of a file"},
		{Source{Address: "https://h"}, "expected the address of a file"},
		{Source{Address: "https:///x.gguf"}, "Not an address"},
		{Source{Address: "https://h/x.bin"}, "ends in .safetensors or .gguf"},
		{Source{Address: "https://u:p@h/x.gguf"}, "Credential in an address"},
		{Source{Address: "https://h/x.gguf", Revision: "v1"}, "Nothing to take a revision of"},
		{Source{Address: "http://h/x.gguf"}, "over http"},
		{Source{Address: "http://localhost.example.com/x.gguf"}, "over http"},
		{Source{Address: "http://127.0.0.1:80/x.gguf"}, ""},
		{Source{Address: "http://[::1]/x.gguf"}, ""},
		{Source{Address: "http://localhost:1/x.gguf"}, ""},
		{Source{Kind: Adapter, Address: "https://h/adapter_model.safetensors"}, ""},
		{Source{Kind: Adapter, Address: "https://h/other.safetensors"}, "adapter_config.json"},
		{Source{Kind: Text, Address: "https://h/x.jsonl"}, ""},
		{Source{Kind: Text, Address: "https://h/x"}, "with format"},
		{Source{Kind: Text, Address: "https://h/x", AnyName: true}, ""},
		{Source{Address: "oci://h:5000/a/b:v1"}, ""},
		{Source{Address: "oci://h/a@" + sha}, ""},
		{Source{Address: "oci://h/a:v1@" + sha}, ""},
		{Source{Address: "oci://h/a:v1", Commit: sha}, ""},
		{Source{Address: "oci://h/a:v1", Commit: "../x"}, "Lock entry"},
		{Source{Address: "oci://h/a@" + sha, Commit: strings.Replace(sha, "0", "1", 1)}, "Lock entry"},
		{Source{Address: "oci://h/a"}, "neither tag nor digest"},
		{Source{Address: "oci://h/../a:v1"}, "no name of a repository"},
		{Source{Address: "oci://h/A:v1"}, "no name of a repository"},
		{Source{Address: "oci://h/a:v/1"}, "no tag"},
		{Source{Address: "oci://u:p@h/a:v1"}, "registry's host"},
		{Source{Address: "oci://a"}, "no registry"},
		{Source{Kind: Text, Address: "oci://h/a:v1"}, "a text is one file"},
		{Source{Address: "ftp://h/x.gguf"}, "expected a path"},
	} {
		wrong := c.s.Check()
		if c.want == "" && wrong != nil || c.want != "" && (wrong == nil || !strings.Contains(wrong.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.s, wrong, c.want)
		}
	}
}

// No name that a server gives leads out of a folder, on any system.
func TestInside(t *testing.T) {
	for name, want := range map[string]bool{"a": true, "a/b.c": true, "": false, ".": false, "..": false, "../a": false, "a/../b": false, "a/../../b": false, "/a": false,
		`a\b`: false, `..\a`: false, "C:a": false, "a//b": false, "a/": false, "a\x00b": false, "..a": true} {
		if got := Inside(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	if _, err := Parts([]byte(`{"weight_map": {"a": "b/../../c"}}`)); err == nil {
		t.Error("an index leads out of its folder")
	}
}

// Copies that are not used go; what is under way, or may be gone on with, stays.
func TestTrim(t *testing.T) {
	dir := t.TempDir()
	long := 30 * 24 * time.Hour
	for name, age := range map[string]time.Duration{
		key("new"): 0, key("old"): long, Unfinished + key("begun"): time.Hour, Unfinished + key("left"): long, Unfinished + key("x") + ".old": long, "other": long, "tags": long,
	} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "f"), []byte("12345"), 0o666); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	names := func(list []fetched.Folder, err error) string {
		t.Helper()
		var out []string
		for _, c := range list {
			if c.Files != 1 || c.Bytes != 5 {
				t.Errorf("%+v", c)
			}
			out = append(out, c.Name)
		}
		if err != nil {
			t.Error(err)
		}
		return strings.Join(out, " ")
	}
	left := names(Trim(dir, time.Time{}, true))
	if strings.Contains(left, key("old")) && !strings.Contains(left, Unfinished+key("left")) || strings.Count(left, " ") != 1 {
		t.Errorf("without an age: %s", left)
	}
	gone := names(Trim(dir, time.Now().Add(-time.Minute), false))
	if strings.Count(gone, " ") != 2 || !strings.Contains(gone, key("old")) {
		t.Errorf("gone: %s", gone)
	}
	if rest := names(Copies(dir)); strings.Count(rest, " ") != 1 || !strings.Contains(rest, key("new")) || !strings.Contains(rest, Unfinished+key("begun")) {
		t.Errorf("left: %s", rest)
	}
	if list, err := Copies(filepath.Join(dir, "none")); list != nil || err != nil {
		t.Errorf("%v, %v", list, err)
	}
}

// A use is noted, so that what is in use is not taken for old.
func TestUse(t *testing.T) {
	p := Places{Dir: t.TempDir()}
	s := Source{Address: "https://h/x.gguf"}
	if err := os.MkdirAll(p.Folder(s, ""), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.File(s), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	was := time.Now().Add(-100 * time.Hour)
	if err := os.Chtimes(p.Folder(s, ""), was, was); err != nil {
		t.Fatal(err)
	}
	if at, ok, wrong := p.Find(s); !ok || wrong != nil || at.Path != p.File(s) {
		t.Fatalf("%+v, %v, %v", at, ok, wrong)
	}
	if gone, err := Trim(p.Dir, time.Now().Add(-50*time.Hour), true); len(gone) > 0 || err != nil {
		t.Errorf("%v, %v", gone, err)
	}
}
