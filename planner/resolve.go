package planner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/corpus"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/origin"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/internal/tokenizer"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/lang/lock"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/text"
)

// Resolver finds sources. Typing reads headers, configurations and file sizes;
// lowering hashes. It is safe for one expansion at a time.
type Resolver struct {
	// Dir is the folder that relative paths start from; what is not there is
	// looked for in Fallback, if that is set.
	Dir, Fallback string
	// Places are where the copies of sources elsewhere lie.
	Places origin.Places
	// Fetch, where set, is asked for the copy of such a source before it is looked
	// for; found says whether there is one already, and addr is the block's. It is set
	// by what may use the network, which is compressc lock alone.
	Fetch func(addr string, s origin.Source, token string, found bool) error
	// Lock is what the sources were when they were locked, nil without a lock
	// file. Strict refuses sources that it has no entry for.
	Lock   *lock.File
	Strict bool

	mu       sync.Mutex
	models   map[*passes.Model]*checkpoint.Checkpoint
	locked   map[*passes.Model]*lock.Model
	texts    map[*passes.Data]textSource
	adapters map[*passes.Adapter]*adapterSource
	opened   map[string]*openedModel
	// tokenizers are the digests of tokenizers, by those of their JSON.
	tokenizers map[artifact.Digest]string
	// commits are those of the sources that were found, by address and revision.
	commits map[[2]string]string
	// refused are the addresses of sources that cannot be read, or are not what
	// their entries say.
	refused []string
	// away are the addresses of the models, texts and adapters that have no copy here.
	away map[any]string
}

type openedModel struct {
	cp  *checkpoint.Checkpoint
	tok string
	err error
}

type textSource struct {
	path   string
	size   int64
	params text.Params
	from   *passes.Model
	locked *lock.Data // nil without an entry
}

// local is where a relative path leads.
func (r *Resolver) local(path string) string {
	here := filepath.Join(r.Dir, path)
	if r.Fallback != "" {
		if _, err := os.Stat(here); err != nil {
			return filepath.Join(r.Fallback, path)
		}
	}
	return here
}

// Model types a model block. Where the source is not on this machine the
// model's type is not known.
func (r *Resolver) Model(addr string, a *lang.ModelArgs) (*passes.Model, diag.List) {
	m := &passes.Model{From: addr}
	var ds diag.List
	unusedToken(a.Source, a.Token, &ds)
	entry := r.Lock.Model(a.Source, a.Revision)
	if entry == nil && r.Strict {
		ds.Errorf("source", "Source is not locked", "%s has no entry for %s. compressc lock writes it; commit the file.", lock.Name, sourceText(a.Source, a.Revision))
		return m, ds
	}
	at := located{Source: origin.Source{Kind: origin.Model, Address: a.Source, Revision: a.Revision}, addr: addr, token: a.Token, locked: entry != nil}
	if entry != nil {
		at.Commit = entry.Commit
	}
	path, found := r.locate(at, &ds)
	if ds.HasErrors() {
		return m, ds
	}
	if !found {
		r.missing(m, a.Source)
		if entry == nil {
			return m, ds
		}
		cp, err := skeleton(entry)
		if err != nil {
			ds.Errorf("source", "Lock entry cannot be read", "%s: %s. compressc lock -upgrade %s writes it again.", lock.Name, err, addr)
			return m, ds
		}
		m.Type = cp.Type(addr)
		m.Type.Tokenizer = entry.Tokenizer
		return m, ds
	}
	o := r.open(path)
	if o.err != nil {
		r.refuse(a.Source)
		ds.Errorf("source", "Model cannot be read", "%s", sentence(o.err, path))
		return m, ds
	}
	if entry != nil {
		if what := changed(entry, o); what != "" {
			r.refuse(a.Source)
			ds.Errorf("source", "Source has changed", "%s is not what %s says: %s. If that is meant, compressc lock -upgrade %s takes it over.", a.Source, lock.Name, what, addr)
			return m, ds
		}
	}
	m.Type = o.cp.Type(addr)
	m.Type.Tokenizer = o.tok
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.models == nil {
		r.models = map[*passes.Model]*checkpoint.Checkpoint{}
	}
	r.models[m] = o.cp
	if entry != nil {
		if r.locked == nil {
			r.locked = map[*passes.Model]*lock.Model{}
		}
		r.locked[m] = entry
	}
	return m, ds
}

