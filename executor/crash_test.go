package executor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/cache/fault"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// childEnv makes the test binary a process that runs one graph on the store in
// the folder it names and exits. It writes what it does to stdout, a line at a
// time: "start NAME", "done NAME", "rewind NAME", at the end "ok DIGEST…".
const childEnv = "EXECUTOR_TEST_CHILD"

// stuckEnv makes a child say "stuck" after that many lines and then neither
// start nor end another action, so that it is there to be killed however busy
// the machine is. What is under way goes on meanwhile.
const stuckEnv = "EXECUTOR_TEST_STUCK"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		run := child
		if os.Getenv(memoryEnv) != "" {
			run = memoryChild
		}
		if err := run(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// slow gives a killer, and other processes, the time to come in between.
const slow = 3 * time.Millisecond

func child(dir string) error {
	resetToys()
	act("slow", func(*action.Context) error { time.Sleep(slow); return nil })
	s, err := cache.Open(dir, cache.Options{})
	if err != nil {
		return err
	}
	g, targets, err := crashGraph(s)
	if err != nil {
		return err
	}
	stuck, _ := strconv.Atoi(os.Getenv(stuckEnv)) // 0: never
	said := 0
	e, err := New(g, Options{Store: s, Threads: 2, Memory: 1 << 30, Events: func(ev Event) {
		if said++; said == stuck {
			fmt.Println("stuck")
			select {}
		}
		switch {
		case ev.Rewind:
			fmt.Println("rewind", ev.Action.Label)
		case ev.Kind == EventStarted:
			fmt.Println("start", ev.Action.Label)
		case ev.Kind == EventFinished && ev.Status == Ran:
			fmt.Println("done", ev.Action.Label)
		}
	}})
	if err != nil {
		return err
	}
	if _, err := e.Run(context.Background(), targets); err != nil {
		return err
	}
	var digests []string
	for _, r := range targets {
		digests = append(digests, string(e.Outcome(r.Action).Digests[r.Output]))
	}
	fmt.Println("ok", strings.Join(digests, " "))
	e.Close()
	return s.Close()
}

// crashGraph is a sequential pass of three blocks with side actions.
func crashGraph(s *cache.Store) (*action.Graph, []action.Ref, error) {
	w := &world{g: action.NewGraph(), store: s}
	if _, err := s.Put([]byte("windows")); err != nil {
		return nil, nil, err
	}
	h := w.g.AddLeaf("data", textTree("windows"))
	var targets []action.Ref
	for b := range 3 {
		gram := w.toy(toyParams{Name: fmt.Sprint("gram", b), Do: "slow"}, transient, h)
		q := w.toy(toyParams{Name: fmt.Sprint("q", b), Do: "slow"}, durable, h, gram)
		side := w.toy(toyParams{Name: fmt.Sprint("side", b), Do: "slow"}, durable, gram)
		targets = append(targets, q, side)
		h = w.toy(toyParams{Name: fmt.Sprint("h", b), Do: "slow"}, checkpoint, h, q)
	}
	return w.g, append(targets, w.toy(toyParams{Name: "end", Do: "slow"}, durable, h)), nil
}

// process is a child and what it has said.
type process struct {
	cmd   *exec.Cmd
	lines []string
	stuck chan struct{} // closed with the line "stuck", or at the end
	ended chan error
}

func startChild(t testing.TB, dir string, env ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0]), stuck: make(chan struct{}), ended: make(chan error, 1)}
	// The race detector would have the child sleep before it exits.
	p.cmd.Env = append(append(os.Environ(), childEnv+"="+dir, "GORACE=atexit_sleep_ms=0"), env...)
	p.cmd.Stderr = os.Stderr
	if env != nil {
		p.cmd.Stderr = nil // it is meant to fail
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			if p.lines = append(p.lines, sc.Text()); sc.Text() == "stuck" {
				close(p.stuck)
			}
		}
		if len(p.said("stuck")) == 0 {
			close(p.stuck)
		}
		p.ended <- p.cmd.Wait()
	}()
	return p
}

// said returns what follows word in the lines that start with it.
func (p *process) said(word string) []string {
	var rest []string
	for _, l := range p.lines {
		if first, r, _ := strings.Cut(l, " "); first == word {
			rest = append(rest, r)
		}
	}
	return rest
}

