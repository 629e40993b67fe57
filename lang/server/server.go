package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
	"github.com/creachadair/jrpc2/handler"
	"github.com/hashicorp/hcl/v2"

	"github.com/compressc/compressc/lang"
)

// Checked is what a check found out about a folder.
type Checked struct {
	// Pipeline is nil where nothing could be read.
	Pipeline *lang.Pipeline
	Diags    hcl.Diagnostics
	// Facts are what is known of blocks before they run, by address, for hovers:
	// Markdown.
	Facts map[string]string
	// Metrics are what reports hold, by address: name and note.
	Metrics map[string][]Metric
}

// Metric is a number that a report holds.
type Metric struct{ Name, Doc string }

// Options say how a server works.
type Options struct {
	Registry *lang.Registry
	// Check does what "compressc validate" does with a folder; overlay holds the
	// text of open documents. It is called from one goroutine at a time.
	Check func(dir string, overlay map[string][]byte) Checked
	// Modules is the folder of a module from git that a pipeline in dir calls, ""
	// where it is not on this machine; nil knows none.
	Modules func(dir, source string) string
	// Version is the program's.
	Version string
	// Debounce is how long a folder must be left alone before it is checked.
	Debounce time.Duration
	// Logf takes notes for people who look for a mistake; nil drops them.
	Logf func(format string, args ...any)
}

// document is a file that is open in the editor.
type document struct {
	text    []byte
	version int
}

// Server serves one client.
type Server struct {
	opt   Options
	forms []lang.Form
	rpc   *jrpc2.Server
	enc   encoding
	// snippets is set where the client can insert snippets.
	snippets bool
	stopped  bool

	// mu guards what follows. Requests hold it from begin to end, checks while
	// they take texts and leave results.
	mu   sync.Mutex
	docs map[string]*document
	// state is what the last check of a folder left.
	state map[string]*state
	// checking serialises checks.
	checking sync.Mutex
	timers   sync.WaitGroup
}

// state is a folder's.
type state struct {
	// generation counts changes; a check of an earlier one is dropped.
	generation int
	timer      *time.Timer
	checked    Checked
	// published are the findings by file.
	published map[string][]diagnostic
}

// New returns a server that has not begun.
func New(opt Options) *Server {
	if opt.Logf == nil {
		opt.Logf = func(string, ...any) {}
	}
	return &Server{opt: opt, forms: lang.Forms(opt.Registry), enc: utf16Units, docs: map[string]*document{}, state: map[string]*state{}}
}

// ErrNoShutdown ends Run where the client left without asking for shutdown.
var ErrNoShutdown = errors.New("the client left without shutdown")

// stream is the client's. A read of standard input cannot be called off: it goes
// through a pipe, which can be closed.
type stream struct {
	io.Writer
	in *io.PipeReader
}

func (s stream) Close() error { return s.in.Close() }

// Run serves a client until it says exit or its stream ends. It may leave a
// goroutine that waits for in, which is to be the end of the process.
func (s *Server) Run(in io.Reader, out io.Writer) error {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, in)
		w.CloseWithError(err)
	}()
	s.rpc = jrpc2.NewServer(s.methods(), &jrpc2.ServerOptions{AllowPush: true, Concurrency: 1, DisableBuiltin: true})
	s.rpc.Start(channel.LSP(r, stream{out, r}))
	err := s.rpc.Wait()
	s.mu.Lock()
	for _, st := range s.state {
		if st.timer != nil && st.timer.Stop() {
			s.timers.Done()
		}
	}
	s.mu.Unlock()
	s.timers.Wait()
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("the language server's stream: %w", err)
	}
	if !s.stopped {
		return ErrNoShutdown
	}
	return nil
}