func (r *Resolver) open(path string) *openedModel {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.opened[path]; o != nil {
		return o
	}
	o := &openedModel{}
	if o.cp, o.err = checkpoint.Open(path); o.err == nil && o.cp.TokenizerJSON != nil {
		o.tok, o.err = r.tokenizer(o.cp)
	}
	if r.opened == nil {
		r.opened = map[string]*openedModel{}
	}
	r.opened[path] = o
	return o
}

// tokenizer returns the digest of a checkpoint's tokenizer. Models that are to be
// merged have equal ones, and parsing one takes as long as hashing their weights.
func (r *Resolver) tokenizer(cp *checkpoint.Checkpoint) (string, error) {
	text := artifact.Sum(cp.TokenizerJSON)
	if tok, ok := r.tokenizers[text]; ok {
		return tok, nil
	}
	tok, err := cp.Tokenizer()
	if err != nil {
		return "", err
	}
	if r.tokenizers == nil {
		r.tokenizers = map[artifact.Digest]string{}
	}
	r.tokenizers[text] = tok.Digest()
	return r.tokenizers[text], nil
}

// located is a source that is looked for on this machine.
type located struct {
	origin.Source
	// addr is the block's address, token its credential.
	addr, token string
	// locked is set where it has an entry, which says what it is.
	locked bool
}

// locate turns a source into a path on this machine; found is false where the
// source lies elsewhere and no copy is at hand. A locked source is looked for by
// the commit that its revision was.
func (r *Resolver) locate(l located, ds *diag.List) (path string, found bool) {
	if origin.Remote(l.Address) {
		return r.copyOf(l, ds)
	}
	if l.Revision != "" {
		ds.Errorf("revision", "Nothing to take a revision of", "%s is a path on this machine; a revision is that of a source on a hub, such as hf://owner/name. Leave the argument out.", l.Address)
		return "", false
	}
	path = l.Address
	if strings.HasPrefix(path, "~/") {
		if home, err := os.UserHomeDir(); err == nil {
			path = filepath.Join(home, path[2:])
		}
	}
	if !filepath.IsAbs(path) {
		path = r.local(path)
	}
	if _, err := os.Stat(path); l.locked && errors.Is(err, fs.ErrNotExist) {
		return "", false // its entry says what it is
	}
	return path, true
}

// copyOf finds the copy of a source elsewhere, which it has fetched where that is
// allowed.
func (r *Resolver) copyOf(l located, ds *diag.List) (path string, found bool) {
	wrong := l.Check()
	var at origin.Found
	if wrong == nil {
		at, found, wrong = r.Places.Find(l.Source)
	}
	if wrong == nil && r.Fetch != nil {
		if err := r.Fetch(l.addr, l.Source, l.token, found); err != nil {
			ds.Errorf("source", "Source cannot be fetched", "%s", err)
			return "", false
		}
		at, found, wrong = r.Places.Find(l.Source)
	}
	if wrong != nil {
		ds.Errorf(wrong.Argument, wrong.Summary, "%s", wrong.Detail)
		return "", false
	}
	if found {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.commits == nil {
			r.commits = map[[2]string]string{}
		}
		r.commits[[2]string{l.Address, l.Revision}] = at.Commit
	}
	return at.Path, found
}

// refuse notes that a source cannot be read, or is not what its entry says.
func (r *Resolver) refuse(address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, address)
}

// Refused are the addresses of the sources that turned out to be unreadable, or
// not what their entries in the lock file say.
func (r *Resolver) Refused() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.refused)
}

// missing notes that a model, a text or an adapter has no copy here.
func (r *Resolver) missing(what any, address string) {
	if !origin.Remote(address) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away == nil {
		r.away = map[any]string{}
	}
	r.away[what] = address
}

