package nn

import (
	"fmt"
	"math"
	"testing"

	"github.com/compressc/compressc/internal/arch"
)

// smallGPT2 is a decoder like GPT-2 with drawn weights, gains and biases of
// norms included, in the layout of its family's checkpoints; keys are further
// ones of its config.json.
func smallGPT2(t testing.TB, keys string) *fixture {
	t.Helper()
	c, err := arch.ParseConfig([]byte(`{"model_type": "gpt2", "n_embd": 12, "n_head": 2, "n_layer": 2,
		"n_inner": 20, "n_positions": 32, "vocab_size": 40, "activation_function": "gelu_new"` + keys + `}`))
	if err != nil {
		t.Fatal(err)
	}
	fx, seed := &fixture{config: c, f32: map[string][]float32{}}, uint64(5)
	for _, x := range c.OuterTensors() {
		fx.f32[c.Source(x.Name).Name] = noise(&seed, int(x.Elements()), 0.7)
	}
	for i := range c.Layers {
		for _, x := range c.At(i).BlockTensors() {
			at := c.Source(c.BlockPrefix(i) + x.Name)
			fx.f32[at.Name] = noise(&seed, int(x.Elements())*at.Parts, 0.7)
		}
	}
	for i := range 30 {
		fx.ids = append(fx.ids, int32(i*7%40))
	}
	return fx
}

// The slopes of the activations against central differences, and ReLU at its
// corner.
func TestActivationSlopes(t *testing.T) {
	for _, kind := range []string{arch.ActSiLU, arch.ActGELUTanh, arch.ActReLU} {
		t.Run(fmt.Sprintf("%q", kind), func(t *testing.T) {
			r := NewRunnerOf[float64](&arch.Config{Hidden: 1, HeadDim: 2, RopeTheta: 10000, Activation: kind}, nil)
			at := func(x float64) float64 {
				y := []float64{x}
				r.activate(kind, y, y)
				return y[0]
			}
			for _, x := range []float64{-9, -2.5, -0.7, -0.01, 0.3, 1, 4, 12} {
				d := []float64{2}
				r.activateBack(kind, d, []float64{x})
				const h = 1e-5
				if want := (at(x+h) - at(x-h)) / h; math.Abs(d[0]-want) > 1e-8 {
					t.Errorf("at %v: %.12g, differences say %.12g", x, d[0], want)
				}
			}
			d := []float64{1}
			r.activateBack(kind, d, []float64{0})
			if want := map[string]float64{arch.ActSiLU: 0.5, arch.ActGELUTanh: 0.5}[kind]; d[0] != want {
				t.Errorf("at 0: %v; expected %v", d[0], want)
			}
		})
	}
}

// A position's row is its own in every window, counted from the offset on.
func TestPositions(t *testing.T) {
	c := &arch.Config{Hidden: 1, HeadDim: 2, RopeTheta: 10000, Learned: true, MaxPosition: 3, PositionOffset: 2}
	x := []float32{10, 20, 30, 40, 50, 60}
	r := NewRunner(c, nil)
	r.AddPositions([]float32{-1, -1, 1, 2, 3}, x, 3)
	for i, want := range []float32{11, 22, 33, 41, 52, 63} {
		if x[i] != want {
			t.Errorf("row %d is %v; expected %v", i, x[i], want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a window longer than the table does not panic")
		}
	}()
	r.AddPositions(make([]float32, 5), make([]float32, 4), 4)
}
