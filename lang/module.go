package lang

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sync/errgroup"

	"github.com/compressc/compressc/internal/didyoumean"
)

// Module is one instance of a module: the pipeline itself, or a folder that a
// module block calls, once for each key of its for_each.
type Module struct {
	// Path is "" for the pipeline, else an address such as `module.m["a"]`.
	Path string
	// Dir is the folder, as the names of its files begin.
	Dir string
	// Call is the block that calls the module, Parent the module it stands in.
	Call   *Block
	Parent *Module

	entries map[string]*entry
	// blocks are those that the text declares, before for_each.
	blocks   []*Block
	settings *Body
	// keyed is set where a block of the module has for_each.
	keyed bool
}

// entry is what a name means in a module, by local address: "prune.x",
// "module.m".
type entry struct {
	declared *Block
	blocks   []*Block
	modules  []*Module
	// lost is set where a module could not be read, which was reported.
	lost bool
}

func newModule(parent *Module, call *Block, dir string) *Module {
	m := &Module{Dir: dir, Parent: parent, Call: call, entries: map[string]*entry{}}
	if call != nil {
		m.Path = call.Addr()
	}
	return m
}

// prefix is what the addresses of a module's blocks begin with.
func (m *Module) prefix() string {
	if m.Path == "" {
		return ""
	}
	return m.Path + "."
}

// rootDir is the pipeline's folder.
func (m *Module) rootDir() string {
	for m.Parent != nil {
		m = m.Parent
	}
	return m.Dir
}

// PathValue is what expressions of the module see as path: the folders of the
// module and of the pipeline, from where relative paths start.
func (m *Module) PathValue() cty.Value {
	dir := "."
	if rel, err := filepath.Rel(m.rootDir(), m.Dir); err == nil {
		dir = filepath.ToSlash(rel)
	}
	return cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(dir), "root": cty.StringVal(".")})
}

// named returns the local addresses of a root's blocks, without the root, in
// the order they are declared.
func (m *Module) named(root string) []string {
	var names []string
	for _, b := range m.blocks {
		if name, ok := strings.CutPrefix(b.LocalAddr(), root+"."); ok {
			names = append(names, name)
		}
	}
	return names
}

// moduleArgs are the arguments of a module block that are not the module's.
var moduleArgs = []string{"source", "version", "for_each"}

// enter reads the module that a call names and binds its arguments.
func (l *loader) enter(call *Block, e *entry) {
	dir, ok := l.moduleDir(call)
	if !ok {
		e.lost = true
		return
	}
	f := l.folders[dir]
	if f == nil {
		f = readModule(l.opt, dir)
		l.folders[dir] = f
	}
	if !f.taken {
		f.taken = true
		l.take(f)
	}
	if f.lost {
		e.lost = true
		l.errorAt(call.Body.Attr("source").Expr.Range(), "Module cannot be read", "%s%s", f.reason, nearFolder(dir))
		return
	}
	m := newModule(call.Module, call, dir)
	e.modules = append(e.modules, m)
	outer := l.module
	l.module = m
	for _, file := range f.files {
		l.addFile(file)
	}
	l.bind(m)
	l.instantiate(m)
	l.module = outer
}

func readModule(opt Options, dir string) *folder {
	files, diags := opt.readFolder(dir)
	if diags.HasErrors() {
		return &folder{lost: true, reason: diags[0].Detail}
	}
	return parseFolder(files)
}

// nearFolder names the folder beside dir that is spelled most like it.
func nearFolder(dir string) string {
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != filepath.Base(dir) {
			names = append(names, e.Name())
		}
	}
	if hint := didyoumean.Hint(filepath.Base(dir), names); hint != "" {
		return hint
	}
	return " A module is a folder of files whose names end in " + PipelineSuffix + "."
}

// prefetch reads the folders of calls side by side; what is wrong with them is
// said when they are entered.
func (l *loader) prefetch(calls []*Block) {
	var dirs []string
	for _, call := range calls {
		before := len(l.diags)
		dir, ok := l.moduleDir(call)
		l.diags = l.diags[:before]
		if ok && l.folders[dir] == nil && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) < 2 {
		return
	}
	found := make([]*folder, len(dirs))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, dir := range dirs {
		g.Go(func() error {
			found[i] = readModule(l.opt, dir)
			return nil
		})
	}
	_ = g.Wait() // none fails
	for i, dir := range dirs {
		l.folders[dir] = found[i]
	}
}

