package lang

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"

	"github.com/compressc/compressc/internal/diag"
)

// The file names of pipelines and of variables' values.
const (
	PipelineSuffix = ".pipeline.hcl"
	VarsSuffix     = ".vars.hcl"
)

// IsPipelineFile reports whether a file of that name is part of a pipeline.
func IsPipelineFile(name string) bool {
	return strings.HasSuffix(name, PipelineSuffix) || strings.HasSuffix(name, PipelineSuffix+".json")
}

func isVarsFile(name string) bool {
	return strings.HasSuffix(name, VarsSuffix) || strings.HasSuffix(name, VarsSuffix+".json")
}

// Options say how a pipeline is loaded.
type Options struct {
	// Registry knows the methods; it must not be nil.
	Registry *Registry
	// Inputs are -var and -var-file in the order of the command line: a later
	// one wins over an earlier one, and any over files and environment.
	Inputs []Input
	// Environ is os.Environ() or nil: COMPRESSC_VAR_name=value.
	Environ []string
	// Version is the program's, for required_version; "" skips that check.
	Version string
	// Complete makes a required variable without a value an error. Without it
	// the variable is unknown, as validate wants it.
	Complete bool
	// Overlay holds the text of files that are open in an editor, by the path
	// they would be read from. It wins over the disk.
	Overlay map[string][]byte
	// Extra files are part of the pipeline beside those of its folder.
	Extra map[string]*hcl.File
	// Modules finds the folders of modules from git; without it they are not at
	// hand. It is asked once or more for each call, in the order of the text, and
	// its findings are about the argument source.
	Modules func(ModuleCall) (ModuleFolder, diag.List)
}

// Input is one -var or -var-file.
type Input struct {
	// Parsed is a -var-file that has been read already; then nothing else is set
	// but its name, File.
	Parsed *hcl.File
	// File is the path of a -var-file, "" for a -var.
	File string
	// Name and Value are those of -var name=value.
	Name, Value string
}

// Load reads the pipeline of a folder, or of one file. A single file is
// loaded without the folder's *.vars.hcl. The Pipeline is nil only when nothing
// could be read; otherwise it holds what is sound, whatever the diagnostics.
func Load(path string, opt Options) (*Pipeline, hcl.Diagnostics) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileError("Cannot read the pipeline", path, err)
	}
	if !info.IsDir() {
		src, err := opt.readFile(path)
		if err != nil {
			return nil, fileError("Cannot read the pipeline", path, err)
		}
		return LoadFiles(filepath.Dir(path), map[string][]byte{path: src}, opt)
	}
	files, diags := opt.readFolder(path)
	if diags.HasErrors() {
		return nil, diags
	}
	return LoadFiles(path, files, opt)
}

// readFolder reads the files of a pipeline or module, of which there is one at
// least.
func (o Options) readFolder(dir string) (map[string][]byte, hcl.Diagnostics) {
	var names []string
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	for name := range o.Overlay {
		if filepath.Dir(name) == filepath.Clean(dir) && !slices.Contains(names, name) {
			names, err = append(names, name), nil
		}
	}
	if err != nil {
		return nil, fileError("Cannot read the folder", dir, err)
	}
	files := map[string][]byte{}
	found := false
	for _, name := range names {
		if !IsPipelineFile(name) && !isVarsFile(name) {
			continue
		}
		found = found || IsPipelineFile(name)
		src, err := o.readFile(name)
		if err != nil {
			return nil, fileError("Cannot read the pipeline", name, err)
		}
		files[name] = src
	}
	if !found {
		return nil, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "No pipeline here",
			Detail: fmt.Sprintf("The folder %q holds no file whose name ends in %s.", dir, PipelineSuffix)}}
	}
	return files, nil
}

