package merge

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg/rng"
)

// BenchmarkKernels merges three tensors [1536, 576] with a base. Bytes are those
// that are read and written, so that rates compare with hashing.
func BenchmarkKernels(b *testing.B) {
	shape := []int{1536, 576}
	const n = 1536 * 576
	base := matrix{shape, make([]float32, n)}
	s := rng.New(1, "base")
	for i := range base.data {
		base.data[i] = float32(s.NormAt(uint64(i)) / 16)
	}
	in := map[string]*artifact.Value{baseInput: base.value()}
	for m := range 3 {
		s := rng.New(uint64(m), "model")
		x := slices.Clone(base.data)
		for i := range x {
			x[i] += float32(s.NormAt(uint64(i)) / 512)
		}
		in[modelInput(m)] = matrix{shape, x}.value()
	}
	weights := []float64{1, 1, 1}
	run := func(name string, kernel *action.Kernel, args any) {
		b.Run(name, func(b *testing.B) {
			params, err := json.Marshal([]tensorParams[any]{{Name: testTensor, Class: linear, Args: args}})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(5 * 4 * n)
			for b.Loop() {
				c := &action.Context{Context: context.Background(), Params: params, In: in,
					Out: map[string]*artifact.Builder{"merged": artifact.NewBuilder(), "report": artifact.NewBuilder()}}
				if err := kernel.Run(c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("linear", linearMethod.kernel, average{weights, true})
	run("task_arithmetic", taskArithmetic.kernel, sum(weights...))
	run("ties", ties.kernel, tiesOf(0.2, 3))
	run("dare", dare.kernel, dareParams{sum(weights...), Density{0.5}.of(3), "inverse", 1, testTensor})
	run("consensus", consensus.kernel, consensusParams{total{Rule: "sum"}, 0.4, 2, 0.3})
}
