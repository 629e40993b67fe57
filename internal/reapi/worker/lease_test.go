package worker_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/compressc/compressc/internal/reapi"
	"github.com/compressc/compressc/internal/reapi/reapitest"
	rw "github.com/compressc/compressc/internal/reapi/remoteworkers"
	"github.com/compressc/compressc/internal/reapi/worker"
)

// lessor leases actions to one worker at a time, as BuildGrid does.
type lessor struct {
	rw.UnimplementedBotsServer
	mu       sync.Mutex
	sessions int
	known    string            // the session that is known
	queue    []*rw.Lease       // to be given out
	current  *rw.Lease         // given out
	revoke   bool              // take the current one back
	done     chan *rw.Lease    // completed ones
	changed  chan struct{}     // something is in the queue
	seen     *rw.BotSession    // as it was last sent
	props    map[string]string // of the worker
}

func newLessor(t *testing.T) (*lessor, string) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lessor{done: make(chan *rw.Lease, 10), changed: make(chan struct{}, 10)}
	s := grpc.NewServer()
	rw.RegisterBotsServer(s, l)
	served := make(chan struct{})
	go func() { defer close(served); s.Serve(lis) }()
	t.Cleanup(func() { s.Stop(); <-served })
	return l, "grpc://" + lis.Addr().String()
}

func (l *lessor) CreateBotSession(_ context.Context, r *rw.CreateBotSessionRequest) (*rw.BotSession, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions++
	l.known = fmt.Sprint("/session-", l.sessions)
	l.props = map[string]string{}
	for _, p := range r.BotSession.Worker.Properties {
		l.props[p.Key] = p.Value
	}
	s := proto.CloneOf(r.BotSession)
	s.Name = l.known
	return s, nil
}

