package git

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// repository makes one with two commits on main, the first tagged v1, and
// returns its folder and the commits.
func repository(t *testing.T) (dir, first, second string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git here")
	}
	dir = t.TempDir()
	config := filepath.Join(t.TempDir(), "config")
	write(t, config, "[user]\n name = somebody\n email = somebody@example.com\n[core]\n autocrlf = true\n")
	t.Setenv("GIT_CONFIG_GLOBAL", config)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	run := func(args ...string) {
		t.Helper()
		if _, err := Run(dir, args...); err != nil {
			t.Fatal(err)
		}
	}
	run("init", "-q", "-b", "main")
	write(t, filepath.Join(dir, ".gitattributes"), "hidden export-ignore\ntext export-subst\n*.txt eol=crlf\n")
	write(t, filepath.Join(dir, "hidden", "x.txt"), "one\n")
	write(t, filepath.Join(dir, "text"), "$Format:%H$\n")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "out")); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	run("add", ".")
	run("commit", "-q", "-m", "one")
	run("tag", "-a", "-m", "a tag with a text", "v1")
	first = Commit(dir, "HEAD")
	write(t, filepath.Join(dir, "hidden", "x.txt"), "two\n")
	run("commit", "-q", "-a", "-m", "two")
	return dir, first, Commit(dir, "HEAD")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// Whatever names a commit, its files are there with the bytes that were
// committed, whatever the repository's attributes and the user's settings say.
func TestFetch(t *testing.T) {
	dir, first, second := repository(t)
	// As a hook has it.
	t.Setenv("GIT_DIR", filepath.Join(dir, ".git"))
	t.Setenv("GIT_INDEX_FILE", filepath.Join(dir, ".git", "index"))
	folder := t.TempDir()
	for _, c := range []struct{ revision, want, text string }{
		{"", second, "two\n"}, {"main", second, "two\n"}, {"v1", first, "one\n"}, {first, first, "one\n"}, {first[:9], first, "one\n"},
	} {
		got, err := Fetch("file://"+filepath.ToSlash(dir), c.revision, folder)
		if err != nil || got != c.want {
			t.Fatalf("%q: %s, %v, want %s", c.revision, got, err, c.want)
		}
		for name, want := range map[string]string{"hidden/x.txt": c.text, "text": "$Format:%H$\n"} {
			if raw, err := os.ReadFile(filepath.Join(folder, got, name)); err != nil || string(raw) != want {
				t.Errorf("%q: %s is %q, %v, want %q", c.revision, name, raw, err, want)
			}
		}
		if _, err := os.Lstat(filepath.Join(folder, got, "out")); err == nil {
			t.Error("a link leads out of the folder")
		}
	}
	// What is there is replaced, by any number at once.
	write(t, filepath.Join(folder, first, "text"), "spoilt")
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := Fetch("file://"+filepath.ToSlash(dir), first, folder); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if raw, err := os.ReadFile(filepath.Join(folder, first, "text")); err != nil || string(raw) != "$Format:%H$\n" {
		t.Errorf("%q, %v", raw, err)
	}
	for revision, want := range map[string]string{"v2": "v2", strings.Repeat("0", 40): "git fetch", "abcdef0": "git fetch"} {
		if got, err := Fetch("file://"+filepath.ToSlash(dir), revision, folder); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v", revision, got, err)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if now := Commit(dir, "main"); now != second {
		t.Errorf("the repository is at %s now", now)
	}
}

// No file of an archive is written outside its folder, by name or by link.
func TestUntar(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "../up", Typeflag: tar.TypeReg}, {Name: "/root", Typeflag: tar.TypeReg}, {Name: "d/f", Typeflag: tar.TypeReg},
		{Name: "d/near", Typeflag: tar.TypeSymlink, Linkname: "f"}, {Name: "d/e/above", Typeflag: tar.TypeSymlink, Linkname: "../.."},
		{Name: "abs", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, {Name: "d/rel", Typeflag: tar.TypeSymlink, Linkname: "../../etc"},
		{Name: "chain", Typeflag: tar.TypeSymlink, Linkname: "d/e/above/../x"},
	} {
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	top := t.TempDir()
	dir := filepath.Join(top, "in")
	if err := untar(&b, dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"../up": false, "root": false, "d/f": true, "d/near": true, "d/e/above": true, "abs": false, "d/rel": false, "chain": false} {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
