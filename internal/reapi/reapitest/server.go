// Package reapitest is a small Remote Execution server in memory, for tests: it
// keeps blobs and results, streams, executes actions, and misbehaves on demand
// in the ways that real servers and networks do.
package reapitest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"github.com/bazelbuild/remote-apis/build/bazel/semver"
	bspb "google.golang.org/genproto/googleapis/bytestream"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/compressc/compressc/internal/reapi"
	"github.com/compressc/compressc/internal/reapi/worker"
)

// Server is a server under test. Its exported fields may be changed by Set
// while it runs.
type Server struct {
	// Address is grpc://127.0.0.1:port, grpcs:// with TLS.
	Address string

	mu    sync.Mutex
	f     Faults
	blobs map[reapi.Digest][]byte
	acs   map[reapi.Digest]*repb.ActionResult
	ups   map[string][]byte // uploads under way by resource name
	ops   map[string]*operation
	calls map[string]int
	open  int // calls being served
	full  int // calls that found no room
	seq   int

	sandbox worker.Sandbox
	running sync.WaitGroup // executions
	gs      *grpc.Server
	lis     net.Listener
	hole    chan struct{} // closed when the server ends
}

// Faults are what a server does wrong, and its limits.
type Faults struct {
	// Instance is the only instance name that is known.
	Instance string
	// MaxBatch is advertised, and enforced; 0 means 4 MiB, not advertised.
	MaxBatch int64
	Zstd     bool
	// Token, when not "", is demanded.
	Token string
	// NoUpdates: results are not advertised to be taken. RefuseUpdates: they are
	// refused though advertised.
	NoUpdates, RefuseUpdates bool
	// NoSHA256 and OldAPI are servers that this program cannot use.
	NoSHA256, OldAPI bool
	// Lie flips a bit of every blob larger than this that is read.
	Lie int64
	// BlackHole leaves every call unanswered.
	BlackHole bool
	// Busy answers that many calls with Unavailable.
	Busy int
	// Room, when not 0, is how many calls are served at once; others are answered
	// with ResourceExhausted.
	Room int
	// DropRead and DropWrite break that many streams after DropAfter bytes.
	DropRead, DropWrite int
	DropAfter           int64
	// NoWriteStatus: QueryWriteStatus is not implemented.
	NoWriteStatus bool
	// DropExecute breaks that many execution streams once the operation has a
	// name. Forget has WaitExecution not know any operation.
	DropExecute int
	Forget      bool
	// KillWorker has that many executions fail as if the worker had died.
	KillWorker int
	// RefusePlatform refuses actions with this platform property.
	RefusePlatform string
	// LateName has a client hear of an execution only that long after it began.
	LateName time.Duration
	// LoseOutputs drops the outputs of that many executions.
	LoseOutputs int
}

type operation struct {
	name   string
	action reapi.Digest
	done   chan struct{}
	cancel context.CancelFunc
	resp   *repb.ExecuteResponse
}

// New starts a server on loopback, which ends with the test, as do the actions
// that it still executes: their folders are the test's.
func New(t testing.TB, f Faults, opts ...grpc.ServerOption) *Server {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Address: "grpc://" + lis.Addr().String(), f: f, lis: lis, blobs: map[reapi.Digest][]byte{}, acs: map[reapi.Digest]*repb.ActionResult{},
		ups: map[string][]byte{}, ops: map[string]*operation{}, calls: map[string]int{}, hole: make(chan struct{})}
	if f.Instance != "" {
		s.Address += "/" + f.Instance
	}
	s.sandbox = worker.Sandbox{Store: memory{s}, Dir: t.TempDir(), Name: "worker-0"}
	opts = append(opts, grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream), grpc.MaxRecvMsgSize(8<<20), grpc.WaitForHandlers(true))
	s.gs = grpc.NewServer(opts...)
	repb.RegisterCapabilitiesServer(s.gs, capabilities{s: s})
	repb.RegisterContentAddressableStorageServer(s.gs, cas{s: s})
	repb.RegisterActionCacheServer(s.gs, actionCache{s: s})
	repb.RegisterExecutionServer(s.gs, execution{s: s})
	longrunningpb.RegisterOperationsServer(s.gs, operations{s: s})
	bspb.RegisterByteStreamServer(s.gs, byteStream{s: s})
	served := make(chan struct{})
	go func() { defer close(served); s.gs.Serve(lis) }()
	t.Cleanup(func() { s.Stop(); <-served; s.running.Wait() })
	return s
}

// Stop ends the server as if its machine were switched off.
func (s *Server) Stop() {
	s.mu.Lock()
	if !s.ended() {
		close(s.hole)
	}
	for _, op := range s.ops {
		op.cancel()
	}
	s.mu.Unlock()
	s.gs.Stop()
}

func (s *Server) ended() bool {
	select {
	case <-s.hole:
		return true
	default:
		return false
	}
}

// Set changes what the server does wrong.
func (s *Server) Set(change func(*Faults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.f)
}

func (s *Server) faults() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.f
}

// take reports whether a counted fault is due, and counts it down.
func (s *Server) take(n *int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *n <= 0 {
		return false
	}
	*n--
	return true
}

