package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/passes/blockwise"
)

// Sources are leaves whose bytes stay where they are. Where a family stores
// weights in another form than layers are compressed in (GPT-2's [in, out], with
// q, k and v in one), an action for each stored tensor makes the layers' own.

type fusedParams struct {
	// Tensor is the leaf of the stored tensor; piece i of its outputs becomes the
	// leaf Names[i].
	Tensor string   `json:"tensor"`
	Names  []string `json:"names"`
}

// fusedKernel turns a tensor [in, parts·out] into tensors [out, in], in the
// encoding that it has.
var fusedKernel = action.NewKernel("source.split", 1, func(c *action.Context, p fusedParams) error {
	e, err := c.Input("stored").Entry(p.Tensor)
	if err != nil {
		return err
	}
	data, err := c.Input("stored").Bytes(p.Tensor)
	if err != nil {
		return err
	}
	n := len(p.Names)
	for i, name := range p.Names {
		meta := tensor.Meta{DType: e.Meta.DType, Shape: []int{e.Meta.Shape[1] / n, e.Meta.Shape[0]}}
		c.Output("block").PutBytes(name, meta, checkpoint.Transposed(data, e.Meta, i, n))
		if err := c.Step(i+1, n); err != nil {
			return err
		}
	}
	return nil
})

// assembleFused adds what block b's layers are made of to its other tensors.
func assembleFused(g *action.Graph, store *cache.Store, node string, cp *checkpoint.Checkpoint, b int, base action.Ref, entries map[string]artifact.Entry) (action.Ref, error) {
	parts := map[string][]string{} // by the name of the stored tensor
	bytes := map[string]int64{}
	for _, name := range cp.BlockTensors(b) {
		t, ok := cp.Lookup(cp.Config.BlockPrefix(b) + name)
		if !ok || t.Fused == nil {
			continue
		}
		stored := t.Fused.Stored.Name
		if parts[stored] == nil {
			parts[stored] = make([]string, t.Fused.Parts)
		}
		parts[stored][t.Fused.Part] = name
		bytes[stored] += t.Length
	}
	var names []string
	for n := range parts {
		names = append(names, n)
	}
	slices.Sort(names)
	var pieces []action.Piece
	for _, stored := range names {
		e := entries[stored]
		e.Name = stored[strings.LastIndex(strings.TrimSuffix(stored, ".weight"), ".")+1:]
		t := &artifact.Tree{Entries: []artifact.Entry{e}}
		if err := putTree(store, t); err != nil {
			return action.Ref{}, err
		}
		a := g.Add(action.Spec{Kernel: fusedKernel, Params: fusedParams{e.Name, parts[stored]},
			Inputs: []action.Input{{Name: "stored", Ref: g.AddLeaf(node, t)}}, Node: node, Label: fmt.Sprintf("block %d, %s", b, e.Name),
			Outputs: []action.Output{{Name: "block", Class: action.Durable, Bytes: bytes[stored]}},
			Flops:   float64(bytes[stored]), Peak: bytes[stored]})
		ref := action.Ref{Action: a, Output: "block"}
		for _, name := range parts[stored] {
			own := []string{name}
			piece := ref
			if len(parts[stored]) > 1 {
				piece = g.Part(ref, own)
			}
			// Under all names that a layer's weights may have, so that methods that
			// look at weights alone see through the assembly.
			pieces = append(pieces, action.Piece{Names: blockwise.LinearLeaves(strings.TrimSuffix(name, ".weight")), Ref: piece})
		}
	}
	if pieces == nil {
		return base, nil
	}
	return g.Assemble(node, fmt.Sprintf("block %d", b), base, pieces), nil
}
