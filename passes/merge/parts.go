package merge

import (
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes"
)

// class says what a tensor is.
type class string

const (
	table  class = "table"
	linear class = "linear"
	vector class = "vector"
)

// place is one tensor of a model, as the lowering sees it.
type place struct {
	// leaf is its name in its part, path its canonical name.
	leaf, path string
	class      class
	// layer is nil for what is no linear layer.
	layer *model.Linear
	// depth is 0 for the embedding, 1 for the head, and rises over the blocks.
	depth    float64
	elements int
	keep     bool
}

// part is what one action works on.
type part struct {
	label  string
	block  int // -1 outside the blocks
	places []place
	of     func(*passes.Model) action.Ref
}

func (p part) elements() (n int64) {
	for _, t := range p.places {
		if !t.keep {
			n += int64(t.elements)
		}
	}
	return n
}

// largest is the number of elements of the largest tensor.
func (p part) largest() (n int64) {
	for _, t := range p.places {
		if !t.keep {
			n = max(n, int64(t.elements))
		}
	}
	return n
}

// merges reports whether there is anything to do.
func (p part) merges() bool { return p.elements() > 0 }

// parts lists the result's parts: embedding, blocks in order, final.
func (j job) parts(ty *model.Type) []part {
	c := ty.Config
	embed := part{label: "embedding", block: -1, of: func(m *passes.Model) action.Ref { return m.Embed }}
	final := part{label: "head", block: -1, of: func(m *passes.Model) action.Ref { return m.Final }}
	outer := func(t arch.TensorSpec, depth float64) place {
		p := place{leaf: t.Name, path: t.Name, class: vector, elements: int(t.Elements()), keep: j.keeps(t.Name, c), depth: depth}
		if isTable(t.Name, c) {
			p.class = table
		}
		return p
	}
	for _, t := range c.EmbedTensors() {
		embed.places = append(embed.places, outer(t, 0))
	}
	for _, t := range c.FinalTensors() {
		final.places = append(final.places, outer(t, 1))
	}
	list := []part{embed}
	for b := range c.Layers {
		p := part{label: fmt.Sprintf("block %d", b), block: b, of: func(m *passes.Model) action.Ref { return m.Blocks[b] }}
		layers := map[string]*model.Linear{}
		for _, l := range ty.Block(b) {
			layers[l.Name+".weight"] = l
		}
		for _, t := range c.At(b).BlockTensors() {
			q := place{leaf: t.Name, path: c.BlockPrefix(b) + t.Name, class: vector, elements: int(t.Elements()), layer: layers[t.Name]}
			if q.layer != nil {
				q.class = linear
				q.elements = q.layer.Out * q.layer.In
			}
			if c.Layers > 1 {
				q.depth = float64(b) / float64(c.Layers-1)
			}
			p.places = append(p.places, q)
		}
		list = append(list, p)
	}
	return append(list, final)
}