// Exec replaces processes: see worker.Sandbox.
func (s *Server) Exec(f func(ctx context.Context, dir string, argv, env []string, stdout, stderr *bytes.Buffer) (int, error)) {
	s.sandbox.Exec = f
}

// Env is added to the environment of every command.
func (s *Server) Env(env ...string) { s.sandbox.Env = env }

// Calls returns how often a method was called: "FindMissingBlobs".
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Put stores a blob.
func (s *Server) Put(data []byte) reapi.Digest {
	d := reapi.Sum(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[d] = bytes.Clone(data)
	return d
}

// Blob returns a blob, nil if there is none.
func (s *Server) Blob(d reapi.Digest) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blobs[d]
}

// Blobs returns the digests of all blobs.
func (s *Server) Blobs() []reapi.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ds []reapi.Digest
	for d := range s.blobs {
		ds = append(ds, d)
	}
	return ds
}

// Remove drops the blobs that which reports, and returns how many.
func (s *Server) Remove(which func(reapi.Digest, []byte) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for d, b := range s.blobs {
		if which(d, b) {
			delete(s.blobs, d)
			n++
		}
	}
	return n
}

// Results returns how many actions are on record.
func (s *Server) Results() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acs)
}

// EditResults lets a test change or drop (nil) results on record.
func (s *Server) EditResults(edit func(reapi.Digest, *repb.ActionResult) *repb.ActionResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, r := range s.acs {
		if n := edit(d, r); n == nil {
			delete(s.acs, d)
		} else {
			s.acs[d] = n
		}
	}
}

// Full counts the calls that found no room.
func (s *Server) Full() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.full
}

// enter takes a call in if there is room.
func (s *Server) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f.Room > 0 && s.open >= s.f.Room {
		s.full++
		return status.Error(codes.ResourceExhausted, "too many calls")
	}
	s.open++
	return nil
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
}

// gate counts a call and applies the faults that all calls share.
func (s *Server) gate(ctx context.Context, method string) error {
	method = method[bytes.LastIndexByte([]byte(method), '/')+1:]
	s.mu.Lock()
	s.calls[method]++
	f := s.f
	busy := s.f.Busy > 0
	if busy {
		s.f.Busy--
	}
	s.mu.Unlock()
	if f.BlackHole {
		<-s.hole // also when the client has given up: it hears nothing
		return status.Error(codes.Canceled, "nobody is there")
	}
	if busy {
		return status.Error(codes.Unavailable, "busy")
	}
	if f.Token != "" {
		md, _ := metadata.FromIncomingContext(ctx)
		if got := md.Get("authorization"); len(got) != 1 || got[0] != "Bearer "+f.Token {
			return status.Error(codes.Unauthenticated, "who are you?")
		}
	}
	return nil
}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := s.gate(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	if r, ok := req.(interface{ GetInstanceName() string }); ok && r.GetInstanceName() != s.faults().Instance {
		return nil, status.Errorf(codes.InvalidArgument, "no instance %q", r.GetInstanceName())
	}
	return h(ctx, req)
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, h grpc.StreamHandler) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.gate(ss.Context(), info.FullMethod); err != nil {
		return err
	}
	return h(srv, ss)
}

type capabilities struct {
	repb.UnimplementedCapabilitiesServer
	s *Server
}

func (c capabilities) GetCapabilities(context.Context, *repb.GetCapabilitiesRequest) (*repb.ServerCapabilities, error) {
	f := c.s.faults()
	function := repb.DigestFunction_SHA256
	if f.NoSHA256 {
		function = repb.DigestFunction_BLAKE3
	}
	major := int32(2)
	if f.OldAPI {
		major = 1
	}
	cc := &repb.CacheCapabilities{DigestFunctions: []repb.DigestFunction_Value{function}, MaxBatchTotalSizeBytes: f.MaxBatch,
		ActionCacheUpdateCapabilities: &repb.ActionCacheUpdateCapabilities{UpdateEnabled: !f.NoUpdates}}
	if f.Zstd {
		cc.SupportedCompressors = []repb.Compressor_Value{repb.Compressor_ZSTD}
	}
	return &repb.ServerCapabilities{CacheCapabilities: cc, ExecutionCapabilities: &repb.ExecutionCapabilities{DigestFunction: function, ExecEnabled: true},
		LowApiVersion: &semver.SemVer{Major: major}, HighApiVersion: &semver.SemVer{Major: major, Minor: 3}}, nil
}

// memory is the sandbox's store.
type memory struct{ s *Server }

func (m memory) Read(_ context.Context, d reapi.Digest) ([]byte, error) {
	if b := m.s.Blob(d); b != nil || d.Size == 0 {
		return b, nil
	}
	return nil, fmt.Errorf("blob %v: %w", d, reapi.ErrNotFound)
}

func (m memory) Upload(_ context.Context, blobs []reapi.Blob) error {
	for _, b := range blobs {
		data, release, err := b.Open()
		if err != nil {
			return err
		}
		m.s.Put(data)
		release()
	}
	return nil
}
