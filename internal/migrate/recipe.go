package migrate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// Recipes of llm-compressor are described at
// https://docs.vllm.ai/projects/llm-compressor: stages hold groups of
// modifiers, modifiers hold arguments. Stages and groups may be left out.

const modifierSuffix = "Modifier"

// modifier is one step of a recipe.
type modifier struct {
	name string
	args *node
	// stage is the stage it stands in, "" for none.
	stage string
}

// modifiersOf lists the modifiers of a recipe in order. What is no modifier is
// no part of the list.
func modifiersOf(root *node) []modifier {
	var list []modifier
	var walk func(n *node, stage string, depth int)
	walk = func(n *node, stage string, depth int) {
		if n == nil || depth > 4 {
			return
		}
		if n.isList {
			for _, v := range n.values {
				walk(v, stage, depth+1)
			}
			return
		}
		for i, key := range n.keys {
			switch v := n.values[i]; {
			case strings.HasSuffix(key, modifierSuffix):
				list = append(list, modifier{key, v, stage})
			case strings.HasSuffix(key, "_stage"):
				walk(v, key, depth+1)
			case strings.HasSuffix(key, "modifiers"):
				walk(v, stage, depth+1)
			}
		}
	}
	walk(root, "", 0)
	return list
}

// recipeData are the defaults of llm-compressor's oneshot, which recipes leave
// to its caller.
var recipeData = dataset{samples: 512, sequenceLength: 384,
	why: "A recipe names no data. These are the defaults of llm-compressor's oneshot: num_calibration_samples and max_seq_length."}

func fromRecipe(root *node, opt Options) (*writer, error) {
	list := modifiersOf(root)
	if len(list) == 0 {
		return nil, errors.New("the recipe has no modifiers: they are maps under names such as GPTQModifier, in stages and groups or alone")
	}
	w := newWriter("From a recipe of llm-compressor.", opt, recipeData)
	w.base("")
	steps := 0
	for i, key := range root.keys {
		if v := root.values[i]; !strings.HasSuffix(key, "_stage") && !strings.HasSuffix(key, "modifiers") && !strings.HasSuffix(key, modifierSuffix) {
			w.lost(w.file.Body(), key, v, "a recipe's own arguments have no counterpart; declare a variable for what is to be set from outside")
			w.file.Body().AppendNewline()
		}
	}
	for _, m := range list {
		s, why := m.step()
		if s == nil {
			w.lost(w.file.Body(), m.name, m.args, why)
			w.file.Body().AppendNewline()
			continue
		}
		steps++
		w.add(s)
	}
	b := w.export("", "")
	if steps == 0 {
		w.comment(b, "None of the modifiers has a counterpart: this would be the model as it is.")
		b.SetAttributeValue("enabled", cty.False)
	}
	return w, nil
}

// noCounterpart says of modifiers why they have none.
var noCounterpart = map[string]string{
	"SmoothQuantModifier":             "there is no smoothing of activations: this program quantises weights, and activations stay as they are",
	"AWQModifier":                     "there is no AWQ; quantize \"gptq\" is the calibrated method for the same formats",
	"SpinQuantModifier":               "there are no rotations",
	"QuIPModifier":                    "there are no rotations",
	"LogarithmicEqualizationModifier": "there is no equalisation of activations",
	"ConstantPruningModifier":         "a mask is part of the model here: every later block keeps it by itself",
	"DistillationModifier":            "there is no distillation; retrain \"lora\" heals on data alone",
	"OutputDistillationModifier":      "there is no distillation; retrain \"lora\" heals on data alone",
	"iMatrixModifier":                 "there are no importance matrices",
}

// step makes a block of a modifier, or says why there is none.
func (m modifier) step() (*step, string) {
	name := strings.TrimSuffix(m.name, modifierSuffix)
	switch m.name {
	case "GPTQModifier":
		return m.quantize("gptq")
	case "QuantizationModifier":
		return m.quantize("rtn")
	case "SparseGPTModifier":
		return m.prune("sparsegpt")
	case "WandaPruningModifier":
		return m.prune("wanda")
	case "MagnitudePruningModifier":
		return m.prune("magnitude")
	}
	if why := noCounterpart[m.name]; why != "" {
		return nil, why
	}
	return nil, "there is nothing like " + name + " in this version"
}

