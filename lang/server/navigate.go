package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// place is a position in a file that is open or on disk.
type place struct {
	path   string
	text   []byte
	offset int
	folder *folder
	names  []name
}

// at finds a position's place. It is false for files that are none of the
// language's.
func (s *Server) at(p positionParams) (*place, bool) {
	path := pathOf(p.TextDocument.URI)
	f := s.parseFolder(filepath.Dir(path))
	file := f.files[path]
	if file == nil {
		return nil, false
	}
	return &place{path, file.Bytes, s.enc.offset(file.Bytes, p.Position), f, names(f.files)}, true
}

func (s *Server) locationOf(f *folder, n name, whole bool) location {
	r := n.at
	if whole {
		r = n.whole
	}
	return location{uriOf(r.Filename), s.enc.lspRange(f.files[r.Filename].Bytes, r)}
}

// declaration finds where a name is declared: in the folder or, for outputs,
// in the module's.
func (s *Server) declaration(f *folder, addr string) (*folder, *name) {
	list := names(f.files)
	for i := range list {
		if list[i].declares && list[i].addr == addr {
			return f, &list[i]
		}
	}
	if parts := strings.Split(addr, "."); len(parts) == 3 && parts[0] == "module" {
		if dir := f.moduleFolder(parts[1]); dir != "" {
			return s.declaration(s.parseFolder(dir), "output."+parts[2])
		}
	}
	return nil, nil
}

func (s *Server) definition(_ context.Context, p positionParams) ([]location, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.at(p)
	if !ok {
		return []location{}, nil
	}
	if n := nameAt(at.names, at.path, at.offset); n != nil {
		if f, d := s.declaration(at.folder, n.addr); d != nil {
			return []location{s.locationOf(f, *d, false)}, nil
		}
		return []location{}, nil
	}
	if f, d := s.moduleArgument(at); d != nil {
		return []location{s.locationOf(f, *d, false)}, nil
	}
	return []location{}, nil
}

// moduleArgument finds the variable that an argument of a module call is for,
// and the first file of the folder that source names.
func (s *Server) moduleArgument(at *place) (*folder, *name) {
	for _, b := range at.folder.blocks("module") {
		if b.Range().Filename != at.path || len(b.Labels) != 1 {
			continue
		}
		for _, a := range attributes(b.Body) {
			if at.offset < a.NameRange.Start.Byte || at.offset > a.NameRange.End.Byte {
				continue
			}
			if dir := at.folder.moduleFolder(b.Labels[0]); dir != "" {
				return s.declaration(s.parseFolder(dir), "var."+a.Name)
			}
		}
	}
	return nil, nil
}

func (s *Server) references(_ context.Context, p referenceParams) ([]location, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []location{}
	at, ok := s.at(p.positionParams)
	if !ok {
		return list, nil
	}
	n := nameAt(at.names, at.path, at.offset)
	if n == nil {
		return list, nil
	}
	for _, o := range at.names {
		if o.addr == n.addr && (!o.declares || p.Context.IncludeDeclaration) {
			list = append(list, s.locationOf(at.folder, o, false))
		}
	}
	return list, nil
}

// renamable finds the name at a position that can be changed.
func (s *Server) renamable(p positionParams) (*place, *name, error) {
	at, ok := s.at(p)
	if !ok {
		return nil, nil, errors.New("this file is not one of a pipeline's in native syntax")
	}
	n := nameAt(at.names, at.path, at.offset)
	if n == nil {
		return nil, nil, errors.New("there is no name here that could be changed")
	}
	f, d := s.declaration(at.folder, n.addr)
	if d == nil {
		return nil, nil, fmt.Errorf("%s is declared nowhere", n.addr)
	}
	if f.dir != at.folder.dir {
		return nil, nil, fmt.Errorf("%s is declared in the module in %s; rename it there", n.addr, f.dir)
	}
	return at, n, nil
}

func (s *Server) prepareRename(_ context.Context, p positionParams) (*prepareRenameResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, n, err := s.renamable(p)
	if err != nil {
		return nil, err
	}
	return &prepareRenameResult{s.enc.lspRange(at.text, n.at), string(at.text[n.at.Start.Byte:n.at.End.Byte])}, nil
}

func (s *Server) rename(_ context.Context, p renameParams) (*workspaceEdit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, n, err := s.renamable(p.positionParams)
	if err != nil {
		return nil, err
	}
	if !hclsyntax.ValidIdentifier(p.NewName) {
		return nil, fmt.Errorf("%q is no identifier: letters, digits, _ and -, and no digit first", p.NewName)
	}
	addr := n.addr[:strings.LastIndex(n.addr, ".")+1] + p.NewName
	edits := map[string][]textEdit{}
	for _, o := range at.names {
		if o.declares && o.addr == addr && addr != n.addr {
			return nil, fmt.Errorf("%s is there already", addr)
		}
		if o.addr == n.addr {
			uri := uriOf(o.at.Filename)
			edits[uri] = append(edits[uri], textEdit{s.enc.lspRange(at.folder.files[o.at.Filename].Bytes, o.at), p.NewName})
		}
	}
	return &workspaceEdit{edits}, nil
}
