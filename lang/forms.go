package lang

import (
	"slices"

	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/internal/search"
)

// Form is what blocks of one type may hold, for whoever describes the language:
// an editor, a JSON Schema.
type Form struct {
	Type, Doc string
	// Labels say what the block's labels are: "method", "kind", "name".
	Labels []string
	// Methods are what the first of two labels may be.
	Methods []FormMethod
	// Schema is that of blocks without methods that have one.
	Schema *schema.Schema
	// Args are the arguments that the language itself gives meaning to.
	Args []FormArg
	// Blocks are nested blocks beside those of a schema.
	Blocks []Form
	// Rest is set where further arguments may have any name.
	Rest *FormArg
}

// FormMethod is a method of a verb, a kind of data or of a sweep.
type FormMethod struct {
	Name, Summary, Doc, Paper string
	Schema                    *schema.Schema
}

// FormType says which values an argument of a Form takes.
type FormType string

// The types of a Form's arguments.
const (
	FormAny    FormType = "any"
	FormBool   FormType = "bool"
	FormNumber FormType = "number"
	FormString FormType = "string"
	// FormText is a string without references.
	FormText FormType = "text"
	// FormTypeName is a type such as list(string).
	FormTypeName FormType = "type"
	// FormGates is a list of gates.
	FormGates FormType = "gates"
	FormModel FormType = "model"
	FormList  FormType = "list"
	// FormEach is a map or a set of strings.
	FormEach FormType = "each"
)

// FormArg is one argument.
type FormArg struct {
	Name     string
	Type     FormType
	Doc      string
	Required bool
	Enum     []string
}

var (
	argEnabled  = FormArg{Name: "enabled", Type: FormBool, Doc: "false leaves the block out; of a block that yields a model, its model goes on as it is"}
	argRequires = FormArg{Name: "requires", Type: FormGates, Doc: "gates that must have passed: [gate.quality]"}
	argSeed     = FormArg{Name: "seed", Type: FormNumber, Doc: "of all random numbers here; the pipeline's by default"}
	argForEach  = FormArg{Name: "for_each", Type: FormEach, Doc: "a map or a set of strings: one block for each key, with each.key and each.value"}
	argDoc      = FormArg{Name: "description", Type: FormString, Doc: "what it is, for readers"}
)

// metaForms are the arguments that the language adds to blocks of a kind.
var metaForms = map[Kind][]FormArg{
	KindVerb: {argEnabled, argRequires, argSeed},
	KindData: {argSeed},
}

