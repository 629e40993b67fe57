package server

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/compressc/compressc/lang"
)

// check checks a folder and publishes what it finds.
func (s *Server) check(dir string, st *state, generation int) {
	s.checking.Lock()
	defer s.checking.Unlock()
	s.mu.Lock()
	if st.generation != generation {
		s.mu.Unlock()
		return
	}
	overlay := map[string][]byte{}
	open := false
	for path, d := range s.docs {
		overlay[path] = slices.Clone(d.text)
		open = open || filepath.Dir(path) == dir
	}
	s.mu.Unlock()

	// Of a folder in which nothing is open there is nothing to say.
	var c Checked
	if open {
		c = s.opt.Check(dir, overlay)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if st.generation != generation {
		return
	}
	// A text that could not be read leaves the knowledge of the one before.
	if c.Pipeline != nil {
		// What reports hold is not known while something before them is broken.
		for addr, m := range st.checked.Metrics {
			if c.Metrics[addr] == nil && c.Metrics != nil {
				c.Metrics[addr] = m
			}
		}
		st.checked = c
	}
	before := st.published
	st.published = s.byFile(dir, c)
	files := sorted(st.published)
	for file := range before {
		if _, still := st.published[file]; !still {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	for _, file := range files {
		s.publish(file)
	}
}

// byFile makes findings of diagnostics. Every open document of the folder has
// an entry, so that what was wrong before is taken back.
func (s *Server) byFile(dir string, c Checked) map[string][]diagnostic {
	out := map[string][]diagnostic{}
	for path := range s.docs {
		if filepath.Dir(path) == dir {
			out[path] = nil
		}
	}
	for _, d := range c.Diags {
		severity := severityError
		if d.Severity == hcl.DiagWarning {
			severity = severityWarning
		}
		found := diagnostic{Severity: severity, Code: lang.RuleID(d.Summary), Source: "compressc", Message: d.Summary + ".\n" + d.Detail}
		path := ""
		if d.Subject != nil {
			path = filepath.Clean(d.Subject.Filename)
			if text, ok := s.text(path); ok {
				found.Range = s.enc.lspRange(text, *d.Subject)
			}
		} else if open := sorted(out); len(open) > 0 {
			path = open[0] // without a place it is shown at the top of the folder
		}
		if path != "" {
			out[path] = append(out[path], found)
		}
	}
	return out
}

// publish tells the client all that the folders' checks say of a file: a module
// is checked on its own, and in the pipelines that call it.
func (s *Server) publish(file string) {
	p := publishParams{URI: uriOf(file), Diagnostics: []diagnostic{}}
	if d := s.docs[file]; d != nil {
		version := d.version
		p.Version = &version
	}
	for _, dir := range sorted(s.state) {
		for _, d := range s.state[dir].published[file] {
			if !slices.Contains(p.Diagnostics, d) {
				p.Diagnostics = append(p.Diagnostics, d)
			}
		}
	}
	if err := s.rpc.Notify(context.Background(), "textDocument/publishDiagnostics", p); err != nil {
		s.opt.Logf("publishing diagnostics: %v", err)
	}
}
