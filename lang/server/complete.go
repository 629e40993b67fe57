package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl-lang/decoder"
	hlang "github.com/hashicorp/hcl-lang/lang"
	"github.com/hashicorp/hcl-lang/reference"
	hschema "github.com/hashicorp/hcl-lang/schema"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/lang"
)

// paths gives hcl-lang one folder.
type paths struct {
	path hlang.Path
	ctx  *decoder.PathContext
}

func (p paths) Paths(context.Context) []hlang.Path { return []hlang.Path{p.path} }

func (p paths) PathContext(path hlang.Path) (*decoder.PathContext, error) {
	if !path.Equals(p.path) {
		return nil, errors.New("there is no such folder")
	}
	return p.ctx, nil
}

// decoder makes hcl-lang's view of a folder.
func (s *Server) decoder(f *folder) (*decoder.PathDecoder, error) {
	path := hlang.Path{Path: f.dir, LanguageID: "compressc"}
	body := bodySchema(s.forms)
	addNamed(body, s.forms, f)
	st := s.state[f.dir]
	if st == nil {
		st = &state{}
	}
	ctx := &decoder.PathContext{Schema: body, Files: f.files, ReferenceTargets: targets(f, st.checked), Functions: map[string]hschema.FunctionSignature{}}
	if st.checked.Pipeline != nil {
		ctx.Functions = signatures(st.checked.Pipeline)
	}
	return decoder.NewDecoder(paths{path, ctx}).Path(path)
}

func address(names ...string) hlang.Address {
	a := hlang.Address{hlang.RootStep{Name: names[0]}}
	for _, n := range names[1:] {
		a = append(a, hlang.AttrStep{Name: n})
	}
	return a
}

// targets are what references in a folder's files can name.
func targets(f *folder, c Checked) reference.Targets {
	var list reference.Targets
	for _, path := range sorted(f.files) {
		body, ok := f.files[path].Body.(*hclsyntax.Body)
		if !ok {
			continue
		}
		for _, b := range body.Blocks {
			list = append(list, targetsOf(f, c, b)...)
		}
	}
	return list
}

func targetsOf(f *folder, c Checked, b *hclsyntax.Block) reference.Targets {
	if b.Type == "locals" {
		var list reference.Targets
		for _, a := range attributes(b.Body) {
			list = append(list, reference.Target{Addr: address("local", a.Name), RangePtr: a.SrcRange.Ptr(), DefRangePtr: a.NameRange.Ptr(), Type: cty.DynamicPseudoType})
		}
		return list
	}
	if len(b.Labels) == 0 {
		return nil
	}
	root, name := b.Type, b.Labels[len(b.Labels)-1]
	t := reference.Target{RangePtr: b.Range().Ptr(), DefRangePtr: b.DefRange().Ptr(), Name: b.Type}
	nested := func(name string, typ cty.Type, doc string) {
		t.NestedTargets = append(t.NestedTargets, reference.Target{Addr: append(append(hlang.Address{}, t.Addr...), hlang.AttrStep{Name: name}),
			RangePtr: t.RangePtr, DefRangePtr: t.DefRangePtr, Type: typ, Description: hlang.Markdown(sentence(doc))})
	}
	describe := func(typ cty.Type, attrs []lang.AttrDoc) {
		t.Type = typ
		for _, a := range attrs {
			nested(a.Name, a.Type, a.Doc)
		}
	}
	switch root {
	case "variable":
		t.Addr, t.Type, t.Description = address("var", name), cty.DynamicPseudoType, hlang.Markdown(sentence(literal(b.Body.Attributes["description"])))
		if c.Pipeline != nil {
			if v := c.Pipeline.Lookup("var." + name); v != nil && v.Value != cty.NilVal {
				t.Type = v.Value.Type()
			}
		}
		return reference.Targets{t}
	case "gate":
		t.Addr, t.ScopeId = address(root, name), gateScope
		return reference.Targets{t}
	case "sweep":
		t.Addr, t.Type = address(root, name), cty.EmptyObject
		var own reference.Targets
		for _, a := range attributes(b.Body) {
			if slices.Contains(lang.SweepArgs, a.Name) {
				continue
			}
			nested(a.Name, cty.DynamicPseudoType, "an axis")
			// where sees the axes of its own sweep under another name.
			own = append(own, reference.Target{LocalAddr: address(lang.AxisRoot, a.Name), TargetableFromRangePtr: b.Body.Range().Ptr(),
				RangePtr: a.SrcRange.Ptr(), DefRangePtr: a.NameRange.Ptr(), Type: cty.DynamicPseudoType, Description: hlang.Markdown("An axis.")})
		}
		return append(own, t)
	case "module":
		t.Addr, t.Type = address(root, name), cty.EmptyObject
		if dir := f.moduleFolder(name); dir != "" {
			for _, o := range f.server.parseFolder(dir).blocks("output") {
				if len(o.Labels) == 1 {
					nested(o.Labels[0], cty.DynamicPseudoType, literal(o.Body.Attributes["description"]))
				}
			}
		}
		return reference.Targets{t}
	case "model", "select", "search":
		t.Addr = address(root, name)
		describe(lang.ModelType, lang.ModelAttrs)
		return reference.Targets{t}
	case "adapter":
		t.Addr = address(root, name)
		describe(lang.AdapterType, lang.AdapterAttrs)
		return reference.Targets{t}
	case "data":
		t.Addr = address(root, name)
		describe(lang.DataType, lang.DataAttrs)
		return reference.Targets{t}
	}
	v := lang.LookupVerb(root)
	if v == nil || v.Yields == lang.YieldsNothing {
		return nil
	}
	t.Addr = address(root, name)
	switch v.Yields {
	case lang.YieldsModel:
		describe(lang.ModelType, lang.ModelAttrs)
	case lang.YieldsAllocation:
		describe(lang.AllocationType, lang.AllocationAttrs)
	default:
		t.Type = cty.EmptyObject
		for _, m := range c.Metrics[root+"."+name] {
			nested(m.Name, cty.Number, m.Doc)
		}
	}
	all := reference.Target{Addr: address("all", root, name), RangePtr: t.RangePtr, DefRangePtr: t.DefRangePtr, Type: cty.List(cty.DynamicPseudoType),
		Description: hlang.Markdown("The results at all points.")}
	return reference.Targets{t, all}
}

