package examples

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// A small pipeline with every verb gives the digests on record with every kernel
// path of the machine, at any number of threads and in little memory. Built for
// another processor, or with GOAMD64=v3, the test says the same of that one.
func TestSameBits(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range kernel.Paths() {
		for i, flags := range [][]string{{"-threads", "2"}, {"-threads", "1"}, {"-threads", "3", "-memory", "200MB"}, {"-threads", "8"}} {
			if i > 0 && (path != kernel.Active() || testing.Short()) {
				break // the paths differ in arithmetic, not in how it is shared out
			}
			t.Run(fmt.Sprint(path, flags), func(t *testing.T) {
				defer kernel.Use(path)()
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "bits"))); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "text.txt"), text, 0o666); err != nil {
					t.Fatal(err)
				}
				rec := run(t, t.TempDir(), dir, flags...)
				if rec.Actions.Cached != 0 {
					t.Errorf("%d actions were cached in an empty cache", rec.Actions.Cached)
				}
				checkDigests(t, "bits.digests", digests(t, dir, rec))
			})
		}
	}
}
