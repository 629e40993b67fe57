package lang

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/git"
)

// ModuleCall is a call of a module from git.
type ModuleCall struct {
	// Addr is the address of the call, with its key where it has one.
	Addr string
	// Text is the source as it is written, and Source what it says.
	Text   string
	Source git.Source
}

// ModuleFolder is where a module's files are.
type ModuleFolder struct {
	Dir string
	// Checkout is the folder of all files of the module's repository, "" where
	// the module is not from git.
	Checkout string
}

// moduleFolder finds the folder that a call's source names.
func (l *loader) moduleFolder(call *Block) (ModuleFolder, bool) {
	a := call.Body.Attr("source")
	if a == nil {
		l.missing(call.Body.DefRange, "Missing argument", `The argument "source" is required: the folder of the module, such as "./recipe".`)
		return ModuleFolder{}, false
	}
	source := literal(a.Expr)
	if source == "" {
		l.errorAt(a.Expr.Range(), "Invalid source", `The source of a module is a text without references, such as "./recipe": what a pipeline is made of does not depend on variables.`)
		return ModuleFolder{}, false
	}
	var at ModuleFolder
	var list diag.List
	if strings.HasPrefix(source, git.Forced) {
		at, list = l.fromGit(call, source)
	} else {
		at, list = fromFolder(call.Module, source)
	}
	found := call.Body.Diagnostics(list)
	l.diags = append(l.diags, found...)
	if found.HasErrors() {
		return at, false
	}
	if v := call.Body.Attr("version"); v != nil {
		what := "A module in a folder has no versions: it is what the folder holds. Leave the argument out."
		if strings.HasPrefix(source, git.Forced) {
			what = `The version of a module from git is the branch, tag or commit at the end of its source: "…?ref=v1.2". Leave the argument out.`
		}
		l.errorAt(v.NameRange, "Unsupported argument", "%s", what)
	}
	for m := call.Module; m != nil; m = m.Parent {
		if filepath.Clean(m.Dir) == filepath.Clean(at.Dir) {
			l.errorAt(a.Expr.Range(), "Module calls itself", "The folder %s is that of a module this call stands in, so that there would be no end to it. What both need belongs into a third folder.", source)
			return at, false
		}
	}
	return at, true
}

// fromGit asks for the folder of a module from git.
func (l *loader) fromGit(call *Block, source string) (at ModuleFolder, list diag.List) {
	s, err := git.ParseSource(source)
	if err != nil {
		list.Errorf("source", "Invalid source", "This names no module in a git repository: %s.", err)
		return at, list
	}
	if l.opt.Modules == nil {
		list.Errorf("source", "Module is not fetched", "Modules from git are not at hand here. Name a folder, such as \"./recipe\".")
		return at, list
	}
	return l.opt.Modules(ModuleCall{Addr: call.Addr(), Text: source, Source: s})
}

// fromFolder is the folder that a source names in a module. Sources of other
// kinds are refused with what to write in their place.
func fromFolder(m *Module, source string) (at ModuleFolder, list diag.List) {
	local := source == "." || source == ".." || strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../") || filepath.IsAbs(source)
	if !local {
		list.Errorf("source", "Invalid source", "%s", otherSource(source))
		return at, list
	}
	at.Dir, at.Checkout = filepath.FromSlash(source), m.Checkout
	if !filepath.IsAbs(at.Dir) {
		at.Dir = filepath.Join(m.Dir, at.Dir)
	}
	if m.Checkout != "" {
		if rel, err := filepath.Rel(m.Checkout, at.Dir); err != nil || !filepath.IsLocal(rel) || filepath.IsAbs(source) {
			list.Errorf("source", "Module outside its repository", "This file is part of a module from git, and %s is not in its repository. Name a folder of the repository, or another repository: source = \"git::https://…\".", source)
		}
	}
	return at, list
}

// otherSource says what to write in place of a source of a kind that there is
// not.
func otherSource(source string) string {
	if s := git.Suggest(source); s != "" {
		return fmt.Sprintf("A module from a git repository is named by git:: and a URL. Write %q.", s)
	}
	path, _, _ := strings.Cut(source, "?")
	switch kind, _, forced := strings.Cut(source, "::"); {
	case forced:
		return fmt.Sprintf("Modules come from folders and from git, and not by way of %s::. Write source = \"git::https://…\", or put a copy beside the pipeline and name its folder: source = \"./modules/name\".", kind)
	case strings.Contains(source, "://"):
		return fmt.Sprintf("Modules come from folders and from git. If %s is a git repository, write \"git::%s\"; otherwise put a copy beside the pipeline and name its folder: source = \"./modules/name\".", source, source)
	case isRegistry(path):
		return fmt.Sprintf("There is no registry of modules. Name the module's git repository, such as \"git::https://example.com/%s.git?ref=v1.0\", or a folder beside the pipeline: \"./%s\".", strings.Join(strings.Split(path, "/")[:2], "/"), path)
	}
	return fmt.Sprintf("A module's folder begins with ./ or ../: write \"./%s\". One from a git repository is \"git::https://example.com/recipes.git//folder?ref=v1.2\".", source)
}

// isRegistry reports whether a source has the form that Terraform looks up in a
// registry: NAMESPACE/NAME/PROVIDER, perhaps behind a host.
func isRegistry(source string) bool {
	parts := strings.Split(source, "/")
	if len(parts) == 4 && strings.Contains(parts[0], ".") {
		parts = parts[1:]
	}
	for _, p := range parts {
		if p == "" || strings.ContainsAny(p, ". \\") {
			return false
		}
	}
	return len(parts) == 3
}

// literal is the text that an expression is, "" where it is none.
func literal(e hcl.Expression) string {
	v, diags := e.Value(nil)
	if diags.HasErrors() || v.IsNull() || v.Type() != cty.String || !v.IsKnown() {
		return ""
	}
	return v.AsString()
}

// idle looks for the module of a call without instances, and for those that it
// calls, so that they are fetched and locked before there are any. What is wrong
// within is said once there are.
func (l *loader) idle(call *Block) {
	before := len(l.diags)
	at, ok := l.moduleFolder(call)
	if a := call.Body.Attr("source"); a == nil || !strings.HasPrefix(literal(a.Expr), git.Forced) {
		l.diags = l.diags[:before]
	}
	if !ok {
		return
	}
	f := l.folder(at.Dir)
	if f.lost {
		return
	}
	m := newModule(call.Module, call, at)
	outer := l.module
	l.module, before = m, len(l.diags)
	for _, file := range f.files {
		l.addFile(file)
	}
	l.diags = l.diags[:before]
	for _, b := range m.blocks {
		if b.Kind == KindModule {
			b.setAddr()
			l.idle(b)
		}
	}
	l.module = outer
}
