package migrate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// Workflows of Olive are described at
// https://microsoft.github.io/Olive/reference/options.html: an input model,
// configurations of data, and passes under names. Arguments of a pass stand
// beside its type or, in older files, under config.

func fromWorkflow(root *node, opt Options) (*writer, error) {
	passes := root.get("passes")
	if passes == nil || !passes.isMap && !passes.isList {
		return nil, errors.New("the workflow has no passes")
	}
	w := newWriter("From a workflow of Olive.", opt, oliveData(root))
	w.base(oliveModel(root.get("input_model")))
	steps := 0
	var order []int
	for i := range passes.values {
		order = append(order, i)
	}
	if flows := root.get("pass_flows"); flows != nil && flows.isList && len(flows.values) > 0 {
		order = nil
		for _, name := range flows.values[0].texts() {
			if i := slices.Index(passes.keys, name); i >= 0 {
				order = append(order, i)
			}
		}
		if len(flows.values) > 1 {
			w.lost(w.file.Body(), "pass_flows", flows, "one flow makes a pipeline, here the first; the others are pipelines of their own, or branches of this one")
			w.file.Body().AppendNewline()
		}
	}
	for _, i := range order {
		name, p := "", passes.values[i]
		if passes.isMap {
			name = passes.keys[i]
		}
		if p.isList { // alternatives that a search chooses from
			if len(p.values) > 1 {
				w.lost(w.file.Body(), name, p, "of several alternatives the first is taken; a sweep tries all")
				w.file.Body().AppendNewline()
			}
			if len(p.values) == 0 {
				continue
			}
			p = p.values[0]
		}
		s, why := olivePass(name, p)
		if s == nil {
			what := name
			if t, ok := p.get("type").text(); ok {
				what = strings.TrimSpace(name + " (" + t + ")")
			}
			w.lost(w.file.Body(), what, p, why)
			w.file.Body().AppendNewline()
			continue
		}
		steps++
		w.add(s)
	}
	for _, key := range []string{"evaluators", "systems", "search_strategy"} {
		if v := root.get(key); !v.null() {
			why := map[string]string{
				"evaluators":      "write evaluate blocks for what is to be measured, and gates for what must hold",
				"systems":         "where a pipeline runs is no part of its text",
				"search_strategy": "a sweep lists the points to try, and a select picks the best of them",
			}[key]
			w.lost(w.file.Body(), key, v, why)
			w.file.Body().AppendNewline()
		}
	}
	dir, _ := root.get("output_dir").text()
	if dir == "" {
		dir, _ = root.at("engine", "output_dir").text()
	}
	b := w.export(dir, "")
	if steps == 0 {
		w.comment(b, "None of the passes has a counterpart: this would be the model as it is.")
		b.SetAttributeValue("enabled", cty.False)
	}
	return w, nil
}

// oliveModel finds the model's name where the versions of the format have it.
func oliveModel(n *node) string {
	for _, path := range [][]string{{"model_path"}, {"config", "model_path"}, {"config", "hf_config", "model_name"}, {"hf_config", "model_name"}, {"model_name"}} {
		if name, ok := n.at(path...).text(); ok {
			return name
		}
	}
	return ""
}

// oliveData reads the first configuration of data.
func oliveData(root *node) dataset {
	d := dataset{samples: 128, sequenceLength: 2048, why: "The workflow says nothing about data that can be read here: 128 windows of 2048 tokens."}
	configs := root.get("data_configs")
	if configs == nil || len(configs.values) == 0 {
		return d
	}
	c := configs.values[0]
	name, _ := c.get("name").text()
	if name == "" && configs.isMap {
		name = configs.keys[0]
	}
	d.why = fmt.Sprintf("From the data configuration %q", name)
	load := c.get("load_dataset_config")
	if params := load.get("params"); params != nil {
		load = params
	}
	for _, path := range [][]string{{"data_name"}, {"dataset_name"}, {"path"}} {
		if set, ok := load.at(path...).text(); ok {
			d.why += fmt.Sprintf(", whose dataset is %s", set)
			if subset, ok := load.get("subset").text(); ok {
				d.why += " " + subset
			}
			if split, ok := load.get("split").text(); ok {
				d.why += " (" + split + ")"
			}
			d.why += ": a text or jsonl file holds it here"
			break
		}
	}
	d.why += "."
	pre := c.get("pre_process_data_config")
	if params := pre.get("params"); params != nil {
		pre = params
	}
	for _, key := range []string{"max_seq_len", "seqlen", "sequence_length", "source_max_len"} {
		if n, ok := pre.get(key).whole(); ok && n > 0 && n <= 1<<20 {
			d.sequenceLength = n
		}
	}
	for _, key := range []string{"max_samples", "nsamples", "limit"} {
		if n, ok := pre.get(key).whole(); ok && n > 0 && n <= 1<<31 {
			d.samples = n
		}
	}
	return d
}

