package executor

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/tensor"
)

// toyParams describe an action of the toy kernel, which hashes its inputs and
// writes pseudo-random leaves that depend on nothing else.
type toyParams struct {
	Name string
	Size int `json:",omitempty"`
	// Mod, when not 0, makes the outputs depend on Name's length and on the
	// inputs only modulo Mod: different inputs give equal outputs.
	Mod int `json:",omitempty"`
	// Carry carries the leaves of the first input over.
	Carry bool `json:",omitempty"`
	// Do is an act beyond computing: see toyActs.
	Do string `json:",omitempty"`
}

// toyCalls counts calls by name, toyActs are looked up by toyParams.Do when a
// kernel has read its inputs.
var (
	toyMu    sync.Mutex
	toyCalls map[string]int
	toyActs  map[string]func(c *action.Context) error
)

var toyKernel = action.NewKernel("toy", 1, runToy)

func runToy(c *action.Context, p toyParams) error {
	toyMu.Lock()
	toyCalls[p.Name]++
	act := toyActs[p.Do]
	toyMu.Unlock()
	if p.Do != "" && act == nil {
		return fmt.Errorf("no act %q", p.Do)
	}
	h := sha256.New()
	for _, name := range sortedNames(c.In) {
		v := c.In[name]
		for _, e := range v.Tree.Entries {
			b, err := v.Bytes(e.Name)
			if err != nil {
				return err
			}
			if artifact.Sum(b) != e.Digest {
				return fmt.Errorf("leaf %s of %s has other bytes than its digest says", e.Name, name)
			}
			h.Write([]byte(e.Digest))
		}
	}
	if act != nil {
		if err := act(c); err != nil {
			return err
		}
	}
	seed := toySeed(p, h.Sum(nil))
	if p.Carry {
		for _, e := range c.In["0"].Tree.Entries {
			for _, b := range c.Out {
				b.PutEntry(e)
			}
		}
	}
	for _, name := range sortedNames(c.Out) {
		out := toyBytes(seed, name, p.Size, c)
		c.Out[name].PutBytes("leaf."+p.Name, tensor.Meta{DType: tensor.U8, Shape: []int{len(out)}}, out)
	}
	return nil
}

func toySeed(p toyParams, inputs []byte) [32]byte {
	if p.Mod > 0 {
		n := binary.LittleEndian.Uint64(inputs) % uint64(p.Mod)
		return sha256.Sum256(fmt.Appendf(nil, "mod %d", n))
	}
	return sha256.Sum256(append([]byte(p.Name+"\x00"), inputs...))
}

// toyBytes makes the bytes on the pool if there is one: block by block, so
// that they do not depend on the threads.
func toyBytes(seed [32]byte, name string, size int, c *action.Context) []byte {
	const block = 4096
	out := make([]byte, size)
	f := func(_, i int) {
		s := sha256.Sum256(fmt.Appendf(seed[:len(seed):len(seed)], "%s %d", name, i))
		r := rand.NewChaCha8(s)
		r.Read(out[i*block : min(size, (i+1)*block)])
	}
	blocks := (size + block - 1) / block
	if c == nil {
		for i := range blocks {
			f(0, i)
		}
		return out
	}
	c.Pool.For(blocks, f)
	return out
}

