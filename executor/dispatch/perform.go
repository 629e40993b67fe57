package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/reapi/layout"
)

// Perform carries out the order in dir with all threads of the process, and
// returns the exit status. What went wrong is written to stderr; where a kernel
// failed by itself, the last line is for the client to read.
func Perform(ctx context.Context, dir string, stderr io.Writer) int {
	err := perform(ctx, dir)
	var f *kernelFailure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &f):
		text, jerr := json.Marshal(f.failure)
		if jerr != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		fmt.Fprintf(stderr, "%s\n", text)
		return exitKernel
	}
	fmt.Fprintf(stderr, "Error: %v\n", err)
	return 1
}

// kernelFailure is a failure of the action itself.
type kernelFailure struct{ failure }

func (e *kernelFailure) Error() string { return e.failure.Error }

func perform(ctx context.Context, dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, orderFile))
	if err != nil {
		return fmt.Errorf("no order: %w", err)
	}
	var o order
	if err := json.Unmarshal(raw, &o); err != nil {
		return fmt.Errorf("the order does not parse: %w", err)
	}
	if o.Version != orderVersion || o.Numerics != linalg.NumericsVersion {
		return fmt.Errorf("the order is of version %d with numerics %q; this program has %d and %q", o.Version, o.Numerics, orderVersion, linalg.NumericsVersion)
	}
	p := &performer{dir: dir, pool: linalg.NewPool(0), inputs: map[string]*artifact.Value{}}
	defer p.pool.Close()
	defer p.files.Release()
	r := report{Version: orderVersion}
	for i, m := range o.Members {
		done, err := p.member(ctx, i, m)
		if err != nil {
			return err
		}
		r.Members = append(r.Members, done)
	}
	raw, err = json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, reportFile), raw, 0o666)
}

// performer is one order being carried out. Leaves go to disk as kernels put
// them, and later members read them from there.
type performer struct {
	dir    string
	pool   *linalg.Pool
	files  layout.Files
	inputs map[string]*artifact.Value                 // by folder
	made   []map[string]*artifact.Value               // by member, then output
	where  map[artifact.Digest]func() ([]byte, error) // leaves of outputs
}

func (p *performer) member(ctx context.Context, i int, m member) (made, error) {
	k := action.LookupKernel(m.Kernel)
	if k == nil || k.Impl != m.Impl {
		return made{}, fmt.Errorf("this program has no kernel %s of version %d", m.Kernel, m.Impl)
	}
	c := &action.Context{Context: ctx, Params: m.Params, Pool: p.pool, In: map[string]*artifact.Value{}, Out: map[string]*artifact.Builder{}}
	for _, in := range m.Inputs {
		v, err := p.input(i, in)
		if err != nil {
			return made{}, fmt.Errorf("input %s: %w", in.Name, err)
		}
		c.In[in.Name] = v
	}
	var werr error
	for _, name := range m.Outputs {
		at := filepath.Join(p.dir, outDir, strconv.Itoa(i), name)
		if err := os.MkdirAll(at, 0o777); err != nil {
			return made{}, err
		}
		c.Out[name] = artifact.NewSinkBuilder(func(e artifact.Entry, data []byte) {
			werr = errors.Join(werr, p.put(at, e, data))
		})
	}
	start := time.Now()
	err := action.Call(k, c)
	out := made{Outputs: map[string]*artifact.Tree{}, Seconds: time.Since(start).Seconds()}
	if werr != nil {
		return made{}, werr
	}
	if err != nil {
		f := failure{Member: i, Error: err.Error()}
		var panicked *action.PanicError
		if errors.As(err, &panicked) {
			f.Stack = panicked.Stack
		}
		return made{}, &kernelFailure{f}
	}
	values := map[string]*artifact.Value{}
	for _, name := range m.Outputs {
		tree, _ := c.Out[name].Finish()
		out.Outputs[name] = tree
		values[name] = &artifact.Value{Tree: tree, Load: p.load}
	}
	p.made = append(p.made, values)
	return out, nil
}

func (p *performer) input(i int, in source) (*artifact.Value, error) {
	if in.Folder == "" {
		if in.Member < 0 || in.Member >= i || p.made[in.Member][in.Output] == nil {
			return nil, fmt.Errorf("member %d has made no output %q", in.Member, in.Output)
		}
		return p.made[in.Member][in.Output], nil
	}
	if v := p.inputs[in.Folder]; v != nil {
		return v, nil
	}
	if !filepath.IsLocal(in.Folder) {
		return nil, fmt.Errorf("folder %q", in.Folder)
	}
	v, err := p.files.Read(filepath.Join(p.dir, inDir, in.Folder))
	if err != nil {
		return nil, err
	}
	p.inputs[in.Folder] = v
	for _, e := range v.Tree.Entries {
		p.know(e.Digest, func() ([]byte, error) { return v.Load(e) })
	}
	return v, nil
}

func (p *performer) know(d artifact.Digest, load func() ([]byte, error)) {
	if p.where == nil {
		p.where = map[artifact.Digest]func() ([]byte, error){}
	}
	if p.where[d] == nil {
		p.where[d] = load
	}
}

// put writes a new leaf.
func (p *performer) put(dir string, e artifact.Entry, data []byte) error {
	path, err := layout.Write(dir, e, data)
	if err == nil {
		p.know(e.Digest, func() ([]byte, error) { return p.files.Load(path, e) })
	}
	return err
}

// load reads a leaf of an output: one that a member put, or carried over.
func (p *performer) load(e artifact.Entry) ([]byte, error) {
	f := p.where[e.Digest]
	if f == nil {
		return nil, fmt.Errorf("leaf %q has no bytes", e.Name)
	}
	return f()
}