// notHere is the error of whoever needs the files of a source that are not here.
func (r *Resolver) notHere(what any, from, files string) error {
	if address := r.away[what]; address != "" {
		return fmt.Errorf("%s: %s, %s, are not on this machine. compressc lock fetches them", from, files, address)
	}
	return fmt.Errorf("%s: %s are not on this machine", from, files)
}

// Data types a data block.
func (r *Resolver) Data(addr string, a *lang.DataArgs, seed uint64) (*passes.Data, diag.List) {
	d := &passes.Data{From: addr, Type: passes.DataType{Windows: a.Samples, SequenceLength: a.SequenceLength}}
	var ds diag.List
	unusedToken(a.Source, a.Token, &ds)
	if a.Tokenizer == nil {
		d.Type.Tokenizer = tokenizer.ByteLevel().Digest()
	} else if a.Tokenizer.Type != nil {
		d.Type.Tokenizer = a.Tokenizer.Type.Tokenizer
		if d.Type.Tokenizer == "" {
			ds.Errorf("tokenizer", "Model without a tokenizer", "%s has no tokenizer.json beside it and none in its metadata. Put the model's tokenizer.json into its folder.", a.Tokenizer.From)
			return d, ds
		}
	}
	path, info, list := r.locateText(addr, a)
	ds = append(ds, list...)
	if list.HasErrors() {
		return d, ds
	}
	format, entry := dataFormat(a, path), r.Lock.Text(a.Source)
	unusedFields(a, format, &ds)
	if info == nil {
		if r.missing(d, a.Source); entry == nil {
			d.Type.Windows = 0 // not known
			return d, ds
		}
		r.windows(d, a, entry.Bytes, path)
		return d, ds
	}
	p := text.Params{Format: format, SequenceLength: a.SequenceLength, Samples: a.Samples, Offset: a.Offset, Select: a.Select, Seed: seed}
	p.Field = fieldOf(a, format)
	size := info.Size()
	if format == "parquet" {
		var err error
		if size, err = parquetText(path, a.Column); err != nil {
			r.refuse(a.Source)
			ds.Errorf(parquetArg(a), "Text cannot be read", "%s: %s.", a.Source, strings.TrimSuffix(err.Error(), "."))
			return d, ds
		}
	}
	r.windows(d, a, size, path)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.texts == nil {
		r.texts = map[*passes.Data]textSource{}
	}
	r.texts[d] = textSource{path, info.Size(), p, a.Tokenizer, entry}
	return d, ds
}

// Text says whether the source of a data block is there, as its lock file knows it.
func (r *Resolver) Text(addr string, a *lang.DataArgs) diag.List {
	_, _, ds := r.locateText(addr, a)
	return ds
}

// locateText finds the file of a data block. Without one, where the lock file
// says what it was or the source lies elsewhere, info is nil.
func (r *Resolver) locateText(addr string, a *lang.DataArgs) (path string, info fs.FileInfo, ds diag.List) {
	if path = a.Source; !origin.Remote(path) && !filepath.IsAbs(path) {
		path = r.local(path)
	}
	entry := r.Lock.Text(a.Source)
	if entry == nil && r.Strict {
		ds.Errorf("source", "Source is not locked", "%s has no entry for %s. compressc lock writes it; commit the file.", lock.Name, a.Source)
		return path, nil, ds
	}
	if origin.Remote(a.Source) {
		l := located{Source: origin.Source{Kind: origin.Text, Address: a.Source, AnyName: a.Format != ""}, addr: addr, token: a.Token}
		at, found := r.copyOf(l, &ds)
		if !found {
			return r.Places.File(l.Source), nil, ds
		}
		path = at
	}
	info, err := os.Stat(path)
	switch {
	case entry != nil && errors.Is(err, fs.ErrNotExist):
		return path, nil, nil
	case errors.Is(err, fs.ErrNotExist):
		ds.Errorf("source", "No such file", "There is no file %s (relative paths start from the pipeline's folder, %s).%s", a.Source, r.Dir, near(path))
	case err != nil:
		ds.Errorf("source", "File cannot be read", "%s", err)
	case info.IsDir():
		ds.Errorf("source", "Not a file", "%s is a folder; expected a text, jsonl or parquet file.", a.Source)
	case info.Size() == 0:
		r.refuse(a.Source)
		ds.Errorf("source", "Empty file", "%s is empty; a window of tokens needs text.", a.Source)
	case entry != nil && entry.Bytes != info.Size():
		r.refuse(a.Source)
		ds.Errorf("source", "Source has changed", "%s has %d bytes, and had %d when it was locked (%s). If that is meant, compressc lock -upgrade %s takes it over.", a.Source, info.Size(), entry.Bytes, lock.Name, addr)
	}
	return path, info, ds
}

