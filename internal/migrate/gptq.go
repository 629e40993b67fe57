package migrate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// The configuration of GPTQModel and AutoGPTQ is that of their QuantizeConfig;
// it lies beside a quantised model as quantize_config.json, or in its
// config.json as quantization_config.

// gptqData is what the papers and the tools' examples calibrate with.
var gptqData = dataset{samples: 128, sequenceLength: 2048,
	why: "The configuration names no data. 128 windows of 2048 tokens are what the paper takes."}

// gptqIgnored say nothing about the result: names of files, versions, how codes
// are packed.
var gptqIgnored = []string{"quant_method", "checkpoint_format", "model_file_base_name", "meta", "pack_dtype", "is_marlin_format", "version",
	"use_exllama", "exllama_config", "use_cuda_fp16", "max_input_length", "cache_block_outputs", "batch_size", "module_name_preceding_first_block",
	"block_name_to_quantize", "model_seqlen", "backend", "format", "parallel_packing", "device", "offload_to_disk", "offload_to_disk_path", "pad_token_id", "tokenizer", "dataset"}

func fromQuantizeConfig(root *node, opt Options) (*writer, error) {
	name, _ := root.get("_name_or_path").text()
	config := root
	if inner := root.get("quantization_config"); inner != nil {
		config = inner
	}
	if method, ok := config.get("quant_method").text(); ok && method != "gptq" {
		return nil, fmt.Errorf("the configuration is one of quant_method %q; gptq is what can be migrated", method)
	}
	if config.get("w_bit") != nil {
		return nil, fmt.Errorf("the configuration is one of AutoAWQ, and there is no AWQ; quantize \"gptq\" is the calibrated method for the same formats")
	}
	bits, ok := config.get("bits").whole()
	if !ok {
		return nil, fmt.Errorf("the configuration names no bits")
	}
	g := grid{bits: bits}
	g.groupSize, _ = config.get("group_size").whole()
	if v, ok := config.get("sym").truth(); ok {
		g.symmetric = &v
	}
	if why := g.problem(); why != "" {
		return nil, fmt.Errorf("the configuration cannot be migrated: %s", why)
	}
	if given, ok := config.get("model_name_or_path").text(); ok {
		name = given
	}
	w := newWriter("From a configuration of GPTQModel or AutoGPTQ.", opt, gptqData)
	w.base(name)
	s := &step{verb: "quantize", method: "gptq", name: "gptq", calibrated: true}
	s.args = g.args()
	s.damp("damp_percent", config.get("damp_percent"))
	if n := config.get("desc_act"); n != nil {
		desc, _ := n.truth()
		static, _ := config.get("static_groups").truth()
		s.order(desc, static, n, "desc_act")
	}
	if n := config.get("mse"); n != nil {
		if f, ok := n.number(); ok && f > 0 {
			s.set("mse", cty.True)
		}
	}
	if v, _ := config.get("true_sequential").truth(); v {
		s.miss("true_sequential", config.get("true_sequential"), "statistics are those of whole decoder blocks: the layers of a block see its input as it was before any of them changed")
	}
	if v, _ := config.get("lm_head").truth(); v {
		s.miss("lm_head", config.get("lm_head"), "the linear layers of decoder blocks are quantised, the head is not")
	}
	s.dynamic(config.get("dynamic"))
	for i, key := range config.keys {
		known := []string{"bits", "group_size", "sym", "damp_percent", "desc_act", "static_groups", "mse", "true_sequential", "lm_head", "dynamic", "model_name_or_path"}
		if config == root {
			known = append(known, "_name_or_path")
		}
		if v := config.values[i]; !slices.Contains(known, key) && !slices.Contains(gptqIgnored, key) && !v.null() {
			s.miss(key, v, "there is no such argument")
		}
	}
	w.add(s)
	w.comment(w.file.Body(), "Packed as compressed-tensors, which vLLM and transformers load; GPTQ's own layout\nis not written.")
	w.export("", "")
	return w, nil
}

// dynamic reads GPTQModel's rules by module: "+:" or nothing before an
// expression changes arguments, "-:" leaves modules out.
func (s *step) dynamic(n *node) {
	if n == nil || !n.isMap {
		return
	}
	var out []string
	skipped := &node{isMap: true, line: n.line}
	for i, key := range n.keys {
		rule := n.values[i]
		if re, skip := strings.CutPrefix(key, "-:"); skip {
			out = append(out, "re:"+re)
			skipped.keys, skipped.values = append(skipped.keys, key), append(skipped.values, rule)
			continue
		}
		list, err := globs(strings.TrimPrefix(key, "+:"))
		if err != nil {
			s.miss("dynamic "+key, rule, "the pattern "+err.Error())
			continue
		}
		g := grid{}
		g.bits, _ = rule.get("bits").whole()
		g.groupSize, _ = rule.get("group_size").whole()
		if v, ok := rule.get("sym").truth(); ok {
			g.symmetric = &v
		}
		if why := g.problem(); why != "" {
			s.miss("dynamic "+key, rule, why)
			continue
		}
		args := g.args()
		if f, ok := rule.get("damp_percent").number(); ok && f > 0 && f <= 1 {
			args = append(args, arg{"damping", number(f)})
		}
		for j, k := range rule.keys {
			if !slices.Contains([]string{"bits", "group_size", "sym", "damp_percent"}, k) {
				s.miss("dynamic "+key+" "+k, rule.values[j], "it holds for the whole block and cannot differ by module")
			}
		}
		if len(args) == 0 {
			continue
		}
		for _, glob := range list {
			if !targeted(glob) {
				s.miss("dynamic "+key, rule, "only the linear layers of decoder blocks are changed here, and "+glob+" is none")
				continue
			}
			s.overrides = append(s.overrides, override{glob, args})
		}
	}
	s.ignore("dynamic", skipped, out)
}
