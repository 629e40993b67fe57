// Package text turns files of text into windows of tokens.
package text

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/corpus"
	"github.com/compressc/compressc/internal/tokenizer"
)

// Params say how a text is cut.
type Params struct {
	Format         string `json:"format"`
	Field          string `json:"field,omitempty"`
	SequenceLength int    `json:"sequence_length"`
	Samples        int    `json:"samples"`
	Offset         int    `json:"offset,omitempty"`
	Select         string `json:"select"`
	Seed           uint64 `json:"seed,omitempty"`
}

// kernel tokenises the leaf "text" with the leaf "tokenizer.json", or byte by
// byte where that input is absent.
var kernel = action.NewKernel("data.text", 1, func(c *action.Context, p Params) error {
	raw, err := c.Input("text").Bytes("text")
	if err != nil {
		return err
	}
	tok := tokenizer.ByteLevel()
	if v := c.In["tokenizer"]; v != nil {
		j, err := v.Bytes("tokenizer.json")
		if err != nil {
			return err
		}
		if tok, err = tokenizer.FromJSON(j); err != nil {
			return err
		}
	}
	text, err := corpus.Parse("the text", raw, corpus.Options{Format: p.Format, Field: p.Field})
	if err != nil {
		return err
	}
	ids, err := text.Encode(tok)
	if err != nil {
		return err
	}
	w, err := corpus.Windows(ids, corpus.Spec{SequenceLength: p.SequenceLength, Samples: p.Samples, Offset: p.Offset, Select: p.Select, Seed: p.Seed})
	if err != nil {
		return err
	}
	flat := make([]int32, 0, w.Len()*p.SequenceLength)
	for i := range w.Len() {
		flat = append(flat, w.At(i)...)
	}
	c.Output("tokens").PutInt32("tokens", []int{w.Len(), p.SequenceLength}, flat)
	return nil
})

// Lower adds the tokenising of text; tokenizer is not valid for bytes.
func Lower(g *action.Graph, node string, text, tokenizer action.Ref, size int64, p Params) action.Ref {
	in := []action.Input{{Name: "text", Ref: text}}
	if tokenizer.Valid() {
		in = append(in, action.Input{Name: "tokenizer", Ref: tokenizer})
	}
	if p.Select == "first" {
		p.Seed = 0 // nothing is drawn
	}
	a := g.Add(action.Spec{Kernel: kernel, Params: p, Inputs: in, Node: node, Label: "tokens",
		Outputs: []action.Output{{Name: "tokens", Class: action.Durable, Bytes: int64(p.Samples) * int64(p.SequenceLength) * 4}},
		Flops:   float64(size) * 500, Peak: size*10 + 64<<20})
	return action.Ref{Action: a, Output: "tokens"}
}
