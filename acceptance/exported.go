package acceptance

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes/blockwise"
)

// ReadBack is what comparing a written file with the model that it was written
// from found.
type ReadBack struct {
	Zeros ZeroCount
	// Differ counts the weights that the file gives another value; −0 and +0
	// are the same weight.
	Differ int64
	// Packed counts the layers that are stored as codes, Codes is how many
	// different ones a layer uses at most.
	Packed, Codes int
	// Bits is what a weight takes in the file, Reported what the model's type
	// says of it.
	Bits, Reported float64
}

// ReadBack opens a written folder or file and compares the linears of the first
// blocks, decoded here by the formats' descriptions, with those of node's model.
func (s *Session) ReadBack(ctx context.Context, node, path string, blocks int) (ReadBack, error) {
	var r ReadBack
	m, err := s.Model(node)
	if err != nil {
		return r, err
	}
	cp, err := checkpoint.Open(path)
	if err != nil {
		return r, err
	}
	var stored, reported float64
	for b := range blocks {
		v, release, err := s.Block(ctx, node, b)
		if err != nil {
			return r, err
		}
		for _, l := range m.Type.Block(b) {
			want, err := blockwise.Dense(v, l.Name)
			if err != nil {
				release()
				return r, err
			}
			f, err := readLinear(cp, l)
			if err == nil && len(f.weights) != len(want) {
				err = fmt.Errorf("%d weights; expected %d", len(f.weights), len(want))
			}
			if err != nil {
				release()
				return r, fmt.Errorf("%s: %s: %w", path, l.Path, err)
			}
			for i, x := range f.weights {
				if x != want[i] {
					r.Differ++
				}
			}
			r.Zeros.add(f.weights)
			if f.codes > 0 {
				r.Packed++
				r.Codes = max(r.Codes, f.codes)
			}
			stored += 8 * float64(f.bytes)
			reported += l.StoredBits * float64(len(want))
		}
		release()
	}
	r.Bits, r.Reported = stored/float64(r.Zeros.Weights), reported/float64(r.Zeros.Weights)
	return r, nil
}

// fileLinear is a linear layer as a file has it.
type fileLinear struct {
	weights []float32 // [out, in], in the order of the layer's rows
	codes   int       // different codes in use; 0 where it is stored as numbers
	bytes   int64
}

// readLinear decodes a linear layer of a file. What is stored as codes is
// decoded here, by the formats' descriptions and not by the program's readers.
func readLinear(cp *checkpoint.Checkpoint, l *model.Linear) (fileLinear, error) {
	if _, packed := cp.Quantized[l.Path]; packed {
		return readPacked(cp, l)
	}
	t, ok := cp.Lookup(l.Path + ".weight")
	if !ok {
		return fileLinear{}, fmt.Errorf("there is no weight: %w", os.ErrNotExist)
	}
	if t.Meta.Encoding == "q4_0" {
		return readQ4(t)
	}
	w, err := readTensor(cp, l.Path+".weight")
	return fileLinear{weights: w, bytes: t.Length}, err
}

// readQ4 decodes GGUF's Q4_0: blocks of 32 weights of a row, each a float16
// scale and 16 bytes whose low halves are the codes of the first 16 weights and
// whose high halves those of the others, stored plus 8. Rows of queries and keys
// are in llama.cpp's rotary order.
func readQ4(t checkpoint.Tensor) (fileLinear, error) {
	raw, err := readBytes(t)
	if err != nil {
		return fileLinear{}, err
	}
	out, in := t.Meta.Shape[0], t.Meta.Shape[1]
	if len(raw) != out*in/32*18 {
		return fileLinear{}, fmt.Errorf("%d bytes of Q4_0; expected %d for [%d, %d]", len(raw), out*in/32*18, out, in)
	}
	w := make([]float32, out*in)
	used := map[byte]bool{}
	for r := range out {
		to := r
		if d := t.Meta.RotaryHeadDim; d > 0 {
			h, k := r/d, r%d
			to = h*d + k/2 + k%2*d/2
		}
		row := w[to*in : (to+1)*in]
		for b := range in / 32 {
			block := raw[(r*in/32+b)*18:][:18]
			scale := half(binary.LittleEndian.Uint16(block))
			for i, c := range block[2:] {
				lo, hi := c&15, c>>4
				used[lo], used[hi] = true, true
				row[b*32+i] = scale * float32(int(lo)-8)
				row[b*32+16+i] = scale * float32(int(hi)-8)
			}
		}
	}
	return fileLinear{w, len(used), t.Length}, nil
}

// half decodes a finite float16.
func half(h uint16) float32 {
	sign, exponent, mantissa := 1.0, int(h>>10&31), float64(h&1023)
	if h>>15 == 1 {
		sign = -1
	}
	if exponent == 0 {
		return float32(sign * math.Ldexp(mantissa, -24))
	}
	return float32(sign * math.Ldexp(1024+mantissa, exponent-25))
}

// readPacked decodes compressed-tensors' pack-quantized: the i-th code of a row
// takes the i-th b bits of its words, symmetric codes are stored plus 2^(b−1),
// and a weight is its code times its group's scale.
func readPacked(cp *checkpoint.Checkpoint, l *model.Linear) (fileLinear, error) {
	var config struct {
		Quantization struct {
			Groups map[string]struct {
				Weights struct {
					Bits      int  `json:"num_bits"`
					GroupSize int  `json:"group_size"`
					Symmetric bool `json:"symmetric"`
				} `json:"weights"`
			} `json:"config_groups"`
		} `json:"quantization_config"`
	}
	raw, err := os.ReadFile(filepath.Join(cp.Path, "config.json"))
	if err != nil {
		return fileLinear{}, err
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return fileLinear{}, err
	}
	if len(config.Quantization.Groups) != 1 {
		return fileLinear{}, fmt.Errorf("%d groups in quantization_config; expected 1", len(config.Quantization.Groups))
	}
	var f fileLinear
	for _, g := range config.Quantization.Groups {
		bits := g.Weights.Bits
		if !g.Weights.Symmetric || bits == 0 || 32%bits != 0 {
			return f, fmt.Errorf("%+v: expected a symmetric grid of 2, 4 or 8 bits", g.Weights)
		}
		t, ok := cp.Lookup(l.Path + ".weight_packed")
		if !ok {
			return f, fmt.Errorf("there is no weight_packed: %w", os.ErrNotExist)
		}
		words, err := readBytes(t)
		if err != nil {
			return f, err
		}
		scales, err := readTensor(cp, l.Path+".weight_scale")
		if err != nil {
			return f, err
		}
		s, _ := cp.Lookup(l.Path + ".weight_scale")
		f.bytes = t.Length + s.Length
		f.weights = make([]float32, t.Meta.Shape[0]*t.Meta.Shape[1]*32/bits)
		used := map[int]bool{}
		for i := range f.weights {
			// Words are little-endian, so bit k of a row is bit k%8 of byte k/8.
			at := i * bits
			code := int(words[at/8]>>(at%8)) & (1<<bits - 1)
			used[code] = true
			f.weights[i] = scales[i/g.Weights.GroupSize] * float32(code-1<<(bits-1))
		}
		f.codes = len(used)
	}
	return f, nil
}

func readBytes(t checkpoint.Tensor) ([]byte, error) {
	f, err := os.Open(t.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, t.Length)
	_, err = f.ReadAt(b, t.Offset)
	return b, err
}
