package planner

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/compressc/compressc/internal/record"
)

// A file's digest is that of its bytes, whatever pieces they come in.
func TestWrittenDigest(t *testing.T) {
	dir := t.TempDir()
	s := &fileSet{dir: dir, files: map[string]*record.File{}}
	w, err := s.create("a")
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i, n := range []int{0, 5, alone - 1, alone, 3*alone + 7, 1} {
		piece := bytes.Repeat([]byte{byte(i + 1)}, n)
		want = append(want, piece...)
		if k, err := w.Write(piece); k != n || err != nil {
			t.Fatalf("writing %d bytes: %d, %v", n, k, err)
		}
	}
	if err := errors.Join(w.Close(), s.publish()); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(want)
	got, err := os.ReadFile(filepath.Join(dir, "a"))
	if f := s.files["a"]; err != nil || !bytes.Equal(got, want) || f.Digest != hex.EncodeToString(sum[:]) || f.Bytes != int64(len(want)) {
		t.Errorf("%d bytes, digest %s of %d, want %d with %x (%v)", len(got), f.Digest, f.Bytes, len(want), sum, err)
	}
}