func (s *Server) completion(ctx context.Context, p positionParams) (completionList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := completionList{Items: []completionItem{}}
	at, ok := s.at(p)
	if !ok || !lang.IsPipelineFile(at.path) {
		return list, nil
	}
	d, err := s.decoder(at.folder)
	if err != nil {
		return list, err
	}
	var found hlang.Candidates
	err = guard(func() (err error) {
		found, err = d.CompletionAtPos(ctx, at.path, pos(at.text, at.offset))
		return err
	})
	if err != nil {
		// A place where nothing can stand is no mistake of the client's.
		s.opt.Logf("completion: %v", err)
		return list, nil
	}
	list.IsIncomplete = !found.IsComplete
	for _, c := range found.List {
		item := completionItem{Label: c.Label, Kind: itemKinds[c.Kind], Detail: c.Detail, Deprecated: c.IsDeprecated, InsertTextFormat: formatPlain,
			TextEdit: &textEdit{s.enc.lspRange(at.text, c.TextEdit.Range), c.TextEdit.NewText}}
		if s.snippets && c.TextEdit.Snippet != "" && c.TextEdit.Snippet != c.TextEdit.NewText {
			item.InsertTextFormat, item.TextEdit.NewText = formatSnippet, c.TextEdit.Snippet
		}
		if c.Description.Value != "" {
			item.Documentation = &markupContent{"markdown", c.Description.Value}
		}
		if c.TriggerSuggest {
			item.Command = &command{"Suggest", "editor.action.triggerSuggest"}
		}
		list.Items = append(list.Items, item)
	}
	return list, nil
}

var itemKinds = map[hlang.CandidateKind]int{
	hlang.AttributeCandidateKind: itemProperty, hlang.BlockCandidateKind: itemClass, hlang.LabelCandidateKind: itemField,
	hlang.BoolCandidateKind: itemEnum, hlang.KeywordCandidateKind: itemKeyword, hlang.ListCandidateKind: itemValue,
	hlang.MapCandidateKind: itemValue, hlang.NumberCandidateKind: itemValue, hlang.ObjectCandidateKind: itemValue, hlang.SetCandidateKind: itemValue,
	hlang.StringCandidateKind: itemValue, hlang.TupleCandidateKind: itemValue, hlang.ReferenceCandidateKind: itemVariable,
	hlang.FunctionCandidateKind: itemFunction,
}

// hover describes what a name stands for, and else what hcl-lang knows of the
// place.
func (s *Server) hover(ctx context.Context, p positionParams) (*hover, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.at(p)
	if !ok {
		return nil, nil
	}
	if n := nameAt(at.names, at.path, at.offset); n != nil {
		if text := s.nameText(at.folder, n.addr); text != "" {
			r := s.enc.lspRange(at.text, n.at)
			return &hover{markupContent{"markdown", text}, &r}, nil
		}
	}
	if !lang.IsPipelineFile(at.path) {
		return nil, nil
	}
	d, err := s.decoder(at.folder)
	if err != nil {
		return nil, err
	}
	var h *hlang.HoverData
	err = guard(func() (err error) {
		h, err = d.HoverAtPos(ctx, at.path, pos(at.text, at.offset))
		return err
	})
	if err != nil || h == nil {
		if err != nil {
			s.opt.Logf("hover: %v", err)
		}
		return nil, nil
	}
	r := s.enc.lspRange(at.text, h.Range)
	return &hover{markupContent{"markdown", h.Content.Value}, &r}, nil
}

// guard turns a panic of hcl-lang, which a half-written text may bring about,
// into an error: the editor is to keep its server.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("hcl-lang: %v", r)
		}
	}()
	return f()
}

// nameText describes a named thing: the head of its block, what the block is,
// and what is known of its value.
func (s *Server) nameText(f *folder, addr string) string {
	in, d := s.declaration(f, addr)
	if d == nil {
		return ""
	}
	head := string(in.files[d.whole.Filename].Bytes[d.whole.Start.Byte:d.whole.End.Byte])
	text := "```hcl\n" + head + "\n```"
	for _, b := range allBlocks(in) {
		if b.DefRange() != d.whole {
			continue
		}
		for _, form := range s.forms {
			if form.Type != b.Type {
				continue
			}
			doc := sentence(form.Doc)
			for _, m := range form.Methods {
				if len(b.Labels) == 2 && m.Name == b.Labels[0] {
					doc = strings.TrimSpace(m.Summary + "\n\n" + methodText(m))
				}
			}
			text += "\n\n" + doc
		}
		if own := sentence(literal(b.Body.Attributes["description"])); own != "" {
			text += "\n\n" + own
		}
	}
	if st := s.state[f.dir]; st != nil && st.checked.Facts[addr] != "" {
		text += "\n\n" + st.checked.Facts[addr]
	}
	return text
}

// allBlocks are the blocks at the top of a folder's files.
func allBlocks(f *folder) []*hclsyntax.Block {
	var list []*hclsyntax.Block
	for _, path := range sorted(f.files) {
		if body, ok := f.files[path].Body.(*hclsyntax.Body); ok {
			list = append(list, body.Blocks...)
		}
	}
	return list
}