func (l *lessor) UpdateBotSession(ctx context.Context, r *rw.UpdateBotSessionRequest) (*rw.BotSession, error) {
	l.mu.Lock()
	if r.Name != l.known {
		l.mu.Unlock()
		return nil, status.Error(codes.InvalidArgument, "no such session")
	}
	s := proto.CloneOf(r.BotSession)
	l.seen = s
	for _, x := range s.Leases {
		if x.State == rw.LeaseState_COMPLETED && l.current != nil {
			l.done <- x
			l.current = nil
		}
	}
	if l.revoke && l.current != nil {
		l.current, l.revoke = nil, false
	}
	if l.current == nil && len(l.queue) == 0 && s.Status == rw.BotStatus_OK && len(s.Leases) == 0 {
		l.mu.Unlock()
		select { // there is no work yet
		case <-l.changed:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		l.mu.Lock()
	}
	defer l.mu.Unlock()
	s.Leases = nil
	if l.current == nil && len(l.queue) > 0 && s.Status == rw.BotStatus_OK {
		l.current, l.queue = l.queue[0], l.queue[1:]
	} else if l.current != nil {
		l.current.State = rw.LeaseState_ACTIVE
	}
	if l.current != nil {
		s.Leases = []*rw.Lease{l.current}
	}
	return proto.CloneOf(s), nil
}

// lease queues an action, or its digest.
func (l *lessor) lease(t *testing.T, id string, payload proto.Message) {
	t.Helper()
	p, err := anypb.New(payload)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.queue = append(l.queue, &rw.Lease{Id: id, Payload: p, State: rw.LeaseState_PENDING})
	l.mu.Unlock()
	l.changed <- struct{}{}
}

// command stores an action that runs a shell script.
func command(s *reapitest.Server, script string) *repb.Action {
	cmd, cd := reapi.Marshal(&repb.Command{Arguments: []string{"/bin/sh", "-c", script}, OutputPaths: []string{"out"}})
	s.Put(cmd)
	dir, dd := reapi.Marshal(&repb.Directory{Files: []*repb.FileNode{{Name: "in", Digest: s.Put([]byte("hello")).Proto(), IsExecutable: true}}})
	s.Put(dir)
	return &repb.Action{CommandDigest: cd.Proto(), InputRootDigest: dd.Proto()}
}

func TestBot(t *testing.T) {
	store := reapitest.New(t, reapitest.Faults{})
	l, address := newLessor(t)
	dial := func(a string) *reapi.Client {
		c, err := reapi.Dial(reapi.Options{Address: a, Patience: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dir := t.TempDir()
	blobs, err := worker.NewRemote(dial(store.Address), filepath.Join(dir, "blobs"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	actions := filepath.Join(dir, "actions")
	if err := os.Mkdir(actions, 0o777); err != nil {
		t.Fatal(err)
	}
	bot := &worker.Bot{Client: dial(address), ID: "w", Properties: []worker.Property{{Key: "OSFamily", Value: "linux"}}, Beat: 5 * time.Millisecond,
		Sandbox: &worker.Sandbox{Store: blobs, Dir: actions, Name: "w", Env: []string{"EXTRA=there"}}, Log: t.Logf}
	draining := make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- bot.Run(t.Context(), draining) }()
	result := func(id string) *rw.Lease {
		t.Helper()
		x := <-l.done
		if x.Id != id {
			t.Fatalf("lease %s is done, expected %s", x.Id, id)
		}
		return x
	}

	// An action, and one by its digest, with output and environment.
	l.lease(t, "plain", command(store, "cat in >out; echo $EXTRA; exit 3"))
	raw, d := reapi.Marshal(command(store, "test -x in && cat in in >out"))
	store.Put(raw)
	l.lease(t, "digest", d.Proto())
	for id, want := range map[string]struct {
		exit int32
		out  string
	}{"plain": {3, "hello"}} {
		x := result(id)
		r := &repb.ActionResult{}
		if x.Status.GetCode() != 0 || x.Result.UnmarshalTo(r) != nil {
			t.Fatalf("%v", x)
		}
		od, err := reapi.FromProto(r.OutputFiles[0].Digest)
		if err != nil || r.ExitCode != want.exit || string(store.Blob(od)) != want.out || string(r.StdoutRaw) != "there\n" || r.ExecutionMetadata.Worker != "w" {
			t.Errorf("%v, output %q", r, store.Blob(od))
		}
	}
	if x := result("digest"); x.Status.GetCode() != 0 {
		t.Errorf("%v", x)
	}

	// What cannot be done is said, by code.
	gone := command(store, "true")
	gone.InputRootDigest = reapi.Sum([]byte("never stored")).Proto()
	l.lease(t, "gone", gone)
	if x := result("gone"); codes.Code(x.Status.GetCode()) != codes.FailedPrecondition {
		t.Errorf("%v", x.Status)
	}

	// A lease that is taken back ends its command, with what that has started.
	pid := filepath.Join(dir, "pid")
	l.lease(t, "long", command(store, "sleep 1000 & echo $! >"+pid+".new; mv "+pid+".new "+pid+"; wait"))
	for _, err := os.Stat(pid); err != nil; _, err = os.Stat(pid) {
		time.Sleep(time.Millisecond)
	}
	l.mu.Lock()
	l.revoke = true
	l.mu.Unlock()
	l.lease(t, "next", command(store, "true"))
	result("next")
	text, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	fmt.Sscan(string(text), &n)
	for alive(n) {
		time.Sleep(time.Millisecond)
	}

	// A server that does not know the session any more gets a new one.
	l.mu.Lock()
	l.known = "none"
	l.mu.Unlock()
	l.lease(t, "after", command(store, "true"))
	result("after")
	if l.mu.Lock(); l.sessions != 2 || l.props["OSFamily"] != "linux" {
		t.Errorf("%d sessions, properties %v", l.sessions, l.props)
	}
	l.mu.Unlock()

	// It ends when it is to take no more, and says so.
	close(draining)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if l.mu.Lock(); l.seen.Status != rw.BotStatus_BOT_TERMINATING {
		t.Errorf("last seen as %v", l.seen.Status)
	}
	l.mu.Unlock()
	if left, err := os.ReadDir(actions); err != nil || len(left) > 0 {
		t.Errorf("folders are left: %v, %v", left, err)
	}
}

// alive reports whether a process is there and no zombie.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	var id int
	var name, state string
	fmt.Sscan(string(text), &id, &name, &state)
	return state != "Z"
}

// Inputs and outputs stay inside.
func TestEscapes(t *testing.T) {
	store := reapitest.New(t, reapitest.Faults{})
	c, err := reapi.Dial(reapi.Options{Address: store.Address, Patience: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	blobs, err := worker.NewRemote(c, t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	box := &worker.Sandbox{Store: blobs, Dir: t.TempDir(), Name: "w"}
	in := store.Put([]byte("x")).Proto()
	put := func(m proto.Message) *repb.Digest {
		raw, d := reapi.Marshal(m)
		store.Put(raw)
		return d.Proto()
	}
	empty := put(&repb.Directory{})
	run := put(&repb.Command{Arguments: []string{"/bin/true"}})
	for name, a := range map[string]*repb.Action{
		"file above":        {CommandDigest: run, InputRootDigest: put(&repb.Directory{Files: []*repb.FileNode{{Name: "../x", Digest: in}}})},
		"folder above":      {CommandDigest: run, InputRootDigest: put(&repb.Directory{Directories: []*repb.DirectoryNode{{Name: "..", Digest: empty}}})},
		"link's name":       {CommandDigest: run, InputRootDigest: put(&repb.Directory{Symlinks: []*repb.SymlinkNode{{Name: "/x", Target: "y"}}})},
		"output above":      {CommandDigest: put(&repb.Command{Arguments: []string{"/bin/true"}, OutputPaths: []string{"../../out"}}), InputRootDigest: empty},
		"absolute output":   {CommandDigest: put(&repb.Command{Arguments: []string{"/bin/true"}, OutputPaths: []string{"/tmp/out"}}), InputRootDigest: empty},
		"working elsewhere": {CommandDigest: put(&repb.Command{Arguments: []string{"/bin/true"}, WorkingDirectory: "../.."}), InputRootDigest: empty},
		"nothing to run":    {CommandDigest: put(&repb.Command{}), InputRootDigest: empty},
		"no digest":         {CommandDigest: &repb.Digest{Hash: "../../etc/passwd", SizeBytes: 1}, InputRootDigest: empty},
		"no such program":   {CommandDigest: put(&repb.Command{Arguments: []string{"./nothing"}}), InputRootDigest: empty},
	} {
		if r, err := box.Execute(t.Context(), a); err == nil {
			t.Errorf("%s: no error, %v", name, r)
		}
	}
	if left, err := os.ReadDir(box.Dir); err != nil || len(left) > 0 {
		t.Errorf("folders are left: %v, %v", left, err)
	}
}