// passArgs are the arguments of a pass by name.
type passArgs struct{ n *node }

func (p passArgs) get(names ...string) *node {
	for _, name := range names {
		if v := p.n.get("config").get(name); v != nil {
			return v
		}
		if v := p.n.get(name); v != nil {
			return v
		}
	}
	return nil
}

// olivePass makes a block of a pass, or says why there is none.
func olivePass(name string, n *node) (*step, string) {
	typ, _ := n.get("type").text()
	if name == "" {
		name = typ
	}
	p := passArgs{n}
	switch strings.ToLower(typ) {
	case "gptqquantizer", "gptq":
		return oliveQuantize(name, "gptq", p)
	case "rtn", "rtnquantizer":
		return oliveQuantize(name, "rtn", p)
	case "sparsegpt":
		return oliveSparseGPT(name, p)
	case "lora", "qlora":
		return oliveLoRA(name, strings.ToLower(typ), p)
	case "":
		return nil, "the pass has no type"
	}
	switch lower := strings.ToLower(typ); {
	case strings.HasPrefix(lower, "onnx") || strings.HasPrefix(lower, "ort") || lower == "modelbuilder" || lower == "inctransformersoptimization":
		return nil, "ONNX is no format of this program; export \"safetensors\" and export \"gguf\" are"
	case strings.Contains(lower, "awq"):
		return nil, "there is no AWQ; quantize \"gptq\" is the calibrated method for the same formats"
	case lower == "mergeadapterweights":
		return nil, "retrain merges its updates by itself, as its argument merge says"
	case lower == "slicegpt" || lower == "spinquant" || lower == "quarot":
		return nil, "there are no rotations"
	}
	return nil, "there is nothing like " + typ + " in this version"
}

func (p passArgs) rest(s *step, known ...string) {
	for _, n := range []*node{p.n, p.n.get("config")} {
		if n == nil {
			continue
		}
		for i, key := range n.keys {
			if v := n.values[i]; !slices.Contains(known, key) && !slices.Contains([]string{"type", "config", "data_config", "train_data_config", "disable_search", "host", "evaluator", "clean_run_cache", "output_name", "device"}, key) && !v.null() {
				s.miss(key, v, "there is no such argument")
			}
		}
	}
}

func oliveQuantize(name, method string, p passArgs) (*step, string) {
	s := &step{verb: "quantize", method: method, name: name, calibrated: method == "gptq"}
	g := grid{}
	g.bits, _ = p.get("bits").whole()
	g.groupSize, _ = p.get("group_size").whole()
	if v, ok := p.get("sym", "symmetric").truth(); ok {
		g.symmetric = &v
	}
	if why := g.problem(); why != "" {
		return nil, why
	}
	s.args = g.args()
	if method == "gptq" {
		s.damp("damp_percent", p.get("damp_percent"))
		if n := p.get("desc_act"); n != nil {
			desc, _ := n.truth()
			static, _ := p.get("static_groups").truth()
			s.order(desc, static, n, "desc_act")
		}
	}
	for _, part := range []string{"lm_head", "embeds"} {
		if v, _ := p.get(part).truth(); v {
			s.miss(part, p.get(part), "the linear layers of decoder blocks are quantised, embedding and head are not")
		}
	}
	if v, _ := p.get("true_sequential").truth(); v {
		s.miss("true_sequential", p.get("true_sequential"), "statistics are those of whole decoder blocks: the layers of a block see its input as it was before any of them changed")
	}
	p.rest(s, "bits", "group_size", "sym", "symmetric", "damp_percent", "desc_act", "static_groups", "lm_head", "embeds", "true_sequential")
	return s, ""
}

