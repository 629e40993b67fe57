package dispatch

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"

	"github.com/compressc/compressc/cache/remote"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mmap"
	"github.com/compressc/compressc/internal/reapi"
	"github.com/compressc/compressc/internal/reapi/layout"
)

// Property is a platform property. In its value {memory} stands for the bytes
// that the action is expected to take, {memory_mb} for these in units of 2²⁰,
// rounded up.
type Property struct{ Name, Value string }

// Options configure a Dispatcher.
type Options struct {
	// Cache holds the blobs: those that the workers read and write.
	Cache *remote.Cache
	// Client is the server that executes. The caller closes it.
	Client *reapi.Client
	// Program is the executable that travels; "" is the running one. What it was
	// built for, which Go notes in it, is what a worker must be.
	Program string
	// Properties are those that a worker must have. Without any, they are the
	// program's operating system and architecture, by the standard names.
	Properties []Property
	// InFlight bounds the crews under way; 0 means 64. The server queues those
	// that no worker is free for.
	InFlight int
	// Threshold keeps actions here that are expected to take less than that,
	// and the transfer of what they read.
	Threshold time.Duration
	// Say, when not nil, is told what people should know.
	Say func(string)
}

// Dispatcher sends crews to a server. It is safe for concurrent use.
type Dispatcher struct {
	o        Options
	os, arch string // of the program

	mu      sync.Mutex
	said    map[string]bool
	osOnly  bool      // the server knows no architectures
	down    time.Time // until then the server that executes is left alone
	program *program
}

// program is the executable on its way.
type program struct {
	blob reapi.Blob
	file *mmap.File
}

const (
	defaultInFlight = 64
	// transferRate is what is assumed of the way to the server, in bytes a second.
	transferRate = 100e6
)

// New returns a dispatcher. The caller must Close it.
func New(o Options) (*Dispatcher, error) {
	if o.InFlight == 0 {
		o.InFlight = defaultInFlight
	}
	d := &Dispatcher{o: o, os: runtime.GOOS, arch: runtime.GOARCH, said: map[string]bool{}}
	path := o.Program
	if path == "" {
		var err error
		if path, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("the program that workers are to run: %w", err)
		}
	}
	f, err := mmap.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the program that workers are to run: %w", err)
	}
	if info, err := buildinfo.ReadFile(path); err == nil {
		for _, s := range info.Settings {
			switch s.Key {
			case "GOOS":
				d.os = s.Value
			case "GOARCH":
				d.arch = s.Value
			}
		}
	}
	d.program = &program{reapi.Bytes(f.Bytes()), f}
	return d, nil
}

// Close releases the program. No crew may be under way.
func (d *Dispatcher) Close() error { return d.program.file.Close() }

// InFlight is the number of crews that may be under way.
func (d *Dispatcher) InFlight() int { return d.o.InFlight }

// Usable reports whether there is a server that answers.
func (d *Dispatcher) Usable() bool {
	if d == nil || !d.o.Cache.Usable() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().After(d.down)
}

// leaveFor is how long a server that does not answer is left alone.
const leaveFor = 10 * time.Second

// look asks, after a fault, whether the server is still there.
func (d *Dispatcher) look(ctx context.Context) {
	if err := d.o.Client.Connect(ctx); err == nil || ctx.Err() != nil || reapi.IsBusy(err) {
		return
	}
	d.mu.Lock()
	d.down = time.Now().Add(leaveFor)
	d.mu.Unlock()
}

// Worth reports whether an action that is expected to take so many seconds, for
// which so many bytes would have to be sent, is to be sent.
func (d *Dispatcher) Worth(seconds float64, bytes int64) bool {
	return d.o.Threshold <= 0 || seconds > d.o.Threshold.Seconds()+float64(bytes)/transferRate
}

// Member is one action of a crew.
type Member struct {
	Action *action.Action
	Inputs []Input
	// Outputs are the names of those that are wanted.
	Outputs []string
}

// Input is a tree that is known, or an output of an earlier member.
type Input struct {
	Name   string
	Tree   *artifact.Tree // nil: it is made by a member
	Member int
	Output string
}

