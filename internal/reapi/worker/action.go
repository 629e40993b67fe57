package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/compressc/compressc/internal/mmap"
	"github.com/compressc/compressc/internal/reapi"
)

// Sandbox says how commands are run.
type Sandbox struct {
	Store Store
	// Dir is where folders of commands are made.
	Dir string
	// Name of this worker, in the results' metadata.
	Name string
	// Env is added to every command's environment, "NAME=VALUE".
	Env []string
	// Exec, when not nil, runs a command instead of starting a process; dir is
	// its working folder.
	Exec func(ctx context.Context, dir string, argv, env []string, stdout, stderr *bytes.Buffer) (exit int, err error)
}

// maxOutput bounds what is kept of a command's standard output and error.
const maxOutput = 1 << 20

// Execute runs an action and returns its result, whatever the exit code. The
// error has reapi.ErrNotFound in its chain if an input is not on the server.
func (s *Sandbox) Execute(ctx context.Context, a *repb.Action) (*repb.ActionResult, error) {
	md := &repb.ExecutedActionMetadata{Worker: s.Name, WorkerStartTimestamp: timestamppb.Now(), InputFetchStartTimestamp: timestamppb.Now()}
	cmd := &repb.Command{}
	if err := s.message(ctx, a.CommandDigest, cmd); err != nil {
		return nil, fmt.Errorf("the command: %w", err)
	}
	if len(cmd.Arguments) == 0 {
		return nil, errors.New("the command has no arguments")
	}
	if a.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.Timeout.AsDuration())
		defer cancel()
	}
	root, err := os.MkdirTemp(s.Dir, "action-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	files := map[string]reapi.Digest{}
	if err := s.lay(ctx, a.InputRootDigest, root, files, 0); err != nil {
		return nil, fmt.Errorf("the inputs: %w", err)
	}
	if err := s.Store.Place(ctx, files); err != nil {
		return nil, fmt.Errorf("the inputs: %w", err)
	}
	dir, err := inside(root, cmd.WorkingDirectory)
	if err != nil {
		return nil, err
	}
	outputs := cmd.OutputPaths
	if len(outputs) == 0 {
		//lint:ignore SA1019 clients before version 2.1 say it this way
		outputs = slices.Concat(cmd.OutputFiles, cmd.OutputDirectories)
	}
	for _, o := range outputs {
		p, err := inside(dir, o)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(p), 0o777)
		}
		if err != nil {
			return nil, err
		}
	}
	md.InputFetchCompletedTimestamp, md.ExecutionStartTimestamp = timestamppb.Now(), timestamppb.Now()
	r, err := s.run(ctx, cmd, dir)
	if err != nil {
		return nil, err
	}
	md.ExecutionCompletedTimestamp, md.OutputUploadStartTimestamp = timestamppb.Now(), timestamppb.Now()
	if err := s.collect(ctx, dir, outputs, r); err != nil {
		return nil, fmt.Errorf("the outputs: %w", err)
	}
	md.OutputUploadCompletedTimestamp, md.WorkerCompletedTimestamp = timestamppb.Now(), timestamppb.Now()
	r.ExecutionMetadata = md
	return r, nil
}

func (s *Sandbox) message(ctx context.Context, p *repb.Digest, m proto.Message) error {
	d, err := reapi.FromProto(p)
	if err != nil {
		return err
	}
	data, err := s.Store.Read(ctx, d)
	if err != nil {
		return err
	}
	return proto.Unmarshal(data, m)
}

// maxDepth bounds the nesting of folders.
const maxDepth = 64