// without effect on the result: memory, or how long the tool takes.
var recipeIgnored = []string{"offload_hessians", "sequential_targets", "sequential_update", "start", "end", "run_type"}

func (m modifier) rest(s *step, known ...string) {
	if m.args == nil {
		return
	}
	for i, key := range m.args.keys {
		if v := m.args.values[i]; !slices.Contains(known, key) && !slices.Contains(recipeIgnored, key) && !v.null() {
			s.miss(key, v, "there is no such argument")
		}
	}
}

// prune makes a block of SparseGPT, Wanda and magnitude pruning.
func (m modifier) prune(method string) (*step, string) {
	s := &step{verb: "prune", method: method, name: method, calibrated: method != "magnitude"}
	sparsity := m.args.get("sparsity")
	if method == "magnitude" {
		sparsity = m.args.get("final_sparsity")
		if init := m.args.get("init_sparsity"); !init.null() {
			s.miss("init_sparsity", init, "pruning is done at once here, to the final sparsity")
		}
	}
	value, ok := sparsity.number()
	if structure := m.args.get("mask_structure"); !structure.null() {
		if nm, isNM, problem := maskStructure(structure); problem != "" {
			return nil, problem
		} else if isNM {
			s.set("sparsity", cty.StringVal(nm))
			ok = true
		} else if ok {
			s.set("sparsity", number(value))
		}
	} else if ok {
		s.set("sparsity", number(value))
	}
	switch {
	case !ok && sparsity != nil && sparsity.isList:
		return nil, "a sparsity for each decoder block is written as overrides: override { layers = \"3\" … }"
	case !ok:
		return nil, "it names no sparsity"
	case value < 0 || value >= 1:
		return nil, fmt.Sprintf("%v is no sparsity: it is a fraction from 0 to below 1", value)
	}
	if method == "sparsegpt" {
		s.damp("dampening_frac", m.args.get("dampening_frac"))
		if n, ok := m.args.get("block_size").whole(); ok && n > 0 && n <= 1<<20 {
			s.set("block_size", cty.NumberIntVal(n))
		}
	}
	m.targets(s)
	s.ignore("ignore", m.args.get("ignore"), m.args.get("ignore").texts())
	m.rest(s, "sparsity", "final_sparsity", "init_sparsity", "mask_structure", "dampening_frac", "block_size", "targets", "ignore", "preserve_sparsity_mask")
	return s, ""
}

// maskStructure reads "N:M". There N of M are removed, here N of M are kept;
// "0:0" and "unstructured" are no structure.
func maskStructure(n *node) (nm string, isNM bool, problem string) {
	text, _ := n.text()
	if text == "" || text == "0:0" || text == "unstructured" {
		return "", false, ""
	}
	a, b, ok := strings.Cut(text, ":")
	removed, err1 := strconv.Atoi(a)
	of, err2 := strconv.Atoi(b)
	if !ok || err1 != nil || err2 != nil || removed < 1 || removed >= of || of > 64 {
		return "", false, fmt.Sprintf("the mask structure %q is none that this program has: N:M, with N of M removed", text)
	}
	return fmt.Sprintf("%d:%d", of-removed, of), true, ""
}

// targets sets the layers to change, where the modifier names some.
func (m modifier) targets(s *step) {
	n := m.args.get("targets")
	if n.null() {
		return
	}
	list, all := m.targetGlobs(s, "targets", n)
	if !all && len(list) > 0 {
		s.target(list)
	}
}

