package acceptance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/format/safetensors"
)

// EnvReference names the environment variable that holds the reference's
// folder.
const EnvReference = "COMPRESSC_REFERENCE"

// modelFile is the reference model: SmolLM2-135M-Instruct, its linears Q4_1.
const modelFile = "smollm2-135m-instruct-q4_1.gguf"

// Reference is the folder of the reference material.
type Reference struct{ Dir string }

// ErrNoReference says that the reference material is not on this machine.
var ErrNoReference = errors.New("the reference material is not at hand")

// FindReference opens the reference at dir, or where the environment says, or
// beside the repository whose root is given. The error wraps ErrNoReference
// where there is none.
func FindReference(dir, root string) (Reference, error) {
	if dir == "" {
		dir = os.Getenv(EnvReference)
	}
	if dir == "" {
		dir = filepath.Join(root, "..", "shared", "reference")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Reference{}, err
	}
	if _, err := os.Stat(filepath.Join(dir, modelFile)); err != nil {
		return Reference{}, fmt.Errorf("%w: no %s in %s (set %s)", ErrNoReference, modelFile, dir, EnvReference)
	}
	return Reference{dir}, nil
}

// Model is the path of the GGUF file.
func (r Reference) Model() string { return filepath.Join(r.Dir, modelFile) }

// Text is the path of "calib" or "test".
func (r Reference) Text(name string) string { return filepath.Join(r.Dir, "text", name+".txt") }

// Tiny is the folder of a small random model in the Hugging Face layout.
func (r Reference) Tiny(name string) string { return filepath.Join(r.Dir, "tiny", name) }

// JSON decodes a golden file.
func (r Reference) JSON(name string, dst any) error {
	b, err := os.ReadFile(filepath.Join(r.Dir, "golden", name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, dst); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// GoldenRow is what an independent implementation measured of one compressed
// model.
type GoldenRow struct {
	What       string    `json:"what"`
	Perplexity float64   `json:"ppl"`
	Zeros      float64   `json:"zeros"`
	Windows    []float64 `json:"nll_windows"`
	// Errors is each layer's tr(ΔHΔᵀ)/tr(WHWᵀ), of rows with side paths after
	// them; Before is what it was without, nil for other rows.
	Errors, Before map[string]float64
}

// Row reads golden/row_NAME.json.
func (r Reference) Row(name string) (*GoldenRow, error) {
	var raw struct {
		GoldenRow
		Errors map[string]json.RawMessage `json:"relative_output_error"`
	}
	file := "row_" + name + ".json"
	if err := r.JSON(file, &raw); err != nil {
		return nil, err
	}
	g := raw.GoldenRow
	g.Errors = map[string]float64{}
	for layer, b := range raw.Errors {
		var one float64
		var two [2]float64
		if json.Unmarshal(b, &one) == nil {
			g.Errors[layer] = one
			continue
		}
		if err := json.Unmarshal(b, &two); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", file, layer, err)
		}
		if g.Before == nil {
			g.Before = map[string]float64{}
		}
		g.Before[layer], g.Errors[layer] = two[0], two[1]
	}
	return &g, nil
}

// Tensors reads a golden safetensors file whole.
func (r Reference) Tensors(name string) (*artifact.Value, error) {
	return readTensors(filepath.Join(r.Dir, "golden", name))
}

// readTensors reads a small safetensors file whole, so that it need not stay
// open.
func readTensors(path string) (*artifact.Value, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := artifact.NewBuilder()
	data := map[artifact.Digest][]byte{}
	for _, t := range f.Tensors() {
		// A copy of its own is aligned, which a tensor inside a file need not be.
		c := append([]byte{}, t.Bytes()...)
		data[artifact.Sum(c)] = c
		b.PutBytes(t.Name, t.Meta, c)
	}
	tree, _ := b.Finish()
	return &artifact.Value{Tree: tree, Load: func(e artifact.Entry) ([]byte, error) { return data[e.Digest], nil }}, nil
}
