package executor

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/cache/remote"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/reapi"
	"github.com/compressc/compressc/internal/reapi/reapitest"
)

// machine is a store of its own with a way to a server.
type machine struct {
	*world
	remote *remote.Cache
	mu     sync.Mutex
	said   []string
}

func (m *machine) words() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.said, "\n")
}

func newMachine(t *testing.T, address string, mode remote.Mode, patience time.Duration) *machine {
	t.Helper()
	m := &machine{world: newWorldOn(t, memoryDir(t))}
	client, err := reapi.Dial(reapi.Options{Address: address, Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	m.remote, err = remote.Open(t.Context(), remote.Options{Client: client, Store: m.store, Results: mode, Say: func(s string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.said = append(m.said, s)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.remote.Close(); client.Close() })
	return m
}

// waiting is long enough for any machine; unreachable servers need less.
const waiting = 30 * time.Second

// pipeline is a graph with all classes of outputs, small and large leaves, and
// leaves that are carried over.
func (m *machine) pipeline() []action.Ref {
	src := m.source("the text")
	h := m.toy(toyParams{Name: "hidden", Size: 5 << 20}, transient, src)
	a := m.toy(toyParams{Name: "a", Size: 3000}, durable, src, h)
	b := m.toy(toyParams{Name: "b", Size: 6 << 20, Carry: true}, durable, a, h)
	c := m.toy(toyParams{Name: "c"}, checkpoint, b)
	return []action.Ref{m.toy(toyParams{Name: "end", Carry: true}, durable, b, c), a}
}

func (m *machine) runPipeline() (*Executor, *Result) {
	m.t.Helper()
	targets := m.pipeline()
	e := m.executor(func(o *Options) { o.Remote = m.remote })
	res, err := e.Run(m.t.Context(), targets)
	if err != nil {
		m.t.Fatalf("%v\n%s", err, m.words())
	}
	m.check(e, targets...)
	m.remote.Flush(m.t.Context())
	return e, res
}

// bytes reads everything of the targets.
func (m *machine) bytes(e *Executor) {
	m.t.Helper()
	for _, r := range m.pipeline() {
		v, release, err := e.Value(m.t.Context(), r)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, l := range v.Tree.Entries {
			b, err := v.Bytes(l.Name)
			if err != nil || artifact.Sum(b) != l.Digest {
				m.t.Errorf("%s: %v", l.Name, err)
			}
		}
		release()
	}
}

const everything = "a b c end hidden"

func TestRemoteCache(t *testing.T) {
	for _, f := range []reapitest.Faults{{}, {Zstd: true, Instance: "models", MaxBatch: 1 << 20}} {
		t.Run(fmt.Sprintf("zstd %v", f.Zstd), func(t *testing.T) {
			s := reapitest.New(t, f)
			a := newMachine(t, s.Address, remote.Use, waiting)
			a.runPipeline()
			a.calls(everything)
			if got := a.remote.Stats(); got.Sent != 5 || got.Hits != 0 || got.Misses != 5 {
				t.Errorf("%+v", got)
			}

			b := newMachine(t, s.Address, remote.Use, waiting)
			e, res := b.runPipeline()
			b.calls("")
			if res.Cached != 5 {
				t.Errorf("%+v", res)
			}
			if got := b.remote.Stats(); got.Fetched != 0 || got.Sent != 0 {
				t.Errorf("digests alone were wanted: %+v", got)
			}
			b.bytes(e)
			b.calls("")
			if got := b.remote.Stats(); got.Fetched < 6<<20 || got.Fetched > 7<<20 {
				t.Errorf("%+v", got)
			}
			// A second process on the same machine.
			b.reopen()
			b.rebuild()
			c := &machine{world: b.world, remote: b.remote}
			if _, res := c.runPipeline(); res.Cached != 5 {
				t.Errorf("%+v", res)
			}
			c.calls("")
			if a.words()+b.words() != "" {
				t.Errorf("said: %s%s", a.words(), b.words())
			}
		})
	}
}

// What is on record from the remote is worked on here like anything else.
func TestRemoteBytesAreRead(t *testing.T) {
	s := reapitest.New(t, reapitest.Faults{})
	newMachine(t, s.Address, remote.Use, waiting).runPipeline()
	b := newMachine(t, s.Address, remote.Use, waiting)
	targets := append(b.pipeline(), b.toy(toyParams{Name: "more"}, durable, b.pipeline()[0]))
	e := b.executor(func(o *Options) { o.Remote = b.remote })
	if _, err := e.Run(t.Context(), targets); err != nil {
		t.Fatal(err)
	}
	b.check(e, targets...)
	b.calls("more")
}

// Blobs that are gone by the time they are read are made again.
func TestRemoteForgetsBlobs(t *testing.T) {
	s := reapitest.New(t, reapitest.Faults{})
	newMachine(t, s.Address, remote.Use, waiting).runPipeline()
	b := newMachine(t, s.Address, remote.Use, waiting)
	e, _ := b.runPipeline()
	if s.Remove(func(_ reapi.Digest, data []byte) bool { return len(data) == 6<<20 }) != 1 {
		t.Fatal("no blob to remove")
	}
	totalCalls()
	b.bytes(e)
	b.calls("b hidden") // what it reads is fetched
	// An entry whose blobs are gone before it is looked up is none, unless they
	// have been made again by then.
	c := newMachine(t, s.Address, remote.Use, waiting)
	_, res := c.runPipeline()
	if res.Ran != 1 && res.Ran != 2 {
		t.Errorf("%+v", res)
	}
}

func TestLyingRemote(t *testing.T) {
	for _, least := range []int64{1, 2000, 4 << 20} {
		s := reapitest.New(t, reapitest.Faults{})
		newMachine(t, s.Address, remote.Use, waiting).runPipeline()
		totalCalls()
		s.Set(func(f *reapitest.Faults) { f.Lie = least })
		b := newMachine(t, s.Address, remote.Use, waiting)
		e, _ := b.runPipeline()
		b.bytes(e)
		if least == 1 {
			b.calls(everything) // not even the entries can be read
		}
		if n := strings.Count(b.words(), "\n"); n != 0 || !strings.Contains(b.words(), "the server sent bytes of digest") {
			t.Errorf("said: %s", b.words())
		}
	}
}

// lie replaces the tree of every entry's first output by one with another leaf
// name, and puts all digests right.
func lie(t *testing.T, s *reapitest.Server) {
	edits := map[reapi.Digest][]byte{}
	s.EditResults(func(d reapi.Digest, r *repb.ActionResult) *repb.ActionResult {
		edits[d] = nil
		return r
	})
	blobs := map[string][]byte{}
	for _, d := range s.Blobs() {
		blobs[d.Hash] = s.Blob(d)
	}
	s.EditResults(func(_ reapi.Digest, r *repb.ActionResult) *repb.ActionResult {
		e := &cache.Entry{}
		if err := json.Unmarshal(blobs[r.OutputFiles[0].Digest.Hash], e); err != nil {
			t.Fatal(err)
		}
		tree, err := artifact.DecodeTree(e.Outputs[0].Tree)
		if err != nil {
			t.Fatal(err)
		}
		tree.Entries[len(tree.Entries)-1].Name += ".other"
		e.Outputs[0].Tree = tree.Encode()
		e.Outputs[0].Digest = cache.Sum(e.Outputs[0].Tree)
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		r.OutputFiles[0].Contents = text
		r.OutputFiles[0].Digest = reapi.Sum(text).Proto()
		return r
	})
}

func TestVerifiedRemote(t *testing.T) {
	s := reapitest.New(t, reapitest.Faults{})
	newMachine(t, s.Address, remote.Use, waiting).runPipeline()
	totalCalls()
	b := newMachine(t, s.Address, remote.Verify, waiting)
	b.runPipeline()
	b.calls(everything)
	lie(t, s)
	c := newMachine(t, s.Address, remote.Verify, waiting)
	_, err := c.executor(func(o *Options) { o.Remote = c.remote }).Run(t.Context(), c.pipeline())
	var differ *RemoteResultError
	if !errors.As(err, &differ) || differ.Kernel != "toy" || !strings.Contains(err.Error(), s.Address) {
		t.Errorf("%v", err)
	}
	totalCalls()
	d := newMachine(t, s.Address, remote.Off, waiting)
	if _, res := d.runPipeline(); res.Ran != 5 {
		t.Errorf("%+v", res)
	}
	if st := d.remote.Stats(); st.Hits+st.Misses != 0 || st.Sent != 5 {
		t.Errorf("%+v", st)
	}
}

// Entries that are no entries are passed over.
func TestMalformedRemoteEntries(t *testing.T) {
	for name, edit := range map[string]func(*repb.ActionResult){
		"no file":    func(r *repb.ActionResult) { r.OutputFiles = nil },
		"not JSON":   func(r *repb.ActionResult) { setEntry(r, []byte("{")) },
		"empty":      func(r *repb.ActionResult) { setEntry(r, []byte("{}")) },
		"huge":       func(r *repb.ActionResult) { r.OutputFiles[0].Digest.SizeBytes = 1 << 40 },
		"no digest":  func(r *repb.ActionResult) { r.OutputFiles[0].Digest = nil },
		"gone":       func(r *repb.ActionResult) { r.OutputFiles[0].Digest = reapi.Sum([]byte("never stored")).Proto() },
		"of another": func(r *repb.ActionResult) { setEntry(r, []byte(`{"action":"`+strings.Repeat("a", 64)+`"}`)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := reapitest.New(t, reapitest.Faults{})
			newMachine(t, s.Address, remote.Use, waiting).runPipeline()
			s.EditResults(func(_ reapi.Digest, r *repb.ActionResult) *repb.ActionResult { edit(r); return r })
			totalCalls()
			b := newMachine(t, s.Address, remote.Use, waiting)
			b.runPipeline()
			b.calls(everything)
		})
	}
}

func setEntry(r *repb.ActionResult, text []byte) {
	r.OutputFiles[0].Contents, r.OutputFiles[0].Digest = text, reapi.Sum(text).Proto()
}

// An unreachable server costs little, fails nothing and is said once.
func TestUnreachableRemote(t *testing.T) {
	for name, when := range map[string]string{"refused": "before", "black hole": "before", "refused later": "later", "black hole later": "later"} {
		t.Run(name, func(t *testing.T) {
			s := reapitest.New(t, reapitest.Faults{})
			vanish := func() {
				if strings.HasPrefix(name, "refused") {
					s.Stop()
				} else {
					s.Set(func(f *reapitest.Faults) { f.BlackHole = true })
				}
			}
			if when == "before" {
				vanish()
			}
			const patience = time.Second
			m := newMachine(t, s.Address, remote.Use, patience)
			if when == "later" {
				vanish()
			}
			start := time.Now()
			m.runPipeline()
			m.calls(everything)
			t.Logf("the run took %v", time.Since(start))
			if m.remote.Usable() || m.remote.Stats().Sent != 0 {
				t.Error("it is used")
			}
			if w := m.words(); strings.Contains(w, "\n") || !strings.Contains(w, "going on without it") || !strings.Contains(w, s.Address) {
				t.Errorf("said: %q", w)
			}
		})
	}
}

// A server that does not take results is said to be one, and still read from.
func TestReadOnlyRemote(t *testing.T) {
	for _, f := range []reapitest.Faults{{NoUpdates: true}, {RefuseUpdates: true}} {
		s := reapitest.New(t, reapitest.Faults{})
		newMachine(t, s.Address, remote.Use, waiting).runPipeline()
		s.Set(func(now *reapitest.Faults) { *now = f })
		totalCalls()
		m := newMachine(t, s.Address, remote.Use, waiting)
		targets := append(m.pipeline(), m.toy(toyParams{Name: "more"}, durable, m.pipeline()[0]))
		e := m.executor(func(o *Options) { o.Remote = m.remote })
		if _, err := e.Run(t.Context(), targets); err != nil {
			t.Fatal(err)
		}
		m.remote.Flush(t.Context())
		m.calls("more")
		if w := m.words(); strings.Contains(w, "\n") || !strings.Contains(w, "takes no results") {
			t.Errorf("%+v: said %q", f, w)
		}
	}
}
