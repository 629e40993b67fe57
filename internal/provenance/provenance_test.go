package provenance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/tensor"
)

func sum(b []byte) string {
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}

// The subjects are the files and their tensors by the SHA-256 of their bytes,
// and a file that is not what was written is refused.
func TestStatement(t *testing.T) {
	dir := t.TempDir()
	weights := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	var file bytes.Buffer
	if err := safetensors.Write(&file, []safetensors.WriteTensor{{Name: "w", Meta: tensor.Meta{DType: tensor.F32, Shape: []int{2}},
		Data: func() ([]byte, error) { return weights, nil }}}, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "out", "model.safetensors")
	if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o755), os.WriteFile(path, file.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	rec := &record.Record{ID: "r", Pipeline: dir, Folder: dir, Version: "1",
		Exports: []record.Export{{Name: "export.x", Files: []record.File{{Path: filepath.Join("out", "model.safetensors"), Digest: sum(file.Bytes())}}}}}
	text, err := Statement(rec, Program{Version: "1", Numerics: "1"})
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Subject []struct {
			Name   string
			Digest map[string]string
		}
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"out/model.safetensors": sum(file.Bytes()), "out/model.safetensors#w": sum(weights)}
	for _, sub := range s.Subject {
		if sub.Digest["sha256"] != want[sub.Name] {
			t.Errorf("%s has %v", sub.Name, sub.Digest)
		}
		delete(want, sub.Name)
	}
	if len(want) > 0 {
		t.Errorf("no subjects for %v", want)
	}
	if err := os.WriteFile(path, append(file.Bytes(), 0), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Statement(rec, Program{}); !errors.Is(err, ErrChanged) {
		t.Errorf("a changed file: %v", err)
	}
	if _, err := Statement(&record.Record{ID: "r"}, Program{}); err == nil || !strings.Contains(err.Error(), "exported no file") {
		t.Errorf("nothing exported: %v", err)
	}
}