// targetGlobs reads a list of targets: classes, names or expressions. all is
// true where every linear layer is among them.
func (m modifier) targetGlobs(s *step, what string, n *node) (list []string, all bool) {
	for _, t := range n.texts() {
		if t == "Linear" || t == "__ALL_PRUNABLE__" || t == "__ALL__" || strings.HasSuffix(t, "DecoderLayer") {
			return nil, true
		}
		found, err := moduleGlobs(t)
		if err != nil {
			s.miss(what, n, "the pattern "+err.Error())
			continue
		}
		for _, g := range found {
			// Older recipes name decoder blocks, whose layers are meant.
			if !targeted(g) && targeted(g+".*") {
				g += ".*"
			}
			if !targeted(g) {
				s.miss(what, n, "only the linear layers of decoder blocks are changed here, and "+g+" is none")
				continue
			}
			list = append(list, g)
		}
	}
	all = len(list) > 0
	for _, l := range linears {
		all = all && slices.ContainsFunc(list, func(g string) bool { return shareOf(g, paths[l]) == every })
	}
	return list, all
}

// quantize makes a block of GPTQ and of plain rounding.
func (m modifier) quantize(method string) (*step, string) {
	s := &step{verb: "quantize", method: method, name: method, calibrated: method == "gptq"}
	groups, why := m.groups()
	if why != "" {
		return nil, why
	}
	first := groups[0]
	s.args = append(s.args, first.grid.args()...)
	first.miss(s)
	var union []string
	everything := false
	for _, g := range groups {
		list, all := m.targetGlobs(s, "targets", g.targets)
		if g.targets.null() {
			all = true
		}
		everything = everything || all
		union = append(union, list...)
		if g == first {
			continue
		}
		g.miss(s)
		if all {
			s.miss("config_groups", g.whole, "a second group for all linear layers has none left")
		}
		for _, glob := range list {
			s.overrides = append(s.overrides, override{glob, g.grid.args()})
		}
	}
	if !everything && len(union) > 0 {
		s.target(union)
	}
	if method == "gptq" {
		s.damp("dampening_frac", m.args.get("dampening_frac"))
		if n, ok := m.args.get("block_size").whole(); ok && n > 0 && n <= 1<<20 {
			s.set("block_size", cty.NumberIntVal(n))
		}
		order := m.args.get("actorder")
		if order.null() {
			order = first.order
		}
		switch text, _ := order.text(); {
		case text == "static" || text == "weight":
			s.order(true, true, order, "actorder")
		case text == "group" || text == "dynamic":
			s.order(true, false, order, "actorder")
		case order.null():
			// llm-compressor's default has been "static" since 0.7 and was none before.
		default:
			s.order(false, false, order, "actorder")
		}
	}
	s.ignore("ignore", m.args.get("ignore"), m.args.get("ignore").texts())
	if kv := m.args.get("kv_cache_scheme"); !kv.null() {
		s.miss("kv_cache_scheme", kv, "the cache of keys and values is not quantised here")
	}
	m.rest(s, "scheme", "config_groups", "targets", "ignore", "dampening_frac", "block_size", "actorder", "kv_cache_scheme")
	return s, ""
}

// group is the grid of some layers.
type group struct {
	grid    grid
	targets *node
	order   *node
	whole   *node
	// lost are fields of the group without a counterpart.
	lost []lostPart
	mse  bool
}

func (g *group) miss(s *step) {
	s.lost = append(s.lost, g.lost...)
	if g.mse && !slices.ContainsFunc(s.args, func(a arg) bool { return a.name == "mse" }) {
		s.set("mse", cty.True)
	}
}

// groups reads how layers are quantised: preset schemes, or groups spelt out.
func (m modifier) groups() ([]*group, string) {
	targets := m.args.get("targets")
	var list []*group
	if n := m.args.get("scheme"); !n.null() {
		if name, ok := n.text(); ok {
			g, why := preset(name, targets, n)
			if why != "" {
				return nil, why
			}
			return []*group{g}, ""
		}
		for i, name := range n.keys { // {W4A16: [Linear]}
			g, why := preset(name, n.values[i], n.values[i])
			if why != "" {
				return nil, why
			}
			list = append(list, g)
		}
	}
	if n := m.args.get("config_groups"); n != nil && n.isMap {
		for i, name := range n.keys {
			v := n.values[i]
			if v.isList { // a preset scheme for the targets
				g, why := preset(name, v, v)
				if why != "" {
					return nil, why
				}
				list = append(list, g)
				continue
			}
			g, why := spelledGroup(v)
			if why != "" {
				return nil, name + ": " + why
			}
			list = append(list, g)
		}
	}
	if len(list) == 0 {
		return nil, "it names neither a scheme nor config_groups"
	}
	return list, ""
}

