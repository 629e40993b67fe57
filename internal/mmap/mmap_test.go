package mmap

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{0, 1, 4095, 4096, 4097, 100_000} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i * 31)
		}
		path := filepath.Join(dir, "f")
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if !bytes.Equal(f.Bytes(), want) {
			t.Errorf("size %d: content differs", size)
		}
		if err := f.Close(); err != nil {
			t.Errorf("size %d: Close: %v", size, err)
		}
		if err := f.Close(); err != nil {
			t.Errorf("size %d: second Close: %v", size, err)
		}
		if f.Bytes() != nil {
			t.Errorf("size %d: Bytes after Close is not nil", size)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: %v, expected fs.ErrNotExist", err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a directory was opened")
	}
}

// The content must stay readable after the name is gone or replaced, because
// stores replace files by renaming.
func TestReplacedWhileOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("first"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	other := filepath.Join(dir, "g")
	if err := os.WriteFile(other, []byte("second"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, path); err != nil {
		t.Skipf("this system does not replace open files: %v", err)
	}
	if got := string(f.Bytes()); got != "first" {
		t.Errorf("content is now %q", got)
	}
}