// LoadFiles is Load for texts at hand: files by name, those that end like
// *.vars.hcl give values to variables and all others are the pipeline. Relative
// paths in expressions start from dir, and so do those of modules, which are
// read from Options.Overlay and the disk.
func LoadFiles(dir string, files map[string][]byte, opt Options) (*Pipeline, hcl.Diagnostics) {
	p := &Pipeline{Dir: dir, Files: map[string]*hcl.File{}, index: map[string]*Block{}, groups: map[string][]*Block{}}
	p.Functions = functions(dir)
	p.Root = newModule(nil, nil, ModuleFolder{Dir: dir})
	l := &loader{Pipeline: p, opt: opt, module: p.Root, folders: map[string]*folder{}}
	f := parseFolder(files)
	l.take(f)
	for _, file := range f.files {
		l.addFile(file)
	}
	for _, name := range slices.Sorted(maps.Keys(opt.Extra)) {
		p.Files[name] = opt.Extra[name]
		l.addFile(opt.Extra[name])
	}
	l.setVariables(f.vars)
	l.instantiate(p.Root)
	l.resolve()
	l.checkBlocks()
	p.Faulty = l.diags.HasErrors()
	for _, d := range l.diags {
		p.NearestFunction(d)
	}
	return p, sortDiagnostics(tidy(l.diags))
}

// folder is the text of a pipeline or module, parsed.
type folder struct {
	files, vars []*hcl.File
	// diags are those of reading and parsing. With lost there is no text.
	diags  hcl.Diagnostics
	lost   bool
	reason string
	// taken is set once the diagnostics are the pipeline's.
	taken bool
	names []string
	all   []*hcl.File
}

// parseFolder reads no state but its arguments, so that folders can be parsed
// side by side.
func parseFolder(files map[string][]byte) *folder {
	f := &folder{}
	for name := range files {
		f.names = append(f.names, name)
	}
	slices.Sort(f.names)
	for _, name := range f.names {
		parsed, diags := parseFile(name, files[name])
		f.diags = append(f.diags, diags...)
		f.all = append(f.all, parsed)
		if isVarsFile(name) {
			f.vars = append(f.vars, parsed)
		} else {
			f.files = append(f.files, parsed)
		}
	}
	return f
}

// take adds what a folder holds to the pipeline's files and findings.
func (l *loader) take(f *folder) {
	l.diags = append(l.diags, f.diags...)
	l.damaged = l.damaged || f.diags.HasErrors()
	for i, name := range f.names {
		l.Files[name] = f.all[i]
	}
}

type loader struct {
	*Pipeline
	opt   Options
	diags hcl.Diagnostics
	// module is the one being read.
	module *Module
	// folders are those of modules, by path, each parsed once.
	folders map[string]*folder
	// damaged is set by a syntax error: blocks that seem missing may be there.
	damaged bool
	// lacking is set when the block being checked lacks something.
	lacking bool
}

// parseFile never returns nil: a file with a syntax error yields what the
// parser could make of it.
func parseFile(name string, src []byte) (*hcl.File, hcl.Diagnostics) {
	var f *hcl.File
	var diags hcl.Diagnostics
	if strings.HasSuffix(name, ".json") {
		f, diags = hcljson.Parse(src, name)
	} else {
		f, diags = hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	}
	// What is left of JSON behind a syntax error says nothing that was meant.
	if f == nil || f.Body == nil || diags.HasErrors() && strings.HasSuffix(name, ".json") {
		f = &hcl.File{Body: hcl.EmptyBody(), Bytes: src}
	}
	return f, diags
}

// parse is parseFile for a file that belongs to no folder.
func (l *loader) parse(name string, src []byte) *hcl.File {
	f, diags := parseFile(name, src)
	l.take(&folder{names: []string{name}, all: []*hcl.File{f}, diags: diags})
	return f
}

func (o Options) readFile(path string) ([]byte, error) {
	if src, ok := o.Overlay[path]; ok {
		return src, nil
	}
	return os.ReadFile(path)
}

func fileError(summary, path string, err error) hcl.Diagnostics {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf("%s: %v.", path, err)}}
}

// IsSourceFile reports whether a file of that name is written in the language:
// part of a pipeline, or values of variables.
func IsSourceFile(name string) bool { return IsPipelineFile(name) || isVarsFile(name) }
