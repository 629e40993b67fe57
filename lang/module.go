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
	// Checkout is the folder of the files of a module from git, which relative
	// sources do not leave; "" for modules of the pipeline's own.
	Checkout string
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

func newModule(parent *Module, call *Block, at ModuleFolder) *Module {
	m := &Module{Dir: at.Dir, Checkout: at.Checkout, Parent: parent, Call: call, entries: map[string]*entry{}}
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
// module and of the pipeline, from where relative paths start. That of a module
// from git is absolute: it has nothing to do with where the pipeline is.
func (m *Module) PathValue() cty.Value {
	dir := "."
	if m.Checkout != "" {
		dir = filepath.ToSlash(m.Dir)
	} else if rel, err := filepath.Rel(m.rootDir(), m.Dir); err == nil {
		dir = filepath.ToSlash(rel)
	}
	return cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(dir), "root": cty.StringVal(".")})
}

// spelled names the module in messages: by its folder, or by the source that
// its call gives where that is not one of the user's.
func (m *Module) spelled() string {
	if m.Checkout == "" {
		return "in " + m.Dir
	}
	return literal(m.Call.Body.Attr("source").Expr)
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
	at, ok := l.moduleFolder(call)
	if !ok {
		e.lost = true
		return
	}
	dir := at.Dir
	f := l.folder(dir)
	if !f.taken {
		f.taken = true
		l.take(f)
	}
	if f.lost {
		e.lost = true
		l.errorAt(call.Body.Attr("source").Expr.Range(), "Module cannot be read", "%s%s", f.reason, nearFolder(dir))
		return
	}
	m := newModule(call.Module, call, at)
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

// folder is the text in a module's folder, read once.
func (l *loader) folder(dir string) *folder {
	f := l.folders[dir]
	if f == nil {
		f = readModule(l.opt, dir)
		l.folders[dir] = f
	}
	return f
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
		at, ok := l.moduleFolder(call)
		dir := at.Dir
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
		l.errorAt(a.NameRange, "Unsupported argument", "The module %s has no variable %q.%s %s", m.spelled(), a.Name, didyoumean.Hint(a.Name, declared), takes)
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
				l.missing(call.Body.DefRange, "Missing argument", "The module %s requires the argument %q%s.", m.spelled(), b.Name, doc)
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
		list := l.instances(b)
		if b.Kind == KindModule && len(list) == 0 {
			b.setAddr()
			l.idle(b)
		}
		for _, instance := range list {
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