// finalDigests is what every run must end with.
func finalDigests(t testing.TB) string {
	t.Helper()
	s, err := cache.Open(t.TempDir(), cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	g, targets, err := crashGraph(s)
	if err != nil {
		t.Fatal(err)
	}
	want := interpret(g)
	var ds []string
	for _, r := range targets {
		ds = append(ds, string(want[r]))
	}
	return strings.Join(ds, " ")
}

// resume lets processes run until one ends by itself, checking that none
// starts what an earlier one had done. start makes the i-th.
func resume(t *testing.T, dir, want string, start func(i int) *process) {
	t.Helper()
	killed := 0
	done := map[string]bool{}
	for i := range 60 {
		p := start(i)
		err := <-p.ended
		for _, name := range p.said("start") {
			if done[name] {
				t.Errorf("process %d runs %s again", i, name)
			}
		}
		for _, name := range p.said("done") {
			done[name] = true
		}
		if err != nil {
			killed++
			continue
		}
		if ok := p.said("ok"); len(ok) != 1 || ok[0] != want {
			t.Errorf("process %d ends with other digests", i)
		}
		if killed == 0 {
			t.Error("nothing was killed")
		}
		checkStore(t, dir)
		return
	}
	t.Error("no process came to an end")
}

func checkStore(t *testing.T, dir string) {
	t.Helper()
	s, err := cache.Open(dir, cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	report, err := s.Check(t.Context(), cache.CheckOptions{Full: true})
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("the store after it: %+v, %v", report, err)
	}
}

// Killed at random moments, again and again: what had finished is not run
// again, and the end is the same.
func TestKilledAtRandom(t *testing.T) {
	want := finalDigests(t)
	for round := range 3 {
		dir := memoryDir(t)
		rng := rand.New(rand.NewPCG(7, uint64(round)))
		resume(t, dir, want, func(i int) *process {
			// Later processes get further, so that one comes to the end.
			p := startChild(t, dir, fmt.Sprintf("%s=%d", stuckEnv, 1+rng.IntN(3+2*i)))
			<-p.stuck
			time.Sleep(time.Duration(rng.IntN(8)) * time.Millisecond) // what is under way goes on
			p.cmd.Process.Kill()
			return p
		})
	}
}

// Killed at each of the delicate places of the store.
func TestKilledAtFaultPoints(t *testing.T) {
	want := finalDigests(t)
	for _, point := range fault.Points() {
		if point == fault.Remove {
			continue // below, with more hits
		}
		t.Run(string(point), func(t *testing.T) {
			dir := memoryDir(t)
			resume(t, dir, want, func(i int) *process {
				if i >= 6 {
					return startChild(t, dir)
				}
				return startChild(t, dir, fmt.Sprintf("%s=%s:%d:kill", fault.EnvVar, point, 3*i+1))
			})
		})
	}
	t.Run(string(fault.Remove), func(t *testing.T) {
		dir := memoryDir(t)
		resume(t, dir, want, func(i int) *process {
			if i >= 2 {
				return startChild(t, dir)
			}
			return startChild(t, dir, fmt.Sprintf("%s=%s:1:kill", fault.EnvVar, fault.Remove))
		})
	})
}

// Processes on one store at once run each action once between them.
func TestTwoProcesses(t *testing.T) {
	want := finalDigests(t)
	dir := memoryDir(t)
	var ps []*process
	for range 3 {
		ps = append(ps, startChild(t, dir))
	}
	started := map[string]int{}
	for i, p := range ps {
		if err := <-p.ended; err != nil {
			t.Fatalf("process %d: %v", i, err)
		}
		if ok := p.said("ok"); len(ok) != 1 || ok[0] != want {
			t.Errorf("process %d ends with other digests", i)
		}
		for _, name := range p.said("start") {
			started[name]++
		}
	}
	for _, name := range sortedNames(started) {
		if started[name] != 1 {
			t.Errorf("%s ran %d times", name, started[name])
		}
	}
	if len(started) != 13 {
		t.Errorf("%d actions ran", len(started))
	}
	checkStore(t, dir)
}

// One process is killed while others wait for what it does.
func TestHolderIsKilled(t *testing.T) {
	want := finalDigests(t)
	dir := memoryDir(t)
	for i := range 3 {
		a, b := startChild(t, dir), startChild(t, dir)
		time.Sleep(time.Duration(10+15*i) * time.Millisecond)
		a.cmd.Process.Kill()
		<-a.ended
		if err := <-b.ended; err != nil {
			t.Fatal(err)
		}
		if ok := b.said("ok"); len(ok) != 1 || ok[0] != want {
			t.Error("the survivor ends with other digests")
		}
		if err := os.RemoveAll(filepath.Join(dir, "act")); err != nil {
			t.Fatal(err)
		}
	}
}

// A full disk fails the action with a message that names the folder; the next
// run goes on.
func TestDiskFull(t *testing.T) {
	for _, point := range []fault.Point{fault.Write, fault.Sync, fault.Rename, fault.SyncDir, fault.Index, fault.Lease} {
		t.Run(string(point), func(t *testing.T) {
			hit := false
			for n := 1; n < 40; n += 4 {
				w := &world{t: t, g: action.NewGraph(), dir: memoryDir(t)}
				resetToys()
				w.open()
				tree := textTree("x")
				if _, err := w.store.Put([]byte("x")); err != nil {
					t.Fatal(err)
				}
				w.close()
				set, err := fault.Parse(fmt.Sprintf("%s:%d:enospc", point, n))
				if err != nil {
					t.Fatal(err)
				}
				w.opts.Fault = set
				s, err := cache.Open(w.dir, w.opts)
				if err != nil {
					continue // the fault hit earlier than this is about
				}
				w.store = s
				a := w.toy(toyParams{Name: "a"}, durable, w.g.AddLeaf("m", tree))
				b := w.toy(toyParams{Name: "b"}, durable, a)
				e := w.executor()
				_, err = e.Run(t.Context(), []action.Ref{b})
				if err != nil {
					hit = true
					var we *cache.WriteError
					if !errors.As(err, &we) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), w.dir) {
						t.Errorf("%s:%d: %v", point, n, err)
					}
				}
				if !e.mem.empty() {
					t.Errorf("%s:%d: leaves are left in memory", point, n)
				}
				w.opts.Fault = nil
				w.reopen()
				w.run(b)
				w.close()
			}
			if !hit {
				t.Error("no run met the fault")
			}
		})
	}
}

func textTree(text string) *artifact.Tree {
	return &artifact.Tree{Entries: []artifact.Entry{{Name: "text", Digest: artifact.Sum([]byte(text)), Size: int64(len(text))}}}
}
