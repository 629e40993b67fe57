package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/lang"
)

// inspection is what headers say of a model file.
type inspection struct {
	FormatVersion string          `json:"format_version"`
	Path          string          `json:"path"`
	Model         *inspectedModel `json:"model,omitempty"`
	// NoModel says why the file is no model that a pipeline could use.
	NoModel  string            `json:"no_model,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Tensors  []inspectedTensor `json:"tensors"`
}

type inspectedModel struct {
	Architecture  string  `json:"architecture"`
	Parameters    int64   `json:"parameters"`
	Bytes         int64   `json:"bytes"`
	BitsPerWeight float64 `json:"bits_per_weight"`
	Layers        int     `json:"layers"`
	Hidden        int     `json:"hidden"`
	Intermediate  int     `json:"intermediate"`
	Heads         int     `json:"heads"`
	KVHeads       int     `json:"kv_heads"`
	HeadDim       int     `json:"head_dim"`
	// Blocks are the shapes of the blocks where they differ; the numbers above
	// are then the largest.
	Blocks  []arch.BlockShape `json:"blocks,omitempty"`
	Vocab   int               `json:"vocab"`
	Context int               `json:"context"`
	Tied    bool              `json:"tied"`
	// Norms are those of blocks and head: LayerNorm, RMSNorm or CRMSNorm.
	Norms string `json:"norms"`
	// Adapters are those behind the sublayers of every block, if there are any.
	Adapters *arch.Adapters `json:"adapters,omitempty"`
	// Tokenizer is the digest of the tokenizer, "" where there is none.
	Tokenizer      string `json:"tokenizer"`
	TokenizerVocab int    `json:"tokenizer_vocab,omitempty"`
	// GroupSizes divide the inputs of every linear layer.
	GroupSizes []int `json:"group_sizes"`
}

type inspectedTensor struct {
	Name   string `json:"name"`
	Format string `json:"format"`
	Shape  []int  `json:"shape"`
	Bytes  int64  `json:"bytes"`
}

func (a *app) inspectCmd() *cobra.Command {
	var asJSON, tensors bool
	c := &cobra.Command{
		Use: "inspect FILE", Short: "Say what a model file holds",
		Long: `Reads the headers of a model folder, a .safetensors or a .gguf file and says what is
in it: architecture, shapes, number formats, bits per weight, tokenizer. No weight
is read. A file that is no whole model is listed tensor by tensor.`,
		Example: "  compressc inspect model.gguf\n  compressc inspect -tensors out/model.safetensors",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := inspect(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.Out, r)
			}
			a.showInspection(r, tensors)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&tensors, "tensors", false, "list every tensor")
	return c
}

func inspect(path string) (*inspection, error) {
	r := &inspection{FormatVersion: "1.0", Path: path, Tensors: []inspectedTensor{}}
	cp, err := checkpoint.Open(path)
	if err != nil {
		r.NoModel = err.Error()
		if lone := r.headers(path); lone != nil {
			return nil, errors.Join(err, lone)
		}
		return r, nil
	}
	t := cp.Type(path)
	c := cp.Config
	m := &inspectedModel{Architecture: c.ModelType, Parameters: t.Parameters(), Bytes: t.Size(), BitsPerWeight: t.BitsPerWeight(), Layers: c.Layers,
		Hidden: c.Hidden, Intermediate: c.Intermediate, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim, Vocab: c.Vocab, Context: c.MaxPosition,
		Tied: c.Tied, Norms: arch.NormName(c.Norm), GroupSizes: groupSizes(t)}
	if c.Adapters.Any() {
		m.Adapters = &c.Adapters
	}
	if !c.Uniform() {
		for i := range c.Layers {
			m.Blocks = append(m.Blocks, c.Shape(i))
		}
	}
	if cp.TokenizerJSON != nil {
		tok, err := cp.Tokenizer()
		if err != nil {
			return nil, err
		}
		m.Tokenizer, m.TokenizerVocab = tok.Digest(), tok.VocabSize()
	}
	r.Model = m
	for _, t := range cp.Tensors {
		r.add(t.Name, t.Meta, t.Length)
	}
	return r, nil
}

// sizes is a size that every block has, or the range where blocks differ.
func (m *inspectedModel) sizes(all int, of func(arch.BlockShape) int) string {
	if m.Blocks == nil {
		return fmt.Sprint(all)
	}
	least := slices.MinFunc(m.Blocks, func(a, b arch.BlockShape) int { return of(a) - of(b) })
	if of(least) == all {
		return fmt.Sprint(all)
	}
	return fmt.Sprintf("%d–%d", of(least), all)
}

// groupSizes are those that every linear layer can be quantised with.
func groupSizes(t *model.Type) []int {
	sizes := []int{}
	for i, l := range t.Linears {
		if i == 0 {
			sizes = append(sizes, model.Divisors(l.In)...)
			continue
		}
		sizes = slices.DeleteFunc(sizes, func(g int) bool { return l.In%g != 0 })
	}
	return sizes
}

// headers lists the tensors of a lone file.
func (r *inspection) headers(path string) error {
	if strings.EqualFold(filepath.Ext(path), ".gguf") {
		f, err := gguf.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		for _, t := range f.Tensors() {
			r.add(t.Name, t.Meta, t.Length)
		}
		return nil
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r.Metadata = f.Metadata
	for _, t := range f.Tensors() {
		r.add(t.Name, t.Meta, t.Length)
	}
	return nil
}

func (r *inspection) add(name string, m tensor.Meta, bytes int64) {
	format := strings.ToLower(string(m.DType))
	if m.Encoding != "" {
		format = m.Encoding
	}
	r.Tensors = append(r.Tensors, inspectedTensor{name, format, m.Shape, bytes})
}

func (a *app) showInspection(r *inspection, tensors bool) {
	fmt.Fprintln(a.Out, a.paintOut(bold, r.Path))
	facts := newTable(2)
	if m := r.Model; m != nil {
		facts.row("architecture", m.Architecture)
		facts.row("parameters", fmt.Sprintf("%s (%d)", countText(m.Parameters), m.Parameters))
		facts.row("size", lang.HumanSize(float64(m.Bytes)))
		facts.row("bits per weight", fmt.Sprintf("%.2f in the linear layers", m.BitsPerWeight))
		facts.row("layers", fmt.Sprintf("%d of %d → %s → %d", m.Layers, m.Hidden, m.sizes(m.Intermediate, func(s arch.BlockShape) int { return s.Intermediate }), m.Hidden))
		facts.row("attention", fmt.Sprintf("%s heads of %d, %s of keys and values", m.sizes(m.Heads, func(s arch.BlockShape) int { return s.Heads }), m.HeadDim,
			m.sizes(m.KVHeads, func(s arch.BlockShape) int { return s.KVHeads })))
		facts.row("norms", m.Norms)
		if ad := m.Adapters; ad != nil {
			where := "attention and MLP"
			if ad.Placement == arch.AdaptersFFN {
				where = "the MLP"
			}
			facts.row("adapters", fmt.Sprintf("behind %s: %d → %d → %d, %d products of rank %d", where, m.Hidden, ad.Width, m.Hidden, ad.Order, ad.Rank))
		}
		tied := "a head of its own"
		if m.Tied {
			tied = "the embedding is the head"
		}
		facts.row("vocabulary", fmt.Sprintf("%d, %s", m.Vocab, tied))
		if m.Context > 0 {
			facts.row("context", fmt.Sprintf("%d tokens", m.Context))
		}
		tok := "none: put a tokenizer.json beside the model"
		if m.Tokenizer != "" {
			tok = fmt.Sprintf("%d tokens, %.12s", m.TokenizerVocab, m.Tokenizer)
		}
		facts.row("tokenizer", tok)
		facts.row("group sizes", strings.Trim(fmt.Sprint(m.GroupSizes), "[]"))
	} else {
		facts.row("no model", r.NoModel)
	}
	facts.write(a.Out, "  ", a.colored(a.Out))
	fmt.Fprintln(a.Out)
	if tensors || r.Model == nil {
		list := newTable(4, "tensor", "format", ">shape", ">size")
		for _, t := range r.Tensors {
			list.row(t.Name, t.Format, shapeText(t.Shape), lang.HumanSize(float64(t.Bytes)))
		}
		list.write(a.Out, "  ", a.colored(a.Out))
		return
	}
	sum := newTable(3, "format", ">tensors", ">size")
	for _, f := range formats(r.Tensors) {
		sum.row(f.format, fmt.Sprint(f.tensors), lang.HumanSize(float64(f.bytes)))
	}
	sum.write(a.Out, "  ", a.colored(a.Out))
}

type formatShare struct {
	format  string
	tensors int
	bytes   int64
}

// formats sums up the tensors by number format, the largest share first.
func formats(tensors []inspectedTensor) []formatShare {
	var list []formatShare
	for _, t := range tensors {
		i := slices.IndexFunc(list, func(s formatShare) bool { return s.format == t.Format })
		if i < 0 {
			i = len(list)
			list = append(list, formatShare{format: t.Format})
		}
		list[i].tensors++
		list[i].bytes += t.Bytes
	}
	slices.SortStableFunc(list, func(a, b formatShare) int { return int(min(max(b.bytes-a.bytes, -1), 1)) })
	return list
}

func shapeText(shape []int) string {
	parts := make([]string, len(shape))
	for i, d := range shape {
		parts[i] = fmt.Sprint(d)
	}
	return strings.Join(parts, " × ")
}