func (s *Server) methods() handler.Map {
	return handler.Map{
		"initialize":                  handler.New(s.initialize),
		"initialized":                 handler.New(func(context.Context) error { return nil }),
		"shutdown":                    handler.New(func(context.Context) (any, error) { s.stopped = true; return nil, nil }),
		"exit":                        handler.New(func(context.Context) error { go s.rpc.Stop(); return nil }),
		"textDocument/didOpen":        handler.New(s.didOpen),
		"textDocument/didChange":      handler.New(s.didChange),
		"textDocument/didClose":       handler.New(s.didClose),
		"textDocument/didSave":        handler.New(s.didSave),
		"textDocument/completion":     handler.New(s.completion),
		"textDocument/hover":          handler.New(s.hover),
		"textDocument/definition":     handler.New(s.definition),
		"textDocument/references":     handler.New(s.references),
		"textDocument/prepareRename":  handler.New(s.prepareRename),
		"textDocument/rename":         handler.New(s.rename),
		"textDocument/formatting":     handler.New(s.formatting),
		"textDocument/documentSymbol": handler.New(s.documentSymbol),
	}
}

func (s *Server) initialize(_ context.Context, p initializeParams) (initializeResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range p.Capabilities.General.PositionEncodings {
		if e == string(utf8Units) {
			s.enc = utf8Units
		}
	}
	s.snippets = p.Capabilities.TextDocument.Completion.CompletionItem.SnippetSupport
	return initializeResult{
		Capabilities: serverCapabilities{
			PositionEncoding:   string(s.enc),
			TextDocumentSync:   syncOptions{OpenClose: true, Change: 2},
			CompletionProvider: completionOptions{TriggerCharacters: []string{".", "\"", "="}},
			HoverProvider:      true, DefinitionProvider: true, ReferencesProvider: true, DocumentSymbolProvider: true, DocumentFormattingProvider: true,
			RenameProvider: renameOptions{PrepareProvider: true},
		},
		ServerInfo: serverInfo{"compressc", s.opt.Version},
	}, nil
}

func (s *Server) didOpen(_ context.Context, p didOpenParams) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := pathOf(p.TextDocument.URI)
	if path == "" {
		return nil
	}
	s.docs[path] = &document{[]byte(p.TextDocument.Text), p.TextDocument.Version}
	s.changed(path, 0)
	return nil
}

func (s *Server) didChange(_ context.Context, p didChangeParams) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := pathOf(p.TextDocument.URI)
	d := s.docs[path]
	if d == nil {
		return fmt.Errorf("%s is not open", p.TextDocument.URI)
	}
	d.version = p.TextDocument.Version
	for _, c := range p.ContentChanges {
		if c.Range == nil {
			d.text = []byte(c.Text)
			continue
		}
		from, to := s.enc.offset(d.text, c.Range.Start), s.enc.offset(d.text, c.Range.End)
		if to < from {
			from, to = to, from
		}
		d.text = append(append(append([]byte{}, d.text[:from]...), c.Text...), d.text[to:]...)
	}
	s.changed(path, s.opt.Debounce)
	return nil
}

func (s *Server) didSave(_ context.Context, p documentParams) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// What the file refers to may have changed with it.
	if path := pathOf(p.TextDocument.URI); path != "" {
		s.changed(path, 0)
	}
	return nil
}

func (s *Server) didClose(_ context.Context, p documentParams) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path := pathOf(p.TextDocument.URI); s.docs[path] != nil {
		delete(s.docs, path)
		s.changed(path, 0)
	}
	return nil
}

// changed has the folder of a file checked once it has been left alone for a
// while.
func (s *Server) changed(path string, wait time.Duration) {
	dir := filepath.Dir(path)
	st := s.state[dir]
	if st == nil {
		st = &state{}
		s.state[dir] = st
	}
	st.generation++
	generation := st.generation
	if st.timer != nil && st.timer.Stop() {
		s.timers.Done()
	}
	s.timers.Add(1)
	st.timer = time.AfterFunc(wait, func() {
		defer s.timers.Done()
		s.check(dir, st, generation)
	})
}