func sortedNames[V any](m map[string]V) []string {
	var names []string
	for n := range m {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// toyResult is what the serial interpreter says an action gives.
func toyResult(a *action.Action, in map[string]*artifact.Tree) map[string]*artifact.Tree {
	var p toyParams
	mustUnmarshal(a.Params, &p)
	h := sha256.New()
	for _, name := range sortedNames(in) {
		for _, e := range in[name].Entries {
			h.Write([]byte(e.Digest))
		}
	}
	seed := toySeed(p, h.Sum(nil))
	out := map[string]*artifact.Tree{}
	for _, o := range a.Outputs {
		b := artifact.NewBuilder()
		if p.Carry {
			for _, e := range in["0"].Entries {
				b.PutEntry(e)
			}
		}
		data := toyBytes(seed, o.Name, p.Size, nil)
		b.PutBytes("leaf."+p.Name, tensor.Meta{DType: tensor.U8, Shape: []int{len(data)}}, data)
		out[o.Name], _ = b.Finish()
	}
	return out
}

// interpret computes every output of g, one action after the other.
func interpret(g *action.Graph) map[action.Ref]artifact.Digest {
	trees := map[action.Ref]*artifact.Tree{}
	for _, a := range g.Actions {
		if a.Leaf != nil {
			trees[action.Ref{Action: a, Output: "out"}] = a.Leaf["out"]
			continue
		}
		in := map[string]*artifact.Tree{}
		for _, i := range a.Inputs {
			in[i.Name] = trees[i.Ref]
		}
		if a.Kernel.Structural {
			out, err := action.Arrange(a, in)
			if err != nil {
				panic(err)
			}
			for name, t := range out {
				trees[action.Ref{Action: a, Output: name}] = t
			}
			continue
		}
		for name, t := range toyResult(a, in) {
			trees[action.Ref{Action: a, Output: name}] = t
		}
	}
	digests := map[action.Ref]artifact.Digest{}
	for r, t := range trees {
		digests[r] = t.Digest()
	}
	return digests
}

// world is a graph under construction with a store.
type world struct {
	t     testing.TB
	g     *action.Graph
	dir   string
	opts  cache.Options
	store *cache.Store
}

func newWorld(t testing.TB) *world { return newWorldOn(t, t.TempDir()) }

// memoryDir returns a new folder where syncing costs nothing, if there is one.
func memoryDir(t testing.TB) string {
	d, err := os.MkdirTemp("/dev/shm", "executor-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	return d
}

func newWorldOn(t testing.TB, dir string) *world {
	w := &world{t: t, g: action.NewGraph(), dir: dir}
	resetToys()
	w.open()
	t.Cleanup(w.close)
	return w
}

func resetToys() {
	toyMu.Lock()
	toyCalls, toyActs = map[string]int{}, map[string]func(*action.Context) error{}
	toyMu.Unlock()
}

func (w *world) open() {
	w.t.Helper()
	s, err := cache.Open(w.dir, w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = s
}

func (w *world) close() {
	if w.store == nil {
		return
	}
	if err := w.store.Close(); err != nil {
		w.t.Errorf("closing the store: %v", err)
	}
	w.store = nil
}

// reopen stands for a new process: nothing is remembered but what is on disk.
func (w *world) reopen() { w.close(); w.open() }

// rebuild gives the world a new, empty graph.
func (w *world) rebuild() { w.g = action.NewGraph() }

// source adds a source whose one leaf is in the store.
func (w *world) source(text string) action.Ref {
	w.t.Helper()
	b := artifact.NewBuilder()
	b.PutBytes("text", tensor.Meta{DType: tensor.U8, Shape: []int{len(text)}}, []byte(text))
	tree, _ := b.Finish()
	if _, err := w.store.Put([]byte(text)); err != nil {
		w.t.Fatal(err)
	}
	return w.g.AddLeaf("source", tree)
}

const (
	durable    = action.Durable
	transient  = action.Transient
	checkpoint = action.Checkpoint
)

// toy adds an action with one output "out".
func (w *world) toy(p toyParams, class action.Class, ins ...action.Ref) action.Ref {
	return w.toyIn("node", p, class, ins...)
}

func (w *world) toyIn(node string, p toyParams, class action.Class, ins ...action.Ref) action.Ref {
	if p.Size == 0 {
		p.Size = 100
	}
	s := action.Spec{Kernel: toyKernel, Params: p, Node: node, Label: p.Name, Flops: float64(p.Size),
		Outputs: []action.Output{{Name: "out", Class: class, Bytes: int64(p.Size)}}}
	for i, in := range ins {
		s.Inputs = append(s.Inputs, action.Input{Name: fmt.Sprint(i), Ref: in})
	}
	return action.Ref{Action: w.g.Add(s), Output: "out"}
}

// act registers what toyParams.Do means.
func act(name string, f func(c *action.Context) error) {
	toyMu.Lock()
	toyActs[name] = f
	toyMu.Unlock()
}

// executor returns one that is closed with the test.
func (w *world) executor(change ...func(*Options)) *Executor {
	w.t.Helper()
	o := Options{Store: w.store, Threads: 2, Memory: 1 << 30, Logf: w.t.Logf}
	for _, f := range change {
		f(&o)
	}
	e, err := New(w.g, o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(e.Close)
	return e
}

// run brings targets about with a new executor.
func (w *world) run(targets ...action.Ref) (*Executor, *Result) {
	w.t.Helper()
	e := w.executor()
	res, err := e.Run(w.t.Context(), targets)
	if err != nil {
		w.t.Fatal(err)
	}
	w.check(e, targets...)
	return e, res
}

// check compares targets with the serial interpreter.
func (w *world) check(e *Executor, targets ...action.Ref) {
	w.t.Helper()
	want := interpret(w.g)
	for _, r := range targets {
		out := e.Outcome(r.Action)
		if got := out.Digests[r.Output]; got != want[r] {
			w.t.Errorf("%s: digest %s, the interpreter says %s (%v)", describe(r.Action), got.Short(), want[r].Short(), out)
		}
	}
}

// calls asserts which kernels were called since the last time, and how often:
// "a b=2".
func (w *world) calls(want string) {
	w.t.Helper()
	toyMu.Lock()
	got := toyCalls
	toyCalls = map[string]int{}
	toyMu.Unlock()
	var parts []string
	for _, n := range sortedNames(got) {
		if got[n] == 1 {
			parts = append(parts, n)
		} else {
			parts = append(parts, fmt.Sprintf("%s=%d", n, got[n]))
		}
	}
	if s := strings.Join(parts, " "); s != want {
		w.t.Errorf("kernels called: %q, want %q", s, want)
	}
}

// totalCalls counts calls since the last time.
func totalCalls() int {
	toyMu.Lock()
	defer toyMu.Unlock()
	n := 0
	for _, c := range toyCalls {
		n += c
	}
	toyCalls = map[string]int{}
	return n
}

func (w *world) blobPath(d artifact.Digest) string {
	return filepath.Join(w.dir, "blobs", string(d[:2]), string(d))
}

// leafDigest returns the digest of the one new leaf of a toy's output.
func (w *world) leafDigest(e *Executor, r action.Ref) artifact.Digest {
	w.t.Helper()
	o := e.nodes[r.Action].output(r.Output)
	tree, err := o.tree()
	if err != nil {
		w.t.Fatal(err)
	}
	var p toyParams
	mustUnmarshal(r.Action.Params, &p)
	entry, ok := tree.Lookup("leaf." + p.Name)
	if !ok {
		w.t.Fatalf("no leaf of %s", p.Name)
	}
	return entry.Digest
}

// flip damages one bit in the middle of a file.
func flip(t testing.TB, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 4
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o444); err != nil {
		t.Fatal(err)
	}
}

func mustUnmarshal(b []byte, v any) {
	if err := unmarshal(b, v); err != nil {
		panic(err)
	}
}
