package cache

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func init() { children["put"] = putChild }

// putChild is for runs as another user or on another file system: it stores
// until that fails and prints the error.
func putChild(dir string) error {
	if os.Getenv("COMPRESSC_CACHE_TEST_TMPFS") != "" {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
			fmt.Println("SKIP", err)
			return nil
		}
	}
	s, err := Open(dir, Options{})
	if err != nil {
		fmt.Println(err)
		return nil
	}
	defer s.Close()
	var stored []Digest
	for i := range 20 {
		d, err := s.Put(blob(fmt.Sprint("put ", i), 50_000))
		if err != nil {
			fmt.Println(err)
			break
		}
		stored = append(stored, d)
	}
	for _, d := range stored {
		if _, err := read(s, d); err != nil {
			return err
		}
	}
	r, err := s.Check(context.Background(), CheckOptions{Full: true})
	if err != nil || !r.Clean() || r.Blobs != len(stored) {
		return fmt.Errorf("%d stored, check: %+v, %v", len(stored), r, err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, dirTmp)); len(left) != 0 {
		return fmt.Errorf("%d files left in tmp/", len(left))
	}
	return nil
}

// A file system of 256 KiB really fills up.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	cmd := child(t, "put", dir, "COMPRESSC_CACHE_TEST_TMPFS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		if _, started := err.(*exec.ExitError); !started {
			t.Skipf("no user namespaces here: %v", err)
		}
		t.Fatalf("%v: %s", err, out)
	}
	text := string(out)
	if strings.HasPrefix(text, "SKIP") {
		t.Skipf("cannot mount a tmpfs here: %s", out)
	}
	for _, want := range []string{dir, "no space left", "free there", "--cache-dir", "compressc cache gc"} {
		if !strings.Contains(text, want) {
			t.Errorf("message %q does not say %q", text, want)
		}
	}
}

// Another user's folder really is read-only. The superuser is never refused,
// so the child becomes somebody else.
func TestReadOnlyFolder(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs to be the superuser, to become another user")
	}
	// Not t.TempDir, whose parents only their owner may enter, and not in
	// memory, from where programs often may not be run.
	open, err := os.MkdirTemp("/tmp", "compressc-readonly")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(open)
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(open, "test")
	copyFile(t, exe)
	dir := filepath.Join(open, "store")
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{dir, filepath.Join(open, "new")} {
		cmd := child(t, "put", where)
		cmd.Path = exe
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, want := range []string{where, "permission denied", "--cache-dir"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("message %q does not say %q", out, want)
			}
		}
	}
}

func copyFile(t *testing.T, to string) {
	t.Helper()
	from, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