// windows fills in how many windows a text of a size has, and which they are.
func (r *Resolver) windows(d *passes.Data, a *lang.DataArgs, size int64, path string) {
	field := fieldOf(a, dataFormat(a, path))
	if a.Samples == 0 {
		// Not known before the text is tokenised; a token of a model's tokenizer is
		// about four bytes of prose.
		bytes := int64(4)
		if a.Tokenizer == nil {
			bytes = 1
		}
		d.Type.Windows = int(max(1, size/(bytes*int64(a.SequenceLength))-int64(a.Offset)))
	}
	if a.Select == "first" && a.Samples > 0 {
		for w := a.Offset; w < a.Offset+a.Samples; w++ {
			d.Type.WindowDigests = append(d.Type.WindowDigests, fmt.Sprintf("%s %s %d %d", path, field, a.SequenceLength, w))
		}
	}
}

// dataFormat is what a text file holds.
func dataFormat(a *lang.DataArgs, path string) string {
	if a.Format != "" {
		return a.Format
	}
	if ext := strings.ToLower(filepath.Ext(path)); ext == ".jsonl" || ext == ".ndjson" {
		return "jsonl"
	} else if ext == ".parquet" {
		return "parquet"
	}
	return "text"
}

// fieldOf names what holds a document in formats that have several of them, "" in
// others.
func fieldOf(a *lang.DataArgs, format string) string {
	switch format {
	case "jsonl":
		return a.Field
	case "parquet":
		return a.Column
	}
	return ""
}

// unusedFields warns of a field or a column in a format that has none.
func unusedFields(a *lang.DataArgs, format string, ds *diag.List) {
	given := func(v string) bool { return v != "" && v != corpus.DefaultField }
	for _, arg := range []struct{ name, value, format, other string }{{"field", a.Field, "jsonl", "column"}, {"column", a.Column, "parquet", "field"}} {
		if !given(arg.value) || arg.format == format {
			continue
		}
		next := "Remove it"
		switch {
		case given(fieldOf(a, format)):
		case format != "text":
			next = fmt.Sprintf("Expected %s = %q", arg.other, arg.value)
		case a.Format == "":
			next += fmt.Sprintf(", or say format = %q", arg.format)
		}
		ds.Warnf(arg.name, "Argument has no effect", "%s is read as %s; %s is for %s. %s.", a.Source, format, arg.name, arg.format, next)
	}
}

// parquetArg is the argument that is wrong where a column is.
func parquetArg(a *lang.DataArgs) string {
	if a.Column == corpus.DefaultField {
		return "source" // by default
	}
	return "column"
}

// parquetText looks for a column of texts at the end of a file, and returns about
// how many bytes they have.
func parquetText(path, column string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return corpus.ParquetColumn(f, info.Size(), column)
}

// unusedToken warns of a credential that is presented to nobody.
func unusedToken(source, token string, ds *diag.List) {
	switch {
	case token == "":
	case !origin.Remote(source):
		ds.Warnf("token", "Credential is not used", "%s is a path on this machine, so there is nothing to present the token to. Remove it.", source)
	case strings.HasPrefix(source, "oci://"):
		ds.Warnf("token", "Credential is not used", "A registry's credentials are those that docker login has stored. Remove the token.")
	}
}

// sentence is what opening a source failed with, and where there is nothing at
// its path, the name beside it that may be meant.
func sentence(err error, path string) string {
	text := strings.TrimSuffix(err.Error(), ": "+fs.ErrNotExist.Error())
	if _, at := os.Stat(path); errors.Is(at, fs.ErrNotExist) {
		text += "." + near(path)
	}
	return text
}

