package train

import (
	"math"

	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/nn"
)

// starter says how low-rank factors start.
type starter struct {
	init Init
	seed uint64
}

// initA fills A [rank, in] of linear layer number k, called name.
func initA[T nn.Float](s starter, a []T, name string, k, in int) {
	bound := 1 / math.Sqrt(float64(in))
	if s.init == Formula {
		for p := range a {
			i, j := p/in, p%in
			a[p] = T((float64(float64((7919*i+104729*j+1299709*k)%65536)/32768) - 1) * bound)
		}
		return
	}
	stream := rng.New(s.seed, "lora_A/"+name)
	for p := range a {
		u := float64(stream.Float64At(uint64(p)))
		a[p] = T((float64(2*u) - 1) * bound)
	}
}
