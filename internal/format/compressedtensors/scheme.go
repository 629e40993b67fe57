package compressedtensors

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Scheme answers, for a checkpoint's quantization_config, how a module is
// stored. It is immutable.
type Scheme struct {
	// Version is the compressed-tensors version that wrote the checkpoint, ""
	// where the configuration does not say.
	Version string
	groups  []group
}

type group struct {
	names   []string
	regexps []*regexp.Regexp
	linear  bool // targets the class Linear
	w       Weights
}

// rawConfig has the keys of a quantization_config that decide what its
// tensors mean.
type rawConfig struct {
	Method   string              `json:"quant_method"`
	Format   string              `json:"format"`
	Version  string              `json:"version"`
	Groups   map[string]rawGroup `json:"config_groups"`
	KVCache  json.RawMessage     `json:"kv_cache_scheme"`
	Sparsity *struct {
		Format string `json:"format"`
	} `json:"sparsity_config"`
	Transform json.RawMessage `json:"transform_config"`
}

type rawGroup struct {
	Targets []string        `json:"targets"`
	Format  string          `json:"format"`
	Input   json.RawMessage `json:"input_activations"`
	Output  json.RawMessage `json:"output_activations"`
	Weights *struct {
		Bits      int    `json:"num_bits"`
		Type      string `json:"type"`
		Symmetric *bool  `json:"symmetric"`
		Strategy  string `json:"strategy"`
		GroupSize *int   `json:"group_size"`
	} `json:"weights"`
}

func given(raw json.RawMessage) bool {
	s := strings.TrimSpace(string(raw))
	return s != "" && s != "null" && s != "{}"
}

// ParseConfig reads the quantization_config of a config.json. The errors say
// what cannot be read and what can: integer weights in format pack-quantized,
// by group or by channel, beside activations that are left as they are.
func ParseConfig(raw json.RawMessage) (*Scheme, error) {
	var q rawConfig
	if err := json.Unmarshal(raw, &q); err != nil {
		return nil, fmt.Errorf("quantization_config: %w", err)
	}
	switch {
	case q.Method != "compressed-tensors":
		return nil, fmt.Errorf("quantization_config: quant_method %q cannot be read; supported is compressed-tensors in its pack-quantized format", q.Method)
	case q.Format != "pack-quantized" && q.Format != "dense" && q.Format != "mixed-precision":
		return nil, fmt.Errorf("quantization_config: format %q cannot be read; supported is pack-quantized", q.Format)
	case given(q.KVCache):
		return nil, fmt.Errorf("quantization_config: kv_cache_scheme cannot be honoured: keys and values are not quantised here")
	case q.Sparsity != nil && q.Sparsity.Format != "" && q.Sparsity.Format != "dense":
		return nil, fmt.Errorf("quantization_config: sparsity_config of format %q cannot be read; supported is dense", q.Sparsity.Format)
	case given(q.Transform):
		return nil, fmt.Errorf("quantization_config: transform_config cannot be honoured: rotated weights need their rotations at run time")
	}
	s := &Scheme{Version: q.Version}
	names := make([]string, 0, len(q.Groups))
	for n := range q.Groups {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		if err := s.add(q.Format, q.Groups[n]); err != nil {
			return nil, fmt.Errorf("quantization_config: %s: %w", n, err)
		}
	}
	return s, nil
}

func (s *Scheme) add(format string, g rawGroup) error {
	if g.Weights == nil {
		return nil
	}
	if g.Format != "" {
		format = g.Format
	}
	if format != "pack-quantized" {
		return fmt.Errorf("format %q cannot be read; supported is pack-quantized", format)
	}
	if given(g.Input) || given(g.Output) {
		return fmt.Errorf("quantised activations cannot be honoured; supported are quantised weights alone")
	}
	out := group{w: Weights{Bits: g.Weights.Bits, GroupSize: -1, Symmetric: g.Weights.Symmetric == nil || *g.Weights.Symmetric}}
	size := 0
	if g.Weights.GroupSize != nil {
		size = *g.Weights.GroupSize
	}
	switch strategy := g.Weights.Strategy; {
	case strategy == "channel", strategy == "" && size == -1:
	case strategy == "group" && size < 1:
		return fmt.Errorf("strategy group without a positive group_size")
	case strategy == "group", strategy == "" && size > 0:
		out.w.GroupSize = size
	default:
		return fmt.Errorf("strategy %q cannot be read; supported are group and channel", strategy)
	}
	if g.Weights.Type != "int" && g.Weights.Type != "" || out.w.Bits < 2 || out.w.Bits > 8 {
		return fmt.Errorf("codes of type %q and %d bits cannot be read; supported are int codes of 2 to 8 bits", g.Weights.Type, out.w.Bits)
	}
	for _, t := range g.Targets {
		if t == "Linear" {
			out.linear = true
		} else if pattern, ok := strings.CutPrefix(t, "re:"); ok {
			// Python's re.match: anchored at the start only.
			re, err := regexp.Compile(`^(?:` + pattern + `)`)
			if err != nil {
				return fmt.Errorf("target %q cannot be read: %w", t, err)
			}
			out.regexps = append(out.regexps, re)
		} else {
			out.names = append(out.names, t)
		}
	}
	s.groups = append(s.groups, out)
	return nil
}

// Of returns how the linear layer called module is stored, false where no group
// targets it. As in the reference implementation a name goes before a pattern,
// and a pattern before the class.
func (s *Scheme) Of(module string) (Weights, bool) {
	for _, matches := range []func(group) bool{
		func(g group) bool { return slices.Contains(g.names, module) },
		func(g group) bool {
			return slices.ContainsFunc(g.regexps, func(re *regexp.Regexp) bool { return re.MatchString(module) })
		},
		func(g group) bool { return g.linear },
	} {
		if i := slices.IndexFunc(s.groups, matches); i >= 0 {
			return s.groups[i].w, true
		}
	}
	return Weights{}, false
}

// before018 reports whether version is older than 0.18, the first release with
// the stream layout. A version that is missing or not a number is taken for new.
func before018(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return err == nil && err2 == nil && major == 0 && minor < 18
}