// Crew is a job for one worker.
type Crew struct {
	Members []Member
	// Open gives the bytes of a leaf that is read; ok is false if they are not at
	// hand. release ends their validity.
	Open func(artifact.Entry) (open func() (data []byte, release func(), err error), ok bool)
	// Memory is what the crew is expected to take, in bytes.
	Memory int64
	// Stage is told how the execution stands.
	Stage func(string)
}

// Made is what a member made.
type Made struct {
	Trees   map[string]*artifact.Tree
	Seconds float64
}

// Done is what a crew made.
type Done struct {
	Members []Made
	// Worker is the name of who did it.
	Worker string
	// Cached says that the server had the result already.
	Cached bool
}

// KernelError says that a member's kernel failed by itself.
type KernelError struct {
	Member  int
	Message string
	Stack   string
	Worker  string
}

func (e *KernelError) Error() string { return e.Message }

// LostError lists leaves that are neither here nor on the server.
type LostError struct{ Digests []artifact.Digest }

func (e *LostError) Error() string {
	return fmt.Sprintf("leaf %s is neither here nor on the server", e.Digests[0].Short())
}

const (
	// tries is how often a crew is sent before it is given back.
	tries = 3
	// firstPause is the wait before it is sent again; it doubles.
	firstPause = 200 * time.Millisecond
)

