package main

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/internal/record"
)

// flap measures structured pruning with means in biases beside the same without
// biases and beside structured Wanda, bare and after a short training.
func flap(m *measurement) error {
	rec, err := m.run(map[string]string{"out": m.scratch})
	if err != nil {
		return err
	}
	base, err := perplexity(rec, "base", "")
	if err != nil {
		return err
	}
	all := modelOf(rec, "base", "")
	m.Printf("Whole heads with their keys and whole neurons go. *Removed* is the share of the parameters of the decoder blocks; embedding and norms stay. Structured Wanda scores by |weight| × input norm, cuts each layer by the same share and has no biases. The model as it is has %d parameters and a perplexity of %.4f.\n\n", all, base)
	m.Printf("| ratio | method | parameters | removed | perplexity |\n|---|---|---|---|---|\n")
	ppl := map[string]float64{}
	for _, ratio := range []string{"0.2", "0.4"} {
		for _, c := range []struct{ name, title string }{{"flap", "FLAP"}, {"bare", "FLAP, compensate = false"}, {"wanda", "structured Wanda"}} {
			point := "ratio=" + ratio
			x, err := perplexity(rec, c.name, point)
			if err != nil {
				return err
			}
			ppl[c.name+ratio] = x
			n := modelOf(rec, c.name, point)
			m.Printf("| %s | %s | %d | %.2f %% | %.4f |\n", ratio, c.title, n, 100*removed(all, n), x)
		}
	}
	m.Printf("\nFLAP < no biases < structured Wanda at 0.2: %s. FLAP < no biases at 0.4: %s.\n",
		m.Agreement("FLAP below its variants at 0.2", ppl["flap0.2"] < ppl["bare0.2"] && ppl["bare0.2"] < ppl["wanda0.2"], false),
		m.Agreement("FLAP below no biases at 0.4", ppl["flap0.4"] < ppl["bare0.4"], false))
	off := 0.0
	for _, ratio := range []float64{0.2, 0.4} {
		n := modelOf(rec, "flap", fmt.Sprintf("ratio=%g", ratio))
		want := float64(all) - ratio*float64(blockWeights)
		off = max(off, math.Abs(float64(n)/want-1))
	}
	m.Printf("The parameters are within %.3f %% of what the ratio asks for: %s.\n", 100*off, m.Verdict("parameters within 1 %", off < 0.01, false))

	m.Printf("\nAfter LoRA of rank 16 on 100 further windows of that text, each once, at ratio 0.2:\n\n| method | before | after |\n|---|---|---|\n")
	for _, c := range []struct{ name, title string }{{"flap", "FLAP"}, {"wanda", "structured Wanda"}} {
		x, err := perplexity(rec, c.name+"_lora", "")
		if err != nil {
			return err
		}
		ppl[c.name+"_lora"] = x
		m.Printf("| %s | %.4f | %.4f |\n", c.title, ppl[c.name+"0.2"], x)
	}
	m.Printf("\nFLAP stays below structured Wanda: %s.\n", m.Agreement("FLAP after training below Wanda after training", ppl["flap_lora"] < ppl["wanda_lora"], false))

	whole, cut := fileBytes(rec, "base"), fileBytes(rec, "flap")
	m.Printf("\nGGUF files in f16: %d bytes before where layers that came packed stay so, %d after at ratio 0.2, %.3f a parameter.\n", whole, cut, float64(cut)/float64(modelOf(rec, "flap", "ratio=0.2")))
	return nil
}

// blockWeights are the parameters of the reference model's decoder blocks that
// heads and neurons are made of.
const blockWeights = 30 * (2*576*576 + 2*576*192 + 3*576*1536)

// removed is the share of blockWeights that a model of n parameters lacks, of
// one of all.
func removed(all, n int64) float64 { return float64(all-n) / blockWeights }

// modelOf is the number of parameters of what an evaluation measured.
func modelOf(rec *record.Record, name, point string) int64 {
	if e := acceptance.FindEvaluation(rec, "evaluate."+name, point); e != nil && e.Model != nil {
		return e.Model.Parameters
	}
	return 0
}

// fileBytes are the sizes of an export's files together.
func fileBytes(rec *record.Record, name string) (n int64) {
	for _, x := range rec.Exports {
		if x.Name == "export."+name {
			for _, f := range x.Files {
				n += f.Bytes
			}
		}
	}
	return n
}
