package export

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes/blockwise"
)

// opened is a model that is being written.
type opened struct {
	cfg       *arch.Config
	config    []byte
	tokenizer []byte // nil where the model has none
	embed     *artifact.Value
	final     *artifact.Value
	blocks    []*artifact.Value
	releases  []func()

	load loader
	// last gives back what the tensor that was written last was read from.
	last func()
}

func (o *opened) close() {
	o.giveBack()
	for _, f := range o.releases {
		f()
	}
}

func (o *opened) giveBack() {
	if o.last != nil {
		o.last()
		o.last = nil
	}
}

// reading returns what a writer calls for the bytes of q when their turn comes:
// f of q, whose tree is opened for that alone and given back when the next
// tensor's turn comes. Otherwise all of the model would be mapped in the end, and
// count as this process's memory.
func (o *opened) reading(ctx context.Context, q piece, f func(piece) ([]byte, error)) func() ([]byte, error) {
	read, _ := o.readingAhead(ctx, q, f)
	return read
}

// readingAhead is reading, and what opens the tree beforehand and has the store
// open the weights, which it may hash to verify them, where they are stored as
// such. What goes wrong there is said when they are read. Of several tensors one
// at a time is opened ahead, and that is over before it is read.
func (o *opened) readingAhead(ctx context.Context, q piece, f func(piece) ([]byte, error)) (read func() ([]byte, error), ahead func()) {
	var early *artifact.Value
	var release func()
	ahead = func() {
		v, back, err := o.load(q.input)
		if err != nil {
			return
		}
		early, release = v, sync.OnceFunc(back)
		o.releases = append(o.releases, release) // if it is never read
		if leaf := q.weightLeaf(); v.Has(leaf) {
			_, _ = v.Bytes(leaf)
		}
	}
	read = func() ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		o.giveBack()
		if early == nil {
			v, back, err := o.load(q.input)
			if err != nil {
				return nil, err
			}
			early, release = v, back
		}
		q := q
		q.v, o.last = early, release
		early = nil
		return f(q)
	}
	return read, ahead
}

// open loads the parts; their bytes stay in files until they are read.
func open(load loader, layers int, tok bool) (*opened, error) {
	o := &opened{load: load}
	get := func(name string) (*artifact.Value, error) {
		v, release, err := load(name)
		if err == nil {
			o.releases = append(o.releases, release)
		}
		return v, err
	}
	fail := func(err error) (*opened, error) {
		o.close()
		return nil, err
	}
	c, err := get("config")
	if err != nil {
		return fail(err)
	}
	if o.config, err = c.Bytes("config.json"); err != nil {
		return fail(err)
	}
	if o.cfg, err = arch.ParseConfig(o.config); err != nil {
		return fail(err)
	}
	if tok {
		t, err := get("tokenizer")
		if err != nil {
			return fail(err)
		}
		if o.tokenizer, err = t.Bytes("tokenizer.json"); err != nil {
			return fail(err)
		}
	}
	if o.embed, err = get("embed"); err != nil {
		return fail(err)
	}
	if o.final, err = get("final"); err != nil {
		return fail(err)
	}
	for b := 0; b < layers; b++ {
		v, err := get(blockInput(b))
		if err != nil {
			return fail(err)
		}
		o.blocks = append(o.blocks, v)
	}
	return o, nil
}

// blockInput names the input that block b is.
func blockInput(b int) string { return fmt.Sprintf("block%d", b) }

// piece is one tensor or one linear layer of the model.
type piece struct {
	name   string // full Hugging Face name; of a linear layer without ".weight"
	input  string // what its tree is loaded by
	leaf   string // inside its tree
	v      *artifact.Value
	shape  []int
	linear *arch.LinearSpec // nil for other tensors
}

func (p piece) quantized() bool { return p.linear != nil && blockwise.IsQuantized(p.v, p.leaf) }

// pieces lists the model in checkpoint order.
func (o *opened) pieces() ([]piece, error) {
	var out []piece
	plain := func(v *artifact.Value, input, prefix, leaf string) error {
		e, err := v.Entry(leaf)
		if err != nil {
			return err
		}
		out = append(out, piece{name: prefix + leaf, input: input, leaf: leaf, v: v, shape: e.Meta.Shape})
		return nil
	}
	for _, t := range o.cfg.EmbedTensors() {
		if err := plain(o.embed, "embed", "", t.Name); err != nil {
			return nil, err
		}
	}
	for b, v := range o.blocks {
		prefix := o.cfg.BlockPrefix(b)
		linear := map[string]arch.LinearSpec{}
		for _, l := range o.cfg.At(b).Linears() {
			linear[l.Weight()] = l
		}
		for _, t := range o.cfg.At(b).BlockTensors() {
			if l, ok := linear[t.Name]; ok {
				out = append(out, piece{name: prefix + l.Name, input: blockInput(b), leaf: l.Name, v: v, shape: []int{l.Out, l.In}, linear: &l})
			} else if err := plain(v, blockInput(b), prefix, t.Name); err != nil {
				return nil, err
			}
		}
	}
	for _, t := range o.cfg.FinalTensors() {
		if err := plain(o.final, "final", "", t.Name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// hasSides reports whether a linear layer has side paths.
func (p piece) hasSides() bool {
	return p.linear != nil && blockwise.SideCount(p.v, p.leaf) > 0
}

// dense returns a piece's weights, with its side paths added where merge says
// so.
func (p piece) dense(merge bool) ([]float32, error) {
	if p.linear == nil {
		return p.v.Float32(p.leaf)
	}
	w, err := blockwise.Dense(p.v, p.leaf)
	if err != nil || !merge || !p.hasSides() {
		return w, err
	}
	sides, err := blockwise.Sides(p.v, p.leaf)
	if err != nil {
		return nil, err
	}
	sum := slices.Clone(w)
	for _, s := range sides {
		addSide(sum, p.linear.Out, p.linear.In, s)
	}
	return sum, nil
}

// addSide adds B·A to w [out, in], each element a sum in float64.
func addSide(w []float32, out, in int, s nn.Side) {
	row := make([]float64, in)
	for r := 0; r < out; r++ {
		clear(row)
		for k := 0; k < s.Rank; k++ {
			b := float64(s.B[r*s.Rank+k])
			for j, a := range s.A[k*in : (k+1)*in] {
				row[j] += float64(b * float64(a))
			}
		}
		for j, x := range row {
			w[r*in+j] = float32(float64(w[r*in+j]) + float64(float64(s.Scale)*x))
		}
	}
}

// weightName is the full Hugging Face name of the piece's tensor.
func (p piece) weightName() string {
	if p.linear != nil {
		return p.name + ".weight"
	}
	return p.name
}

// weightLeaf is the leaf of floating point weights; a layer of codes has none.
func (p piece) weightLeaf() string {
	if p.linear != nil {
		return p.leaf + ".weight"
	}
	return p.leaf
}

// codes returns a quantised piece.
func (p piece) codes() (*grid.Quantized, error) { return blockwise.Quantized(p.v, p.leaf) }