func oliveSparseGPT(name string, p passArgs) (*step, string) {
	s := &step{verb: "prune", method: "sparsegpt", name: name, calibrated: true}
	n := p.get("sparsity")
	if f, ok := n.number(); ok && f >= 0 && f < 1 {
		s.set("sparsity", number(f))
	} else if n != nil && n.isList && len(n.values) == 2 { // [n, m]: n of m are removed
		removed, _ := n.values[0].whole()
		of, _ := n.values[1].whole()
		if removed < 1 || removed >= of || of > 64 {
			return nil, fmt.Sprintf("%d of %d is no structure", removed, of)
		}
		s.set("sparsity", cty.StringVal(fmt.Sprintf("%d:%d", of-removed, of)))
	} else {
		return nil, "its sparsity is neither a fraction below 1 nor [n, m]"
	}
	s.damp("percdamp", p.get("percdamp"))
	if b, ok := p.get("blocksize").whole(); ok && b > 0 && b <= 1<<20 {
		s.set("block_size", cty.NumberIntVal(b))
	}
	p.rest(s, "sparsity", "percdamp", "blocksize")
	return s, ""
}

func oliveLoRA(name, typ string, p passArgs) (*step, string) {
	s := &step{verb: "retrain", method: "lora", name: name, calibrated: true}
	if typ == "qlora" {
		s.miss("type QLoRA", nil, "the base is trained as it comes; to train on quantised weights put a quantize block before this one")
	}
	if r, ok := p.get("r", "lora_r").whole(); ok {
		if r < 1 || r > 1024 {
			return nil, fmt.Sprintf("%d is no rank from 1 to 1024", r)
		}
		s.set("rank", cty.NumberIntVal(r))
	}
	if a, ok := p.get("alpha", "lora_alpha").number(); ok && a > 0 {
		s.set("alpha", number(a))
	}
	if targets := p.get("target_modules"); !targets.null() {
		var list []string
		for _, t := range targets.texts() {
			if g := "*." + escapeGlob(t); targeted(g) {
				list = append(list, g)
			} else {
				s.miss("target_modules", targets, "only the linear layers of decoder blocks are changed here, and "+t+" is none")
			}
		}
		if len(list) > 0 && len(list) < len(linears) {
			s.target(list)
		}
	}
	train := passArgs{p.get("training_args", "hf_training_args")}
	if n, ok := train.get("max_steps").whole(); ok && n > 0 && n <= 1<<31 {
		s.set("steps", cty.NumberIntVal(n))
	} else if n := train.get("num_train_epochs"); !n.null() {
		s.miss("num_train_epochs", n, "training is so many steps here, not passes over the data")
	}
	batch := int64(1)
	for _, key := range []string{"per_device_train_batch_size", "gradient_accumulation_steps"} {
		if n, ok := train.get(key).whole(); ok && n > 0 && n <= 1<<15 {
			batch *= n
		}
	}
	if batch > 1 {
		s.set("batch_size", cty.NumberIntVal(batch))
	}
	if f, ok := train.get("warmup_ratio").number(); ok && f >= 0 && f < 1 {
		s.set("warmup", number(f))
	} else if n, ok := train.get("warmup_steps").whole(); ok && n >= 1 && n <= 1<<31 {
		s.set("warmup", cty.NumberIntVal(n))
	}
	if kind, ok := train.get("lr_scheduler_type").text(); ok {
		if slices.Contains([]string{"linear", "cosine", "constant"}, kind) {
			s.set("schedule", cty.StringVal(kind))
		} else {
			s.miss("lr_scheduler_type", train.get("lr_scheduler_type"), "the rate falls linearly, as a cosine, or not at all")
		}
	}
	if f, ok := train.get("learning_rate").number(); ok && f > 0 {
		s.optimizer = append(s.optimizer, arg{"learning_rate", number(f)})
	}
	if f, ok := train.get("weight_decay").number(); ok && f > 0 {
		s.optimizer = append(s.optimizer, arg{"weight_decay", number(f)})
	}
	known := []string{"max_steps", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "warmup_ratio", "warmup_steps", "lr_scheduler_type",
		"learning_rate", "weight_decay", "per_device_eval_batch_size", "evaluation_strategy", "eval_strategy", "eval_steps", "save_steps", "logging_steps", "gradient_checkpointing", "output_dir", "overwrite_output_dir"}
	if train.n != nil {
		train.rest(s, known...)
	}
	p.rest(s, "r", "lora_r", "alpha", "lora_alpha", "target_modules", "training_args", "hf_training_args", "torch_dtype", "compute_dtype", "eval_data_config")
	return s, ""
}