// Do has a crew done. A *KernelError is the kernel's failure, a *LostError says
// that inputs have to be made again; after any other error but the end of ctx
// the crew had better be done here.
func (d *Dispatcher) Do(ctx context.Context, c *Crew) (*Done, error) {
	pause := firstPause
	for n := 1; ; n++ {
		done, err := d.try(ctx, c, n > 1)
		var kernel *KernelError
		var lost *LostError
		if err == nil || ctx.Err() != nil || errors.As(err, &kernel) || errors.As(err, &lost) {
			return done, err
		}
		if reapi.IsFault(err) {
			d.look(ctx)
		}
		if !d.Usable() || n >= tries {
			return nil, err
		}
		if d.dropArchitecture(err) {
			n--
			continue
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// dropArchitecture reports whether err says that the server does not know the
// property of the architecture, which not all are set up for. From then on it is
// left out.
func (d *Dispatcher) dropArchitecture(err error) bool {
	if len(d.o.Properties) > 0 || !reapi.IsPrecondition(err) || !strings.Contains(err.Error(), "ISA") {
		return false
	}
	d.mu.Lock()
	before := d.osOnly
	d.osOnly = true
	d.mu.Unlock()
	return !before
}

// Once says something unless it has been said.
func (d *Dispatcher) Once(text string) {
	d.mu.Lock()
	said := d.said[text]
	d.said[text] = true
	d.mu.Unlock()
	if !said && d.o.Say != nil {
		d.o.Say(text)
	}
}

// MachineProperties are the standard platform properties of a machine.
func MachineProperties(goos, goarch string) []Property {
	family := map[string]string{"darwin": "macos"}[goos]
	if family == "" {
		family = goos
	}
	props := []Property{{"OSFamily", family}}
	if a := map[string]string{"amd64": "x86-64", "arm64": "arm-a64", "386": "x86-32"}[goarch]; a != "" {
		props = append(props, Property{"ISA", a})
	}
	return props
}

// platform returns the properties that a crew asks for, sorted as the protocol
// wants them.
func (d *Dispatcher) platform(memory int64) *repb.Platform {
	props := d.o.Properties
	if len(props) == 0 {
		props = MachineProperties(d.os, d.arch)
		d.mu.Lock()
		if d.osOnly {
			props = props[:1]
		}
		d.mu.Unlock()
	}
	fill := strings.NewReplacer("{memory}", strconv.FormatInt(memory, 10), "{memory_mb}", strconv.FormatInt((memory+1<<20-1)>>20, 10))
	p := &repb.Platform{}
	for _, x := range props {
		p.Properties = append(p.Properties, &repb.Platform_Property{Name: x.Name, Value: fill.Replace(x.Value)})
	}
	slices.SortFunc(p.Properties, func(a, b *repb.Platform_Property) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Value, b.Value)
	})
	return p
}

// parcel is a crew as the protocol spells it.
type parcel struct {
	action reapi.Digest
	blobs  []reapi.Blob
}

func (d *Dispatcher) pack(c *Crew) (*parcel, error) {
	p := &parcel{}
	add := func(b reapi.Blob) reapi.Digest {
		p.blobs = append(p.blobs, b)
		return b.Digest
	}
	o := order{Version: orderVersion, Numerics: linalg.NumericsVersion}
	in := &repb.Directory{}
	folders := map[artifact.Digest]string{}
	var outputs []string
	for i, m := range c.Members {
		x := member{Kernel: m.Action.Kernel.Name, Impl: m.Action.Kernel.Impl, Params: m.Action.Params, Outputs: m.Outputs}
		for _, input := range m.Inputs {
			s := source{Name: input.Name, Member: input.Member, Output: input.Output}
			if input.Tree != nil {
				td := input.Tree.Digest()
				if folders[td] == "" {
					// Named by their order, so that equal crews have equal digests.
					folders[td] = fmt.Sprintf("%03d", len(folders))
					dir, docs := layout.Directory(input.Tree)
					p.blobs = append(p.blobs, docs...)
					for _, e := range input.Tree.Entries {
						b := reapi.Blob{Digest: layout.Digest(e)}
						if open, ok := c.Open(e); ok {
							b.Open = open
						}
						add(b)
					}
					in.Directories = append(in.Directories, &repb.DirectoryNode{Name: folders[td], Digest: dir.Proto()})
				}
				s = source{Name: input.Name, Folder: folders[td]}
			}
			x.Inputs = append(x.Inputs, s)
		}
		o.Members = append(o.Members, x)
		for _, name := range m.Outputs {
			outputs = append(outputs, outDir+"/"+strconv.Itoa(i)+"/"+name)
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("the order does not encode: %w", err)
	}
	raw, inDigest := reapi.Marshal(in)
	add(reapi.Bytes(raw))
	root := &repb.Directory{
		Files: []*repb.FileNode{
			{Name: programFile, Digest: add(d.program.blob).Proto(), IsExecutable: true},
			{Name: orderFile, Digest: add(reapi.Bytes(text)).Proto()},
		},
		Directories: []*repb.DirectoryNode{{Name: inDir, Digest: inDigest.Proto()}},
	}
	raw, rootDigest := reapi.Marshal(root)
	add(reapi.Bytes(raw))
	slices.Sort(outputs)
	platform := d.platform(c.Memory)
	cmd := &repb.Command{Arguments: []string{"./" + programFile, Subcommand}, OutputPaths: append(outputs, reportFile)}
	//lint:ignore SA1019 servers before version 2.2 look for the platform here only
	cmd.Platform = platform
	raw, cmdDigest := reapi.Marshal(cmd)
	add(reapi.Bytes(raw))
	raw, p.action = reapi.Marshal(&repb.Action{CommandDigest: cmdDigest.Proto(), InputRootDigest: rootDigest.Proto(), Platform: platform})
	add(reapi.Bytes(raw))
	return p, nil
}

// try sends a crew once. fresh does not believe what the server had been told
// of it.
func (d *Dispatcher) try(ctx context.Context, c *Crew, fresh bool) (*Done, error) {
	p, err := d.pack(c)
	if err != nil {
		return nil, err
	}
	if !fresh {
		// Some schedulers run what is on record again, so that it is looked up first.
		r, err := d.o.Client.Result(ctx, p.action, reportFile)
		if err != nil {
			d.o.Cache.Trouble(err)
			return nil, err
		}
		if r != nil {
			if done, err := d.open(ctx, c, r); err == nil {
				done.Cached = true
				return done, nil
			}
			fresh = true // on record, but of no use: a blob is gone, say
		}
	}
	lost, err := d.o.Cache.Ensure(ctx, p.blobs)
	if err != nil {
		d.o.Cache.Trouble(err)
		return nil, err
	}
	if len(lost) > 0 {
		e := &LostError{}
		for _, l := range lost {
			e.Digests = append(e.Digests, artifact.Digest(l.Hash))
		}
		return nil, e
	}
	answer, err := d.o.Client.Execute(ctx, p.action, fresh, c.Stage)
	if err != nil {
		if reapi.IsPrecondition(err) {
			// Blobs may be gone that were seen there: next time all are asked about.
			for _, b := range p.blobs {
				d.o.Cache.Forget(b.Digest)
			}
		}
		return nil, err
	}
	r := answer.Result
	if r.ExitCode != 0 {
		return nil, d.failed(ctx, r)
	}
	done, err := d.open(ctx, c, r)
	if err != nil {
		return nil, err
	}
	done.Cached = answer.CachedResult
	return done, nil
}

// failed tells a kernel's failure from a worker's.
func (d *Dispatcher) failed(ctx context.Context, r *repb.ActionResult) error {
	worker := r.GetExecutionMetadata().GetWorker()
	text := r.StderrRaw
	if len(text) == 0 && r.StderrDigest.GetSizeBytes() > 0 {
		if e, err := reapi.FromProto(r.StderrDigest); err == nil {
			if text, err = d.o.Cache.Client().Read(ctx, e); err != nil {
				text = nil
			}
		}
	}
	text = bytes.TrimSpace(text)
	last := text[bytes.LastIndexByte(text, '\n')+1:]
	if r.ExitCode == exitKernel {
		var f failure
		if err := json.Unmarshal(last, &f); err == nil && f.Error != "" {
			return &KernelError{Member: f.Member, Message: f.Error, Stack: f.Stack, Worker: worker}
		}
	}
	return fmt.Errorf("worker %s: the program ended with status %d: %.500s", worker, r.ExitCode, last)
}

// maxReport bounds the text of a report.
const maxReport = 64 << 20

// open reads and checks what a worker reported.
func (d *Dispatcher) open(ctx context.Context, c *Crew, r *repb.ActionResult) (*Done, error) {
	var text []byte
	for _, f := range r.OutputFiles {
		if f.Path != reportFile {
			continue
		}
		dg, err := reapi.FromProto(f.Digest)
		if err != nil || dg.Size > maxReport {
			return nil, fmt.Errorf("the report's digest is none: %v", f.Digest)
		}
		if text = f.Contents; reapi.Sum(text) != dg {
			if text, err = d.o.Cache.Client().Read(ctx, dg); err != nil {
				return nil, err
			}
		}
	}
	if text == nil {
		return nil, errors.New("the worker left no report")
	}
	var rep report
	if err := json.Unmarshal(text, &rep); err != nil {
		return nil, fmt.Errorf("the worker's report does not parse: %w", err)
	}
	if rep.Version != orderVersion || len(rep.Members) != len(c.Members) {
		return nil, fmt.Errorf("the worker's report is of version %d on %d actions, expected %d on %d", rep.Version, len(rep.Members), orderVersion, len(c.Members))
	}
	done := &Done{Worker: r.GetExecutionMetadata().GetWorker()}
	var leaves []reapi.Digest
	for i, m := range rep.Members {
		if m.Seconds < 0 || len(m.Outputs) != len(c.Members[i].Outputs) {
			return nil, fmt.Errorf("the worker reports %d outputs, expected %d", len(m.Outputs), len(c.Members[i].Outputs))
		}
		for _, name := range c.Members[i].Outputs {
			t := m.Outputs[name]
			if t == nil {
				return nil, fmt.Errorf("the worker's report has no output %q", name)
			}
			if _, err := artifact.DecodeTree(t.Encode()); err != nil {
				return nil, err
			}
			for _, e := range t.Entries {
				dg, err := reapi.FromProto(layout.Digest(e).Proto())
				if err != nil {
					return nil, err
				}
				if dg.Size > 0 {
					leaves = append(leaves, dg)
				}
			}
		}
		done.Members = append(done.Members, Made{m.Outputs, m.Seconds})
	}
	// What an earlier execution made may be gone by now.
	missing, err := d.o.Cache.Missing(ctx, leaves)
	if err != nil {
		d.o.Cache.Trouble(err)
		return nil, err
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%d leaves of the result are not on the server", len(missing))
	}
	return done, nil
}