// ownForms are the forms of blocks without a schema.
var ownForms = map[string]Form{
	"pipeline": {Doc: "what holds for the whole pipeline", Args: []FormArg{
		{Name: "required_version", Type: FormText, Doc: `versions of compressc that may run this, such as ">= 0.1"`}, argDoc,
		{Name: "seed", Type: FormNumber, Doc: "of all random numbers of blocks that have none of their own; 0 by default"}}},
	"locals": {Doc: "names for values", Rest: &FormArg{Type: FormAny, Doc: "a value, referred to as local.NAME"}},
	"variable": {Doc: "a value that is given from outside, referred to as var.NAME", Args: []FormArg{
		{Name: "type", Type: FormTypeName, Doc: "its type: string, number, bool, list(…), map(…), object({…}), model, data; any by default"},
		{Name: "default", Type: FormAny, Doc: "its value where none is given; without it the variable is required"}, argDoc,
		{Name: "sensitive", Type: FormBool, Doc: "true for credentials: the value stands in no key, record or log"}},
		Blocks: []Form{{Type: "validation", Doc: "what must hold of the value", Args: []FormArg{
			{Name: "condition", Type: FormBool, Required: true, Doc: "what must hold, about var.NAME"},
			{Name: "error_message", Type: FormString, Required: true, Doc: "what is said where it does not"}}}}},
	"output": {Doc: "a value that a run puts out", Args: []FormArg{
		{Name: "value", Type: FormAny, Required: true, Doc: "the value"}, argDoc, argEnabled, argRequires}},
	"gate": {Doc: "a condition that a run must meet; what requires it is withheld where it does not pass", Args: []FormArg{
		{Name: "condition", Type: FormBool, Required: true, Doc: "what must hold, at each point"},
		{Name: "error_message", Type: FormString, Doc: "what is said where it does not"},
		{Name: "require", Type: FormString, Enum: []string{"all", "any"}, Doc: "whether all points must pass, or one"}, argEnabled}},
	"select": {Doc: "the best of a block's points, as a model", Args: []FormArg{
		{Name: "from", Type: FormModel, Required: true, Doc: "the block whose points are candidates"},
		{Name: "minimize", Type: FormNumber, Doc: "what is to be small"},
		{Name: "maximize", Type: FormNumber, Doc: "what is to be large"},
		{Name: "where", Type: FormBool, Doc: "what candidates must meet"}}},
	"search": {Doc: "the best of a block's points, found by trying few of them", Args: []FormArg{
		{Name: "from", Type: FormModel, Required: true, Doc: "the block whose points are candidates"},
		{Name: "minimize", Type: FormNumber, Doc: "what is to be small"},
		{Name: "maximize", Type: FormNumber, Doc: "what is to be large"},
		{Name: "where", Type: FormBool, Doc: "what the winner must meet; of first and bisect, what is looked for"},
		{Name: search.Tries, Type: FormNumber, Doc: "of first, climb and random: how many points are tried at most; of halving: how many are begun with"},
		{Name: search.Fidelity, Type: FormAny, Doc: "of halving: the axis that says how well a point is tried, cheapest first: sweep.try.steps"},
		{Name: search.Keep, Type: FormNumber, Doc: "of halving: the share of points that go on to the next fidelity; a third by default"},
		{Name: search.Seed, Type: FormNumber, Doc: "of halving and random: that of the draw; the pipeline's by default"}}},
	"sweep": {Doc: "values to try: what refers to sweep.NAME.AXIS fans out over them", Args: []FormArg{
		{Name: "where", Type: FormBool, Doc: "which points are tried, about axis.AXIS"},
		{Name: "samples", Type: FormNumber, Doc: "how many points a random sweep draws"},
		{Name: "seed", Type: FormNumber, Doc: "of a random sweep's draws"}},
		Rest: &FormArg{Type: FormList, Doc: "an axis: the list of its values"}},
	"module": {Doc: "a folder of blocks, here or in a git repository, with values for its variables", Args: []FormArg{
		{Name: "source", Type: FormText, Required: true, Doc: `the module's folder, such as "./recipe", or one in a git repository: "git::https://example.com/recipes.git//folder?ref=v1.2"`},
		{Name: "version", Type: FormText, Doc: "of no use: the version of a module from git is the ref in its source"}},
		Rest: &FormArg{Type: FormAny, Doc: "the value of the module's variable of that name"}},
}

var (
	sourceDocs = map[string]string{
		"model":   "A model to begin with: a Hugging Face folder, a safetensors or GGUF file, or one from a hub, a web server or a registry.",
		"data":    "Windows of text for calibration, training or measuring.",
		"adapter": "Low-rank updates that another program has trained: a PEFT folder, a LoRA file of llama.cpp, or a hub adapter in the local cache.",
	}
	sweepDocs = map[string]string{
		"grid":   "Every combination of the axes' values.",
		"random": "A draw from the combinations of the axes' values.",
		"list":   "The points that an axis lists, as they are.",
	}
)

// Forms returns what may stand in a file, in the order of the documentation.
// Verbs without methods are left out.
func Forms(reg *Registry) []Form {
	var out []Form
	for _, t := range blockTypes {
		f := ownForms[t.name]
		f.Type, f.Labels = t.name, t.labels
		switch t.kind {
		case KindModel:
			f.Doc, f.Schema = sourceDocs["model"], modelSchema
		case KindAdapter:
			f.Doc, f.Schema = sourceDocs["adapter"], adapterSchema
		case KindData:
			f.Doc = sourceDocs["data"]
			for _, k := range DataKinds {
				f.Methods = append(f.Methods, FormMethod{Name: k, Summary: sourceDocs["data"], Schema: dataSchema})
			}
		case KindSelect:
			if t.name == "search" {
				for _, m := range search.Methods {
					f.Methods = append(f.Methods, FormMethod{Name: m.Name, Summary: m.Doc, Doc: m.Doc})
				}
			}
		case KindSweep:
			for _, k := range SweepKinds {
				f.Methods = append(f.Methods, FormMethod{Name: k, Summary: sweepDocs[k]})
			}
		case KindVerb:
			if len(t.labels) == 0 { // pipeline and locals have no kind of their own
				break
			}
			f.Doc = LookupVerb(t.name).Doc
			for _, m := range reg.Methods(t.name) {
				f.Methods = append(f.Methods, FormMethod{m.Method, m.Summary, m.Doc, m.Paper, m.Schema})
			}
			if len(f.Methods) == 0 {
				continue
			}
		}
		if len(t.labels) > 0 {
			f.Args = append(slices.Clone(f.Args), metaForms[t.kind]...)
			if slices.Contains(forEachKinds, t.kind) {
				f.Args = append(f.Args, argForEach)
			}
		}
		out = append(out, f)
	}
	return out
}
