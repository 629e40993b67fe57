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
	const want = "839c4b4c1810987638deb6a83a02fcbe929a2e0e3b37711678269d4399df3eb5"
	w, h, out, n := readLayer(t)
	spec := grid.Spec{Bits: 4, GroupSize: 32, Symmetric: true}
	f16 := grid.Spec{Bits: 3, GroupSize: 32, ScaleDType: grid.F16, MSE: true}
	run := func() (results []*Result) {
		p := newPool(t, 2)
		natural := mustPrepare(t, p, h, n, .01, nil)
		ordered := mustPrepare(t, p, h, n, .01, DescendingDiagonal(h, n))
		for _, c := range []struct {
			f      *Factor
			o      Options
			passes int
		}{
			{natural, Options{Pattern: pattern("2:4")}, 0},
			{natural, Options{Pattern: pattern("0.6"), Block: 48}, 2},
			{ordered, Options{Grid: &spec}, 0},
			{ordered, Options{Grid: &spec}, 2},
			{natural, Options{Grid: &f16, LiveGrids: true, Pattern: pattern("4:8")}, 1},
		} {
			res, err := Sweep(p, c.f, w, out, c.o)
			if err == nil {
				err = Refine(p, c.f, h, w, out, res, c.passes)
			}
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
