package gguf

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
)

// configMap is a decoded config.json.
type configMap map[string]any

func (c configMap) int(key string) (int, bool) { return jsonInt(c[key]) }

func (c configMap) float(key string) (float64, bool) {
	switch v := c[key].(type) {
	case float64:
		return v, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	case int:
		return float64(v), true
	}
	return 0, false
}

func jsonInt(v any) (int, bool) {
	switch v := v.(type) {
	case int:
		return v, true
	case float64:
		return int(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	case json.Number:
		n, err := v.Int64()
		return int(n), err == nil
	}
	return 0, false
}

// ropeConfig is the rotary part of a configuration.
type ropeConfig struct {
	theta    float64
	kind     string // "default", "linear" or "llama3"
	factor   float64
	low      float64 // llama3: low_freq_factor
	high     float64 // llama3: high_freq_factor
	original int     // llama3: original_max_position_embeddings
}

// ropeOf reads rope_theta with rope_scaling, or rope_parameters.
func ropeOf(c configMap) (ropeConfig, error) {
	r := ropeConfig{theta: 10000, kind: "default"}
	if v, ok := c.float("rope_theta"); ok {
		r.theta = v
	}
	key := "rope_scaling"
	if c["rope_parameters"] != nil {
		key = "rope_parameters"
	}
	raw, _ := c[key].(map[string]any)
	p := configMap(raw)
	if v, ok := p.float("rope_theta"); ok {
		r.theta = v
	}
	if !(r.theta >= 1) || r.theta > math.MaxFloat32 {
		return r, fmt.Errorf("config: rope_theta is %v, expected a number of at least 1", r.theta)
	}
	for _, k := range []string{"type", "rope_type"} {
		if s, ok := p[k].(string); ok {
			r.kind = s
		}
	}
	switch r.kind {
	case "default":
		return r, nil
	case "linear", "llama3":
	default:
		return r, fmt.Errorf("config: %s has rope_type %q; supported are default, linear, llama3", key, r.kind)
	}
	var ok bool
	if r.factor, ok = p.float("factor"); !ok || !(r.factor >= 1) {
		return r, fmt.Errorf("config: %s: factor is missing or below 1", key)
	}
	if r.kind == "llama3" {
		var okLow, okHigh, okOriginal bool
		r.low, okLow = p.float("low_freq_factor")
		r.high, okHigh = p.float("high_freq_factor")
		r.original, okOriginal = p.int("original_max_position_embeddings")
		if !okLow || !okHigh || !okOriginal || !(r.low > 0 && r.high > r.low) || r.original < 1 || r.original > 1<<31-1 {
			return r, fmt.Errorf("config: %s: rope_type llama3 needs 0 < low_freq_factor < high_freq_factor and a positive original_max_position_embeddings", key)
		}
	}
	return r, nil
}

func ropeKVs(c configMap, arch string, headDim int, add func(string, any)) error {
	r, err := ropeOf(c)
	if err != nil {
		return err
	}
	if arch == "llama" {
		add("rope.dimension_count", uint32(headDim))
	}
	add("rope.freq_base", float32(r.theta))
	switch r.kind {
	case "linear":
		add("rope.scaling.type", "linear")
		add("rope.scaling.factor", float32(r.factor))
	case "llama3":
		// Readers take the scaling from rope_freqs.weight; this key changes
		// nothing for them and makes the way back definite.
		add("rope.scaling.original_context_length", uint32(r.original))
	}
	return nil
}

// RopeFreqs returns the content of the tensor rope_freqs.weight, one divisor
// for each of the headDim/2 rotary frequencies, for a decoded config.json with
// llama3 scaling, and nil for one without.
func RopeFreqs(config map[string]any) ([]float32, error) {
	c := configMap(config)
	r, err := ropeOf(c)
	if err != nil || r.kind != "llama3" {
		return nil, err
	}
	headDim, ok := c.int("head_dim")
	if !ok {
		hidden, okHidden := c.int("hidden_size")
		heads, okHeads := c.int("num_attention_heads")
		if !okHidden || !okHeads || heads <= 0 {
			return nil, fmt.Errorf("config: head_dim, or hidden_size and num_attention_heads, are missing")
		}
		headDim = hidden / heads
	}
	if headDim <= 0 || headDim%2 != 0 || headDim > maxHeadDim {
		return nil, fmt.Errorf("config: head_dim is %d, expected an even number from 2 to %d", headDim, maxHeadDim)
	}
	out := make([]float32, headDim/2)
	for i, w := range wavelengths(r.theta, headDim) {
		out[i] = float32(r.divisor(w))
	}
	return out, nil
}

// divisor returns by how much the frequency of a wavelength is divided under
// llama3 scaling (modeling_rope_utils.py, _compute_llama3_parameters).
func (r ropeConfig) divisor(wavelength float64) float64 {
	original := float64(r.original)
	switch {
	case wavelength < original/r.high:
		return 1
	case wavelength > original/r.low:
		return r.factor
	}
	smooth := (original/wavelength - r.low) / (r.high - r.low)
	return 1 / (float64((1-smooth)/r.factor) + smooth)
}

// maxHeadDim bounds what wavelengths is asked to do by a file; models have 32
// to 256.
const maxHeadDim = 1024

// wavelengths returns 2π·theta^(2i/dim) for i < dim/2. The power is computed
// in big floats because math.Pow need not give the same bits everywhere.
func wavelengths(theta float64, dim int) []float64 {
	n := dim / 2
	root := nthRoot(theta, n)
	out := make([]float64, n)
	w := bigFloat(2 * math.Pi)
	for i := range out {
		out[i], _ = w.Float64()
		w.Mul(w, root)
	}
	return out
}

func bigFloat(v float64) *big.Float { return new(big.Float).SetPrec(160).SetFloat64(v) }

// nthRoot returns v^(1/n) for v ≥ 1 by Newton's iteration from above, where it
// falls steadily until rounding stops it.
func nthRoot(v float64, n int) *big.Float {
	base := bigFloat(v)
	// v < 2^exp, so the root is at most this power of two.
	root := bigFloat(math.Ldexp(1, (base.MantExp(nil)+n-1)/n))
	for {
		p := bigPower(root, n-1)
		next := bigFloat(float64(n - 1))
		next.Mul(next, root)
		next.Add(next, p.Quo(base, p))
		next.Quo(next, bigFloat(float64(n)))
		if next.Cmp(root) >= 0 {
			return root
		}
		root = next
	}
}

func bigPower(x *big.Float, n int) *big.Float {
	out, square := bigFloat(1), bigFloat(0).Set(x)
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			out.Mul(out, square)
		}
		square.Mul(square, square)
	}
	return out
}

