package main

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes/blockwise"
)

// smooth measures weights and activations in 8 bits before and after smoothing, and
// how far the smoothed model's logits are from the model's in floating point.
func smooth(m *measurement) error {
	rec, err := m.run(nil)
	if err != nil {
		return err
	}
	dense, err := perplexity(rec, "dense", "")
	if err != nil {
		return err
	}
	m.Printf("Weights are rounded to 8 bits with a scale a row, inputs of the blocks' linears to 8 bits. *Per tensor* is one scale for each input, fixed on the calibration text; *per token* is one for each token, as it comes. The model as it is has a perplexity of %.4f.\n\n| | per tensor | per token | smoothed, not rounded |\n|---|---|---|---|\n", dense)
	best := map[string]float64{"two_tensor": math.Inf(1), "two_token": math.Inf(1), "all_tensor": math.Inf(1), "all_token": math.Inf(1)}
	for _, row := range []struct{ name, point, title string }{
		{"plain", "", "not smoothed"},
		{"two", "alpha=0.5", "qkv and gate_up, alpha 0.5"},
		{"two", "alpha=0.85", "qkv and gate_up, alpha 0.85"},
		{"all", "alpha=0.5", "all four sites, alpha 0.5"},
		{"all", "alpha=0.85", "all four sites, alpha 0.85"},
	} {
		m.Printf("| %s |", row.title)
		for _, scale := range []string{"tensor", "token"} {
			x, err := perplexity(rec, row.name+"_"+scale, row.point)
			if err != nil {
				return err
			}
			if row.name == "plain" {
				best[row.name+"_"+scale] = x
			}
			best[row.name+"_"+scale] = min(best[row.name+"_"+scale], x)
			m.Printf(" %.4f |", x)
		}
		if row.name == "all" {
			x, err := perplexity(rec, "exact", row.point)
			if err != nil {
				return err
			}
			m.Printf(" %.4f |\n", x)
			continue
		}
		m.Printf(" |\n")
	}
	m.Printf("\n- Per tensor, smoothing before the norms' consumers lowers the perplexity at the better alpha: %s; at all four sites: %s\n",
		m.Agreement("smoothing pays per tensor", best["two_tensor"] < best["plain_tensor"], false),
		m.Agreement("smoothing four sites pays per tensor", best["all_tensor"] < best["plain_tensor"], false))
	m.Printf("- Per token, where a model this small has little to gain: from %.4f to %.4f at two sites and %.4f at four.\n", best["plain_token"], best["two_token"], best["all_token"])
	off, err := m.logitDistance("model.base", "transform.all[move.alpha=0.5]")
	if err != nil {
		return err
	}
	m.Printf("- In floating point, no logit of the 64 golden tokens moves by more than %.2g (alpha 0.5, four sites): %s\n", off, m.Verdict("logits within 1e-3", off < 1e-3, false))
	return nil
}

// logitDistance is the largest difference between the logits of two models of one
// shape for the golden tokens.
func (m *measurement) logitDistance(a, b string) (float64, error) {
	text, err := m.claim.text()
	if err != nil {
		return 0, err
	}
	s, err := acceptance.OpenSession(".", text, acceptance.SessionOptions{CacheDir: m.cache, Vars: m.vars(nil)})
	if err != nil {
		return 0, err
	}
	defer s.Close()
	x, err := m.logits(s, a)
	if err != nil {
		return 0, err
	}
	y, err := m.logits(s, b)
	if err != nil {
		return 0, err
	}
	off := 0.0
	for i := range x {
		if d := math.Abs(float64(x[i]) - float64(y[i])); !(d <= off) {
			off = d
		}
	}
	return off, nil
}

// logits are those of the model that a node yields for the golden tokens,
// [tokens, vocab].
func (m *measurement) logits(s *acceptance.Session, addr string) ([]float32, error) {
	model, err := s.Model(addr)
	if err != nil {
		return nil, err
	}
	golden, err := m.reference.Tensors("logits64.safetensors")
	if err != nil {
		return nil, err
	}
	ids, err := golden.Int32("input_ids")
	if err != nil {
		return nil, err
	}
	cfg := model.Type.Config
	outer := func(ref action.Ref) (*artifact.Value, func(), error) {
		if _, err := s.Executor.Run(m.ctx, []action.Ref{ref}); err != nil {
			return nil, nil, err
		}
		return s.Executor.Value(m.ctx, ref)
	}
	embed, release, err := outer(model.Embed)
	if err != nil {
		return nil, err
	}
	defer release()
	table, err := embed.Float32(cfg.EmbedName())
	if err != nil {
		return nil, err
	}
	pool := linalg.NewPool(0)
	defer pool.Close()
	r := nn.NewRunner(cfg, pool)
	x := make([]float32, len(ids)*cfg.Hidden)
	r.Embed(table, ids, x)
	for b := range cfg.Layers {
		v, release, err := s.Block(m.ctx, addr, b)
		if err != nil {
			return nil, err
		}
		block, err := blockwise.LoadForward(cfg.At(b), v)
		if err == nil {
			r.Forward(block, x, len(ids), nil)
		}
		release()
		if err != nil {
			return nil, fmt.Errorf("%s, block %d: %w", addr, b, err)
		}
	}
	final, release, err := outer(model.Final)
	if err != nil {
		return nil, err
	}
	defer release()
	norm, err := nn.LoadFinalNorm(cfg, final.Float32)
	if err != nil {
		return nil, err
	}
	return r.Logits(norm, &nn.Linear{Out: cfg.Vocab, In: cfg.Hidden, W: table}, x, len(ids)), nil
}
