package server

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/git"
	"github.com/compressc/compressc/lang"
)

// folder is the syntax of a pipeline's or module's files, as far as it parses.
type folder struct {
	server *Server
	dir    string
	files  map[string]*hcl.File
}

// parseFolder reads the files in native syntax, open ones as they are in the
// editor. A folder that cannot be read has none.
func (s *Server) parseFolder(dir string) *folder {
	f := &folder{server: s, dir: dir, files: map[string]*hcl.File{}}
	entries, _ := os.ReadDir(dir) // what is open is enough
	var paths []string
	for _, e := range entries {
		paths = append(paths, filepath.Join(dir, e.Name()))
	}
	for path := range s.docs {
		if filepath.Dir(path) == dir {
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		if filepath.Ext(path) != ".hcl" || f.files[path] != nil || !lang.IsSourceFile(path) {
			continue
		}
		text, ok := s.text(path)
		if !ok {
			continue
		}
		file, _ := hclsyntax.ParseConfig(text, path, hcl.InitialPos) // checks report what is wrong
		if file != nil {
			f.files[path] = file
		}
	}
	return f
}

// text is what a file holds: in the editor, or else on the disk.
func (s *Server) text(path string) ([]byte, bool) {
	if d := s.docs[path]; d != nil {
		return d.text, true
	}
	text, err := os.ReadFile(path)
	return text, err == nil
}

// blocks lists the blocks of a type, by file and line.
func (f *folder) blocks(typ string) []*hclsyntax.Block {
	var list []*hclsyntax.Block
	for _, path := range sorted(f.files) {
		if body, ok := f.files[path].Body.(*hclsyntax.Body); ok {
			for _, b := range body.Blocks {
				if b.Type == typ {
					list = append(list, b)
				}
			}
		}
	}
	return list
}

// moduleFolder is the folder that a module block names, "" where none can be
// told, or its module is not on this machine.
func (f *folder) moduleFolder(call string) string {
	for _, b := range f.blocks("module") {
		if len(b.Labels) != 1 || b.Labels[0] != call || b.Body.Attributes["source"] == nil {
			continue
		}
		source := literal(b.Body.Attributes["source"])
		if strings.HasPrefix(source, git.Forced) {
			if f.server.opt.Modules == nil {
				return ""
			}
			return f.server.opt.Modules(f.dir, source)
		}
		dir := filepath.FromSlash(source)
		if dir != "" && !filepath.IsAbs(dir) {
			dir = filepath.Join(f.dir, dir)
		}
		return dir
	}
	return ""
}

// literal is the text of an attribute that holds one, "" otherwise.
func literal(a *hclsyntax.Attribute) string {
	if a == nil {
		return ""
	}
	v, diags := a.Expr.Value(nil)
	if diags.HasErrors() || v.Type() != cty.String || !v.IsKnown() || v.IsNull() {
		return ""
	}
	return v.AsString()
}
