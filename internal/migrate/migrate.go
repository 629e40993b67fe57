package migrate

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is a tool whose files can be read.
type Kind string

// The kinds.
const (
	LLMCompressor Kind = "llm-compressor"
	Mergekit      Kind = "mergekit"
	Olive         Kind = "olive"
	GPTQ          Kind = "gptq"
)

// Kinds in the order of the documentation.
var Kinds = []Kind{LLMCompressor, Mergekit, Olive, GPTQ}

// Options say what the file does not.
type Options struct {
	// Model is the source of the model, over what the file says; "" leaves it to
	// the file, or to a variable where the file names none.
	Model string
	// Data is the file of the calibration texts, likewise.
	Data string
}

// Result is a migrated file.
type Result struct {
	Kind Kind
	// Pipeline is the text, in canonical style.
	Pipeline []byte
	// Notes are in the order of the pipeline.
	Notes []Note
}

// Convert makes a pipeline from a file of another tool. Without a kind the
// content says which it is. An error means that the file is not of that kind;
// what is merely without counterpart is in the notes.
func Convert(src []byte, kind Kind, opt Options) (*Result, error) {
	root, err := parse(src)
	if err != nil {
		return nil, err
	}
	if kind == "" {
		if kind, err = detect(root); err != nil {
			return nil, err
		}
	}
	convert := map[Kind]func(*node, Options) (*writer, error){
		LLMCompressor: fromRecipe, Mergekit: fromMerge, Olive: fromWorkflow, GPTQ: fromQuantizeConfig,
	}[kind]
	if convert == nil {
		return nil, fmt.Errorf("there is no kind %q; known are %s", kind, kindList())
	}
	w, err := convert(root, opt)
	if err != nil {
		return nil, err
	}
	return &Result{kind, w.bytes(), w.notes}, nil
}

func kindList() string {
	names := make([]string, len(Kinds))
	for i, k := range Kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// detect tells the kinds apart by the keys that each must have.
func detect(root *node) (Kind, error) {
	switch {
	case root.get("merge_method") != nil:
		return Mergekit, nil
	case root.get("passes") != nil || root.get("input_model") != nil:
		return Olive, nil
	case root.get("quantization_config") != nil,
		root.get("bits") != nil && (root.get("group_size") != nil || root.get("quant_method") != nil || root.get("desc_act") != nil),
		root.get("quant_method") != nil, root.get("w_bit") != nil:
		return GPTQ, nil
	case len(modifiersOf(root)) > 0:
		return LLMCompressor, nil
	case root.isMap && slices.ContainsFunc(root.keys, func(k string) bool { return strings.HasSuffix(k, "_stage") || strings.HasSuffix(k, "modifiers") }):
		return LLMCompressor, nil
	}
	return "", fmt.Errorf("the file is none of those that can be migrated: a recipe of llm-compressor names modifiers, a configuration of mergekit has merge_method, one of Olive input_model or passes, a quantize_config.json bits and group_size. If it is one all the same, say so with -from: %s", kindList())
}
