package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// golden compares got with testdata/golden/name; COMPRESSC_UPDATE=1 rewrites
// it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if os.Getenv("COMPRESSC_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; COMPRESSC_UPDATE=1 writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s\nCOMPRESSC_UPDATE=1 takes it over", name, got, want)
	}
}