// rope adds rope_theta and rope_scaling to c.
func (r *configReader) rope(c map[string]any, headDim int) error {
	theta := 10000.0
	if v, ok := r.f.KVs.Float(r.key("rope.freq_base")); ok {
		theta = v
	}
	if !(theta >= 1) || theta > math.MaxFloat32 {
		r.fail("rope.freq_base", "is %v, expected a number of at least 1", theta)
		return r.err
	}
	c["rope_theta"] = theta
	switch kind, _ := r.f.KVs.String(r.key("rope.scaling.type")); kind {
	case "", "none":
	case "linear":
		factor := r.float("rope.scaling.factor")
		c["rope_scaling"] = map[string]any{"rope_type": "linear", "factor": factor}
		return r.err
	default:
		r.fail("rope.scaling.type", "is %q; supported are none, linear", kind)
		return r.err
	}
	t, ok := r.f.Tensor("rope_freqs.weight")
	if !ok {
		return nil
	}
	if len(t.Dims) != 1 || t.Dims[0] != headDim/2 || headDim > maxHeadDim || headDim < 2 {
		return &Error{Path: r.f.Path, Tensor: t.Name, Detail: fmt.Sprintf("has shape %v, expected [%d], half a head", t.Meta.Shape, headDim/2)}
	}
	divisors := make([]float32, t.Dims[0])
	if err := decode(t.Meta, divisors, t.Bytes()); err != nil {
		return &Error{Path: r.f.Path, Tensor: t.Name, Detail: err.Error()}
	}
	scaling, ok := fitLlama3(divisors, wavelengths(theta, headDim), r.optional("rope.scaling.original_context_length", 0))
	if !ok {
		return &Error{Path: r.f.Path, Tensor: t.Name, Detail: "holds divisors that are not those of a llama3 rotary scaling"}
	}
	if scaling.kind == "llama3" {
		c["rope_scaling"] = map[string]any{
			"rope_type": "llama3", "factor": scaling.factor,
			"low_freq_factor": scaling.low, "high_freq_factor": scaling.high,
			"original_max_position_embeddings": scaling.original,
		}
	}
	return nil
}

// fitLlama3 finds the parameters that lead to the given divisors. Between the
// unscaled and the fully scaled frequencies, smooth = a/wavelength − b with
// a = original/(high−low) and b = low/(high−low): two frequencies there give a
// and b, and one of the three parameters is free in the computation too. When
// original is not known (0), low is taken as 1, as in every published model,
// and so it is when one frequency has to do; without any, original is 8192 and
// high is 4. What is found is verified against all divisors.
func fitLlama3(divisors []float32, wavelengths []float64, original int) (ropeConfig, bool) {
	factor := float64(divisors[len(divisors)-1])
	if !(factor >= 1) || factor > math.MaxFloat32 {
		return ropeConfig{}, false
	}
	factor = shortest(float32(factor))
	fit := ropeConfig{kind: "llama3", factor: factor, low: 1, high: 4, original: original}
	type point struct{ inverse, smooth float64 }
	var between []point
	plain := true
	for i, d := range divisors {
		v := float64(d)
		plain = plain && v == 1
		if v > 1+1e-6 && v < factor*(1-1e-6) {
			between = append(between, point{1 / wavelengths[i], (1/v - 1/factor) / (1 - 1/factor)})
		}
	}
	if plain {
		return ropeConfig{kind: "default"}, true
	}
	// The divisors carry float32 rounding, while the parameters are short
	// decimals.
	round := func(v float64) float64 { return math.Round(v*1000) / 1000 }
	switch {
	case len(between) > 1:
		p, q := between[0], between[len(between)-1]
		a := (p.smooth - q.smooth) / (p.inverse - q.inverse)
		b := float64(a*p.inverse) - p.smooth
		if original == 0 {
			if o := math.Round(a / b); o >= 1 && o < 1<<31 {
				fit.original = int(o)
			}
			fit.high = round(1 + 1/b)
			break
		}
		fit.low = round(b * float64(original) / a)
		fit.high = round((1 + b) * float64(original) / a)
	case len(between) == 1 && original > 0:
		p := between[0]
		fit.high = round(1 + (float64(float64(original)*p.inverse)-1)/p.smooth)
	}
	if fit.original == 0 {
		fit.original = 8192
	}
	if !(fit.low > 0 && fit.high > fit.low) {
		return ropeConfig{}, false
	}
	for i, d := range divisors {
		if want := fit.divisor(wavelengths[i]); math.Abs(float64(d)-want) > 1e-4*want {
			return ropeConfig{}, false
		}
	}
	return fit, true
}
