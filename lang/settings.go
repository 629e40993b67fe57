package lang

import (
	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/schema"
)

// settingsArgs are the arguments of the pipeline block.
type settingsArgs struct {
	RequiredVersion string `arg:"required_version" optional:"true" doc:"versions of compressc that may run this, such as \">= 0.1\""`
	Description     string `arg:"description" optional:"true" doc:"what the pipeline makes"`
}

var settingsSchema = mustSchema(&settingsArgs{})

func (l *loader) addSettings(def hcl.Range, body hcl.Body) {
	content, diags := readBody("pipeline", nil, def, body, nil)
	l.diags = append(l.diags, diags...)
	m := l.module
	if m.settings != nil {
		l.errorAt(def, "Duplicate block", "There is one pipeline block, and it stands at %s.", where(m.settings.DefRange))
		return
	}
	m.settings = content
	for _, n := range content.Blocks {
		l.errorAt(n.DefRange, "Unsupported block", "The pipeline block holds arguments only.")
	}
	values := map[string]cty.Value{}
	for _, a := range content.Attrs {
		v, diags := a.Expr.Value(&hcl.EvalContext{Functions: l.Functions})
		l.diags = append(l.diags, diags...)
		if diags.HasErrors() {
			continue
		}
		if a.Name == "seed" && m.Parent != nil {
			l.errorAt(a.NameRange, "Seed in a module", "The seed is that of the pipeline which calls this module. To choose one here, declare a variable and give it to the blocks that draw numbers.")
			continue
		}
		if a.Name == "seed" {
			seed, err := Seed(v)
			if err != nil {
				l.errorAt(a.Expr.Range(), "Invalid seed", "Wrong seed: %v.", err)
			}
			l.Settings.Seed = seed
			continue
		}
		values[a.Name] = v
	}
	var args settingsArgs
	_, list := settingsSchema.Decode(&args, schema.Input{Values: values})
	l.diags = append(l.diags, content.Diagnostics(list)...)
	if m.Parent == nil {
		l.Settings.RequiredVersion, l.Settings.Description = args.RequiredVersion, args.Description
	}
	l.checkVersion(content.Attr("required_version"), args.RequiredVersion)
}

func (l *loader) checkVersion(a *Attr, required string) {
	if required == "" {
		return
	}
	constraint, err := version.NewConstraint(required)
	if err != nil {
		l.errorAt(a.Expr.Range(), "Invalid version constraint", `%q is no version constraint; write for example ">= 0.1".`, required)
		return
	}
	if l.opt.Version == "" {
		return
	}
	v, err := version.NewVersion(l.opt.Version)
	if err == nil && !constraint.Check(v.Core()) {
		l.errorAt(a.Expr.Range(), "Unsupported version", "The pipeline requires compressc %s, and this is %s. Install one that will do, or loosen the constraint.", required, l.opt.Version)
	}
}