// moduleDir finds the folder that a call's source names.
func (l *loader) moduleDir(call *Block) (string, bool) {
	a := call.Body.Attr("source")
	if a == nil {
		l.missing(call.Body.DefRange, "Missing argument", `The argument "source" is required: the folder of the module, such as "./recipe".`)
		return "", false
	}
	v, diags := a.Expr.Value(nil)
	if diags.HasErrors() || v.IsNull() || v.Type() != cty.String || !v.IsKnown() {
		l.errorAt(a.Expr.Range(), "Invalid source", `The source of a module is a text without references, such as "./recipe": what a pipeline is made of does not depend on variables.`)
		return "", false
	}
	source := v.AsString()
	local := strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../") || filepath.IsAbs(source)
	switch {
	case source == "." || source == "..":
		local = true
	case !local && (strings.Contains(source, "::") || strings.Contains(source, "://")):
		l.errorAt(a.Expr.Range(), "Module cannot be fetched", "This version reads modules from folders. Put a copy of %s beside the pipeline and name its folder: source = \"./modules/name\".", source)
		return "", false
	case !local:
		l.errorAt(a.Expr.Range(), "Invalid source", "A module's folder begins with ./ or ../: write \"./%s\". Modules of a registry are not fetched by this version.", source)
		return "", false
	}
	if v := call.Body.Attr("version"); v != nil {
		l.errorAt(v.NameRange, "Unsupported argument", "A module in a folder has no versions: it is what the folder holds. Leave the argument out.")
	}
	dir := filepath.FromSlash(source)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(call.Module.Dir, dir)
	}
	for m := call.Module; m != nil; m = m.Parent {
		if filepath.Clean(m.Dir) == filepath.Clean(dir) {
			l.errorAt(a.Expr.Range(), "Module calls itself", "The folder %s is that of a module this call stands in, so that there would be no end to it. What both need belongs into a third folder.", source)
			return "", false
		}
	}
	return dir, true
}

// bind gives a module's variables the values of its call. An argument becomes
// the expression that its variable stands for.
func (l *loader) bind(m *Module) {
	call := m.Call
	var declared []string
	for _, b := range m.blocks {
		if b.Kind == KindVariable {
			declared = append(declared, b.Name)
		}
	}
	meant := map[string]bool{}
	for _, a := range call.Body.Attrs {
		if slices.Contains(moduleArgs, a.Name) || slices.Contains(declared, a.Name) {
			continue
		}
		meant[didyoumean.Nearest(a.Name, declared)] = true
		if l.damaged {
			continue
		}
		takes := "It declares no variables."
		if len(declared) > 0 {
			takes = "It has " + strings.Join(declared, ", ") + "."
		}
		l.errorAt(a.NameRange, "Unsupported argument", "The module in %s has no variable %q.%s %s", m.Dir, a.Name, didyoumean.Hint(a.Name, declared), takes)
	}
	for _, n := range call.Body.Blocks {
		if slices.Contains(declared, n.Type) {
			l.errorAt(n.DefRange, "Unsupported block", "%q is an argument here, with an equals sign: %s = …", n.Type, n.Type)
			meant[n.Type] = true
			continue
		}
		l.unsupportedBlock(n, nil)
	}
	for _, b := range m.blocks {
		if b.Kind == KindOutput {
			l.checkModuleOutput(b)
		}
		if b.Kind != KindVariable {
			continue
		}
		v := l.declare(b)
		a := call.Body.Attr(b.Name)
		switch {
		case slices.Contains(moduleArgs, b.Name):
			b.Broken = true
			l.errorAt(b.Body.DefRange, "Reserved name", "A module's variable cannot be called %q: a module block has an argument of that name already.", b.Name)
		case a != nil:
			a = a.clone()
			a.Owner = call
			b.Kind, b.Type, b.Body = KindLocal, "var", &Body{Type: "var", Attrs: []*Attr{a}, DefRange: a.NameRange}
		case v.required:
			if !meant[b.Name] {
				doc := ""
				if b.Doc != "" {
					doc = ": " + b.Doc
				}
				l.missing(call.Body.DefRange, "Missing argument", "The module in %s requires the argument %q%s.", m.Dir, b.Name, doc)
			}
			b.Broken = true
		}
		if b.Kind == KindVariable && b.Value == cty.NilVal {
			b.Value = cty.UnknownVal(v.typ)
		}
	}
}

// checkModuleOutput makes an output of a called module the expression it is.
func (l *loader) checkModuleOutput(b *Block) {
	for _, name := range []string{"enabled", "requires"} {
		if a := b.Body.take(name); a != nil {
			l.errorAt(a.NameRange, "Unsupported argument", "An output of a module that is called is a value for its caller, and has no argument %q. Give it to the blocks that use the value.", name)
		}
	}
	b.Kind = KindLocal
}

// instantiate makes the instances of a module's blocks, then those of the
// modules it calls.
func (l *loader) instantiate(m *Module) {
	var calls []*Block
	for _, b := range m.blocks {
		e := m.entries[b.LocalAddr()]
		for _, instance := range l.instances(b) {
			instance.setAddr()
			if instance.Kind == KindModule {
				calls = append(calls, instance)
				continue
			}
			e.blocks = append(e.blocks, instance)
			l.register(instance)
		}
	}
	l.prefetch(calls)
	for _, call := range calls {
		l.enter(call, m.entries[call.LocalAddr()])
	}
}

// MaxBlocks bounds the blocks of a pipeline, all instances counted: more is a
// mistake.
const MaxBlocks = 50000

func (l *loader) register(b *Block) {
	l.Blocks = append(l.Blocks, b)
	l.index[b.Addr()] = b
	if b.Keyed {
		group := b.Module.prefix() + b.LocalAddr()
		l.groups[group] = append(l.groups[group], b)
	}
}

// outputs are the names of a module's outputs in the order they are declared.
func (m *Module) outputs() []string { return m.named("output") }

// Called says where a module is called from, in words; "" for the pipeline.
func (m *Module) Called() string {
	if m.Call == nil {
		return ""
	}
	return m.Path + ", called at " + where(m.Call.Body.DefRange)
}

func subjectOf(a *Attr) *hcl.Range { return a.Expr.Range().Ptr() }
