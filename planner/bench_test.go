package planner

import (
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/compressc/compressc/lang"
)

// BenchmarkValidate is what validate does for the whole example of the
// language, but for reading headers; the goal is milliseconds. The second case
// sweeps the same over 1000 points.
func BenchmarkValidate(b *testing.B) {
	data, err := os.ReadFile("testdata/example.txtar")
	if err != nil {
		b.Fatal(err)
	}
	src := string(txtar.Parse(data).Files[0].Data)
	for name, text := range map[string]string{
		"example": src,
		"1000":    strings.Replace(src, "[16, 32, 64, 128]", "range(1, 1001)", 1),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, diags := load(b, map[string][]byte{"a.pipeline.hcl": []byte(text)}, lang.Options{}); diags.HasErrors() {
					b.Fatal(diags)
				}
			}
		})
	}
}