// near names files in the same folder that are spelled alike.
func near(path string) string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return didyoumean.Hint(filepath.Base(path), names)
}

// LowerModel hashes a model's tensors and adds them to the graph as leaves.
func (r *Resolver) LowerModel(g *action.Graph, store *cache.Store, m *passes.Model) error {
	cp := r.models[m]
	if cp == nil {
		return r.notHere(m, m.From, "the model's files")
	}
	entries, err := r.hash(store, cp.Tensors)
	if err != nil {
		return err
	}
	// Trees are synced side by side, while others are formed.
	var puts errgroup.Group
	puts.SetLimit(8)
	return errors.Join(r.lowerModel(g, store, m, cp, entries, &puts), puts.Wait())
}

// lowerModel adds the leaves of a model whose tensors are hashed; trees are stored
// once puts is done.
func (r *Resolver) lowerModel(g *action.Graph, store *cache.Store, m *passes.Model, cp *checkpoint.Checkpoint, entries map[string]artifact.Entry, puts *errgroup.Group) error {
	tree := func(prefix string, names ...string) *artifact.Tree {
		t := &artifact.Tree{}
		for _, n := range names {
			e, ok := entries[prefix+n]
			if !ok {
				continue
			}
			e.Name = n
			t.Entries = append(t.Entries, e)
		}
		slices.SortFunc(t.Entries, func(a, b artifact.Entry) int { return strings.Compare(a.Name, b.Name) })
		puts.Go(func() error { return putTree(store, t) })
		return t
	}
	add := func(prefix string, names ...string) action.Ref { return g.AddLeaf(m.From, tree(prefix, names...)) }
	var err error
	c := cp.Config
	m.Embed = add("", names(c.EmbedTensors())...)
	m.Final = add("", names(c.FinalTensors())...)
	m.Blocks = make([]action.Ref, c.Layers)
	for b := range m.Blocks {
		names := cp.BlockTensors(b)
		for _, l := range c.Linears() {
			stored, ok := cp.Quantized[c.BlockPrefix(b)+l.Name]
			if !ok {
				continue
			}
			e, err := document(store, stored)
			if err != nil {
				return err
			}
			names = append(names, blockwise.QuantLeaf(l.Name))
			entries[c.BlockPrefix(b)+blockwise.QuantLeaf(l.Name)] = e
		}
		m.Blocks[b] = add(c.BlockPrefix(b), names...)
		if m.Blocks[b], err = assembleFused(g, store, m.From, cp, b, m.Blocks[b], entries); err != nil {
			return err
		}
	}
	if m.Config, err = smallLeaf(g, store, m.From, "config.json", cp.ConfigJSON); err != nil {
		return err
	}
	if cp.TokenizerJSON != nil {
		if m.Tokenizer, err = smallLeaf(g, store, m.From, "tokenizer.json", cp.TokenizerJSON); err != nil {
			return err
		}
	}
	if entry := r.locked[m]; entry != nil {
		if got := SourceDigest(m); string(got) != entry.Digest {
			r.refuse(entry.Source)
			return fmt.Errorf("%s: the weights of %s are not those that were locked: their digest is %s, and was %s (%s). If that is meant, compressc lock -upgrade %s takes them over", m.From, cp.Path, got, entry.Digest, lock.Name, m.From)
		}
	}
	return nil
}

func names(ts []arch.TensorSpec) []string {
	out := make([]string, len(ts))
	for i, t := range ts {
		out[i] = t.Name
	}
	return out
}

// SourceDigest identifies a lowered source: the digest that runs record of it,
// or, of what is made from a source's tensors, one of the tensors it is made
// from.
func SourceDigest(m *passes.Model) artifact.Digest {
	return refsDigest(ModelRefs(m), sourceDigest)
}

func sourceDigest(r action.Ref) (artifact.Digest, bool) {
	if r.Action.Leaf != nil {
		return r.Action.Leaf[r.Output].Digest(), true
	}
	var from []action.Ref
	for _, in := range r.Action.Inputs {
		from = append(from, in.Ref)
	}
	return refsDigest(from, sourceDigest), true
}

