package obs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg/kernel"
)

// Every kernel path gives the same bits, and every machine the same codes and
// masks: the digest stands for those of any processor and compiler setting. (It
// covers what is discrete, so it outlives a change in how sums are arranged.)
func TestSameBitsOnEveryPath(t *testing.T) {
	const want = "c4f1ec81b873f7fe42263bf9355b7b10da1322ba2b614c295da34fd921c41168"
	w, h, out, n := readLayer(t)
	spec := grid.Spec{Bits: 4, GroupSize: 32, Symmetric: true}
	f16 := grid.Spec{Bits: 3, GroupSize: 32, ScaleDType: grid.F16, MSE: true}
	run := func() (results []*Result) {
		p := newPool(t, 2)
		natural := mustPrepare(t, p, h, n, .01, nil)
		ordered := mustPrepare(t, p, h, n, .01, DescendingDiagonal(h, n))
		for _, c := range []struct {
			f *Factor
			o Options
		}{
			{natural, Options{Pattern: pattern("2:4")}},
			{natural, Options{Pattern: pattern("0.6"), Block: 48}},
			{ordered, Options{Grid: &spec}},
			{natural, Options{Grid: &f16, LiveGrids: true, Pattern: pattern("4:8")}},
		} {
			res, err := Sweep(p, c.f, w, out, c.o)
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, res)
		}
		return results
	}
	results := run()
	sum := sha256.New()
	for _, r := range results {
		if r.Mask != nil {
			sum.Write(r.Mask.Bytes())
		}
		if q := r.Quantized; q != nil {
			sum.Write(q.Codes)
			sum.Write(q.Zeros)
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		t.Errorf("digest of codes and masks is %s, expected %s", got, want)
	}
	for _, path := range kernel.Paths() {
		t.Run(fmt.Sprint(path), func(t *testing.T) {
			defer kernel.Use(path)()
			for i, r := range run() {
				if !sameBits(r.Weights, results[i].Weights) || r.Loss != results[i].Loss {
					t.Errorf("sweep %d: other weights or loss", i)
				}
				if r.Quantized != nil && !slices.Equal(r.Quantized.Scales, results[i].Quantized.Scales) {
					t.Errorf("sweep %d: other scales", i)
				}
			}
		})
	}
}
