package main

import (
	"encoding/json"
	"fmt"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/internal/record"
)

// shares measures a sparsity and bits that are spread over half blocks by measured
// distortions beside one number for all, and the shares of one pruner used by
// another.
func shares(m *measurement) error {
	rec, err := m.run(nil)
	if err != nil {
		return err
	}
	dense, err := perplexity(rec, "dense", "")
	if err != nil {
		return err
	}
	m.Printf("The curves are KL divergences on 256 tokens of the calibration text. The model as it is has a perplexity of %.4f.\n\n| | bits per weight | zeros | perplexity |\n|---|---|---|---|\n", dense)
	ppl := map[string]float64{}
	for _, row := range []struct{ name, of, title string }{
		{"uniform", "prune.uniform", "magnitude, 50 % of each layer"},
		{"shared", "prune.shared", "magnitude, 50 % spread over half blocks"},
		{"uniform_wanda", "prune.uniform_wanda", "Wanda, 50 % of each layer"},
		{"shared_wanda", "prune.shared_wanda", "Wanda, the shares of magnitude"},
		{"uniform_bits", "quantize.uniform_bits", "rounded, 4 bits, groups of 64"},
		{"shared_bits", "quantize.shared_bits", "rounded, as many bits spread over half blocks"},
	} {
		x, err := perplexity(rec, row.name, "")
		if err != nil {
			return err
		}
		ppl[row.name] = x
		n := acceptance.FindNode(rec, row.of, "")
		if n == nil || n.Model == nil {
			return fmt.Errorf("the run has no model of %s", row.of)
		}
		m.Printf("| %s | %.3f | %.2f %% | %.4f |\n", row.title, n.Model.BitsPerWeight, 100*n.Model.Sparsity, x)
	}
	m.Printf("\n- At 50 %% by magnitude, the spread sparsity is at most half of the uniform one's perplexity: %.3f of it: %s\n",
		ppl["shared"]/ppl["uniform"], m.Agreement("allocation at 50 % by magnitude", ppl["shared"] <= 0.5*ppl["uniform"], false))
	m.Printf("- Spread bits are no worse than uniform ones: %s\n", m.Agreement("allocation of bits", ppl["shared_bits"] <= ppl["uniform_bits"], false))
	for _, name := range []string{"s50", "b4"} {
		r, err := decision(rec, name)
		if err != nil {
			return err
		}
		m.Printf("- allocate.%s predicts %.4f nats a token, of one number for all %.4f: %s\n", name, r.Predicted, r.Uniform,
			m.Verdict("the allocation is predicted to be no worse than uniform", r.Predicted <= r.Uniform, false))
	}
	m.Printf("- With Wanda the shares that magnitude's curves gave come to %.3f of its own uniform perplexity.\n", ppl["shared_wanda"]/ppl["uniform_wanda"])
	return nil
}

// predictions are what a decision expects of itself and of one level for all.
type predictions struct{ Predicted, Uniform float64 }

func decision(rec *record.Record, name string) (p predictions, err error) {
	e := acceptance.FindEvaluation(rec, "allocate."+name, "")
	if e == nil {
		return p, fmt.Errorf("the run has no report of allocate.%s", name)
	}
	return p, json.Unmarshal(e.Report, &p)
}