// hash returns a leaf for every tensor, the stored one in place of those that are
// made of it, remembered by file state in the store,
// and tells the store where the bytes lie.
func (r *Resolver) hash(store *cache.Store, tensors []checkpoint.Tensor) (map[string]artifact.Entry, error) {
	byPath := map[string][]checkpoint.Tensor{}
	var paths []string
	fused := map[string]bool{}
	for _, t := range tensors {
		if t.Fused != nil {
			if t = t.Fused.Stored; fused[t.Name] {
				continue
			}
			fused[t.Name] = true
		}
		if byPath[t.Path] == nil {
			paths = append(paths, t.Path)
		}
		byPath[t.Path] = append(byPath[t.Path], t)
	}
	out := map[string]artifact.Entry{}
	for _, p := range paths {
		ts := byPath[p]
		ranges := make([]cache.Range, len(ts))
		for i, t := range ts {
			ranges[i] = cache.Range{Offset: t.Offset, Length: t.Length}
		}
		sums, err := store.HashFile(p, ranges)
		if err != nil {
			return nil, fmt.Errorf("hashing %s: %w", p, err)
		}
		if err := store.AddExternals(p, sums, ranges); err != nil {
			return nil, err
		}
		for i, t := range ts {
			out[t.Name] = artifact.Entry{Name: t.Name, Meta: t.Meta, Digest: artifact.Digest(sums[i]), Size: t.Length}
		}
	}
	return out, nil
}

// document stores a value as JSON and returns its leaf.
func document(store *cache.Store, v any) (artifact.Entry, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return artifact.Entry{}, err
	}
	d, err := store.Put(data)
	return artifact.Entry{Digest: artifact.Digest(d), Size: int64(len(data))}, err
}

func putTree(store *cache.Store, t *artifact.Tree) error {
	_, err := store.Put(t.Encode())
	return err
}

// smallLeaf stores a document and adds it to the graph.
func smallLeaf(g *action.Graph, store *cache.Store, node, name string, data []byte) (action.Ref, error) {
	d, err := store.Put(data)
	if err != nil {
		return action.Ref{}, err
	}
	t := &artifact.Tree{Entries: []artifact.Entry{{Name: name, Digest: artifact.Digest(d), Size: int64(len(data))}}}
	return g.AddLeaf(node, t), putTree(store, t)
}

// textDigest hashes a text, and refuses one that is not what its entry says.
func (r *Resolver) textDigest(store *cache.Store, s textSource, from string) (cache.Digest, error) {
	sums, err := store.HashFile(s.path, []cache.Range{{Offset: 0, Length: s.size}})
	if err != nil {
		return "", fmt.Errorf("hashing %s: %w", s.path, err)
	}
	if s.locked != nil && string(sums[0]) != s.locked.Digest {
		r.refuse(s.locked.Source)
		return "", fmt.Errorf("%s: the text of %s is not the one that was locked: its digest is %s, and was %s (%s). If that is meant, compressc lock -upgrade %s takes it over", from, s.path, sums[0], s.locked.Digest, lock.Name, from)
	}
	return sums[0], nil
}

// LowerData hashes the text and adds its tokenising to the graph.
func (r *Resolver) LowerData(g *action.Graph, store *cache.Store, d *passes.Data) error {
	s, ok := r.texts[d]
	if !ok {
		return r.notHere(d, d.From, "the text's bytes")
	}
	sum, err := r.textDigest(store, s, d.From)
	if err != nil {
		return err
	}
	if err := store.AddExternal(sum, cache.External{Path: s.path, Offset: 0, Length: s.size}); err != nil {
		return err
	}
	leaf := &artifact.Tree{Entries: []artifact.Entry{{Name: "text", Meta: tensor.Meta{DType: tensor.U8, Shape: []int{int(s.size)}}, Digest: artifact.Digest(sum), Size: s.size}}}
	if err := putTree(store, leaf); err != nil {
		return err
	}
	var tok action.Ref
	if s.from != nil {
		tok = s.from.Tokenizer
	}
	d.Tokens = text.Lower(g, d.From, g.AddLeaf(d.From, leaf), tok, s.size, s.params)
	return nil
}
