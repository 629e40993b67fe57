package planner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/tokenizer"
	"github.com/compressc/compressc/lang"
)

// A data block without a tokenizer is made of bytes: a new model can be trained
// before there is any tokenizer, and its length is known before it is read.
func TestDataWithoutTokenizerIsBytes(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte(strings.Repeat("word ", 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &Resolver{Dir: dir}
	d, ds := r.Data("data.a", &lang.DataArgs{Source: "a.txt", SequenceLength: 32, Offset: 5, Select: "first"}, 0)
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	if want := tokenizer.ByteLevel().Digest(); d.Type.Tokenizer != want {
		t.Errorf("tokenizer %s, expected that of bytes, %s", d.Type.Tokenizer, want)
	}
	if want := 500/32 - 5; d.Type.Windows != want {
		t.Errorf("%d windows, expected %d", d.Type.Windows, want)
	}
}