// lay makes the folders of a tree and lists its files.
func (s *Sandbox) lay(ctx context.Context, p *repb.Digest, at string, files map[string]reapi.Digest, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("folders are nested more than %d deep", maxDepth)
	}
	dir := &repb.Directory{}
	if err := s.message(ctx, p, dir); err != nil {
		return err
	}
	for _, f := range dir.Files {
		d, err := reapi.FromProto(f.Digest)
		if err == nil {
			err = plain(f.Name)
		}
		if err != nil {
			return err
		}
		files[filepath.Join(at, f.Name)] = d
	}
	for _, l := range dir.Symlinks {
		if err := plain(l.Name); err != nil {
			return err
		}
		if err := os.Symlink(filepath.FromSlash(l.Target), filepath.Join(at, l.Name)); err != nil {
			return err
		}
	}
	for _, sub := range dir.Directories {
		if err := plain(sub.Name); err != nil {
			return err
		}
		to := filepath.Join(at, sub.Name)
		if err := os.Mkdir(to, 0o777); err != nil {
			return err
		}
		if err := s.lay(ctx, sub.Digest, to, files, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// plain refuses names that would lead out of their folder.
func plain(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\\x00") {
		return fmt.Errorf("%q cannot be the name of an input", name)
	}
	return nil
}

// inside joins a path of the protocol to a folder that it must not leave.
func inside(dir, p string) (string, error) {
	if path.IsAbs(p) || p != "" && !filepath.IsLocal(filepath.FromSlash(p)) {
		return "", fmt.Errorf("path %q leads out of the folder", p)
	}
	return filepath.Join(dir, filepath.FromSlash(p)), nil
}

// run starts the command and waits for it.
func (s *Sandbox) run(ctx context.Context, cmd *repb.Command, dir string) (*repb.ActionResult, error) {
	var env []string
	for _, e := range cmd.EnvironmentVariables {
		env = append(env, e.Name+"="+e.Value)
	}
	env = append(env, s.Env...)
	var stdout, stderr bytes.Buffer
	f := s.Exec
	if f == nil {
		f = start
	}
	exit, err := f(ctx, dir, cmd.Arguments, env, &stdout, &stderr)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return &repb.ActionResult{ExitCode: int32(exit), StdoutRaw: tail(&stdout), StderrRaw: tail(&stderr)}, nil
}

func tail(b *bytes.Buffer) []byte {
	if b.Len() > maxOutput {
		b.Next(b.Len() - maxOutput)
	}
	return b.Bytes()
}

// start runs a process in a group of its own, which ends with ctx.
func start(ctx context.Context, dir string, argv, env []string, stdout, stderr *bytes.Buffer) (int, error) {
	name := argv[0]
	if strings.Contains(name, "/") && !path.IsAbs(name) {
		name = filepath.Join(dir, filepath.FromSlash(name))
	}
	c := exec.CommandContext(ctx, name, argv[1:]...)
	c.Args[0] = argv[0]
	c.Dir, c.Env, c.Stdout, c.Stderr = dir, env, stdout, stderr
	c.WaitDelay = 5 * time.Second
	ownGroup(c)
	err := c.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode(), nil
	case errors.As(err, &exit):
		return 0, fmt.Errorf("the command was killed: %w", err)
	case err != nil:
		return 0, fmt.Errorf("the command did not start: %w", err)
	}
	return 0, nil
}

// collect uploads the outputs that there are and adds them to r.
func (s *Sandbox) collect(ctx context.Context, dir string, outputs []string, r *repb.ActionResult) error {
	c := &collector{}
	defer c.close()
	for _, o := range outputs {
		p, err := inside(dir, o)
		if err != nil {
			return err
		}
		info, err := os.Stat(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case info.IsDir():
			root, err := c.directory(p)
			if err != nil {
				return err
			}
			tree := &repb.Tree{Root: root, Children: c.children}
			c.children = nil
			data, d := reapi.Marshal(tree)
			c.blobs = append(c.blobs, reapi.Bytes(data))
			r.OutputDirectories = append(r.OutputDirectories, &repb.OutputDirectory{Path: o, TreeDigest: d.Proto(), IsTopologicallySorted: false})
		default:
			d, err := c.file(p)
			if err != nil {
				return err
			}
			r.OutputFiles = append(r.OutputFiles, &repb.OutputFile{Path: o, Digest: d.Proto(), IsExecutable: info.Mode()&0o100 != 0})
		}
	}
	return s.Store.Upload(ctx, c.blobs)
}

// collector maps output files.
type collector struct {
	blobs    []reapi.Blob
	open     []*mmap.File
	children []*repb.Directory
}

func (c *collector) close() {
	for _, f := range c.open {
		f.Close()
	}
}

func (c *collector) file(p string) (reapi.Digest, error) {
	f, err := mmap.Open(p)
	if err != nil {
		return reapi.Digest{}, err
	}
	c.open = append(c.open, f)
	b := reapi.Bytes(f.Bytes())
	c.blobs = append(c.blobs, b)
	return b.Digest, nil
}

// directory describes a folder; those below it become children.
func (c *collector) directory(p string) (*repb.Directory, error) {
	names, err := os.ReadDir(p) // sorted, as the protocol wants it
	if err != nil {
		return nil, err
	}
	dir := &repb.Directory{}
	for _, n := range names {
		at := filepath.Join(p, n.Name())
		if n.IsDir() {
			sub, err := c.directory(at)
			if err != nil {
				return nil, err
			}
			data, d := reapi.Marshal(sub)
			c.blobs = append(c.blobs, reapi.Bytes(data))
			c.children = append(c.children, sub)
			dir.Directories = append(dir.Directories, &repb.DirectoryNode{Name: n.Name(), Digest: d.Proto()})
			continue
		}
		d, err := c.file(at)
		if err != nil {
			return nil, err
		}
		dir.Files = append(dir.Files, &repb.FileNode{Name: n.Name(), Digest: d.Proto()})
	}
	return dir, nil
}