// presets are those of compressed-tensors' quant_scheme.py whose weights have a
// counterpart.
var presets = map[string]struct {
	bits, group int64
	symmetric   bool
	activations bool
}{
	"W8A16":      {8, -1, true, false},
	"W4A16":      {4, 128, true, false},
	"W4A16_ASYM": {4, 128, false, false},
	"W8A8":       {8, -1, true, true},
	"INT8":       {8, -1, true, true},
	"INT8_W8A8":  {8, -1, true, true},
	"W4A8":       {4, 128, true, true},
}

func preset(name string, targets, at *node) (*group, string) {
	p, ok := presets[strings.ToUpper(name)]
	if !ok {
		return nil, fmt.Sprintf("the scheme %s has no counterpart: codes are integers of 2, 3, 4 or 8 bits here", name)
	}
	g := &group{grid: grid{p.bits, p.group, &p.symmetric}, targets: targets, whole: at}
	if p.activations {
		g.lost = append(g.lost, lostPart{"scheme " + name, nil, "weights are quantised as it says, activations stay as they are"})
	}
	return g, ""
}

// spelledGroup reads a group with all its fields.
func spelledGroup(n *node) (*group, string) {
	w := n.get("weights")
	if w.null() {
		return nil, "a group without weights has no counterpart"
	}
	g := &group{targets: n.get("targets"), order: w.get("actorder"), whole: n}
	if t, ok := w.get("type").text(); ok && t != "int" {
		return nil, fmt.Sprintf("codes of type %s have no counterpart: they are integers here", t)
	}
	g.grid.bits = 8 // compressed-tensors' default
	if b := w.get("num_bits"); !b.null() {
		g.grid.bits, _ = b.whole()
		if g.grid.bits == 0 {
			g.grid.bits = -1
		}
	}
	size, _ := w.get("group_size").whole()
	strategy, named := w.get("strategy").text()
	switch {
	case strategy == "group" || !named && size > 0:
		g.grid.groupSize = size
		if size == 0 {
			return nil, "the strategy group needs a group_size"
		}
	case strategy == "channel" || !named && size == -1:
		g.grid.groupSize = -1
	case strategy == "tensor" || !named:
		g.grid.groupSize = -1
		g.lost = append(g.lost, lostPart{"strategy", w.get("strategy"), "there is no one scale for a whole tensor; a scale for each row, which is finer, stands for it"})
	default:
		return nil, fmt.Sprintf("the strategy %s has no counterpart: scales are shared by groups within a row, or by a row", strategy)
	}
	symmetric := true // compressed-tensors' default
	if v, ok := w.get("symmetric").truth(); ok {
		symmetric = v
	}
	g.grid.symmetric = &symmetric
	if why := g.grid.problem(); why != "" {
		return nil, why
	}
	if d, ok := w.get("dynamic").truth(); ok && d {
		return nil, "weights whose scales are found as they are used have no counterpart"
	}
	switch o, _ := w.get("observer").text(); o {
	case "mse":
		g.mse = true
	case "", "minmax", "memoryless_minmax", "static_minmax":
	default:
		g.lost = append(g.lost, lostPart{"observer", w.get("observer"), "ranges cover all weights, or with mse = true have the least error"})
	}
	for _, part := range []string{"input_activations", "output_activations"} {
		if v := n.get(part); !v.null() {
			g.lost = append(g.lost, lostPart{part, v, "activations stay as they are"})
		}
	}
	for i, key := range w.keys {
		if !slices.Contains([]string{"type", "num_bits", "group_size", "strategy", "symmetric", "dynamic", "observer", "observer_kwargs", "actorder", "block_structure"}, key) && !w.values[i].null() {
			g.lost = append(g.lost, lostPart{key, w.values[i], "there is no such argument"})
		}
	}
	return g, ""
}
