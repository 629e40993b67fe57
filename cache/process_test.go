//go:build unix

package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Some tests run the test binary again as other processes. In a child, these
// variables say what to do and where.
const (
	envChild = "COMPRESSC_CACHE_TEST"
	envDir   = "COMPRESSC_CACHE_TEST_DIR"
)

// children are what a child can do with a store's folder.
var children = map[string]func(dir string) error{
	"scenario": func(dir string) error { return scenario(dir, Options{}) },
	"race":     func(dir string) error { return raceChild(dir, false) },
	"race+gc":  func(dir string) error { return raceChild(dir, true) },
	"hold":     holdChild,
}

func TestMain(m *testing.M) {
	name := os.Getenv(envChild)
	if name == "" {
		useMemory()
		os.Exit(m.Run())
	}
	if err := children[name](os.Getenv(envDir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// useMemory puts the tests' folders on a file system in memory, if there is one
// and TMPDIR does not say otherwise: thousands of syncs take a minute on a busy
// disk, and a killed process, unlike a power cut, does not need them.
func useMemory() {
	const memory = "/dev/shm"
	if os.Getenv("TMPDIR") != "" {
		return
	}
	probe, err := os.MkdirTemp(memory, "compressc-cache")
	if err != nil {
		return
	}
	if err := errors.Join(os.Remove(probe), os.Setenv("TMPDIR", memory)); err != nil {
		panic(err)
	}
}

// child prepares a run of the test binary as another process.
func child(t testing.TB, name, dir string, env ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), append(env, envChild+"="+name, envDir+"="+dir)...)
	return cmd
}

const raceActions = 24

// raceChild makes or finds all actions in an order of its own, and prints how
// many it made. With gc it also collects garbage all the time; nothing that it
// relies on may vanish.
func raceChild(dir string, gc bool) error {
	s, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	made := 0
	for _, i := range rand.Perm(raceActions) {
		action := key(fmt.Sprint("race ", i))
		leaves := [][]byte{blob(fmt.Sprint("race ", i), 2000), blob("race shared", 1000)}
		err := func() error {
			unlock, err := s.LockAction(context.Background(), action, func(string) {})
			if err != nil {
				return err
			}
			defer unlock()
			if _, ok, err := s.GetEntry(action); ok || err != nil {
				return err
			}
			made++
			e := entryOf(fmt.Sprint("race ", i), output("model", Durable, leaves...))
			for _, data := range append(leaves, e.Outputs[0].Tree) {
				if _, err := s.Put(data); err != nil {
					return err
				}
			}
			return s.PutEntry(e)
		}()
		if err != nil {
			return err
		}
		if gc {
			if _, err := s.GC(context.Background(), GCOptions{MinAge: -1, Now: i%2 == 0}); err != nil && !errors.Is(err, ErrInUse) {
				return err
			}
		}
		for _, want := range leaves {
			if got, err := read(s, Sum(want)); err != nil || !bytes.Equal(got, want) {
				return fmt.Errorf("action %d: %w", i, errors.Join(errors.New("its blob is gone or wrong"), err))
			}
		}
	}
	for i := range raceActions {
		if _, ok, err := s.GetEntry(key(fmt.Sprint("race ", i))); !ok || err != nil {
			return fmt.Errorf("action %d is gone at the end: %v", i, err)
		}
	}
	fmt.Println(made)
	return nil
}

func TestProcessesRace(t *testing.T) {
	for _, name := range []string{"race", "race+gc"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var wg sync.WaitGroup
			made := make([]int, 4)
			for i := range made {
				cmd := child(t, name, dir)
				wg.Go(func() {
					out, err := cmd.Output()
					if err != nil {
						var exit *exec.ExitError
						errors.As(err, &exit)
						t.Errorf("child %d: %v: %s", i, err, exit.Stderr)
						return
					}
					made[i], err = strconv.Atoi(strings.TrimSpace(string(out)))
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			total := 0
			for _, n := range made {
				total += n
			}
			if name == "race" && total != raceActions || total < raceActions {
				t.Errorf("made %v, together %d; want each of %d actions once", made, total, raceActions)
			}
			s := openStore(t, dir, Options{})
			wantClean(t, s)
		})
	}
}

// holdChild publishes an action, takes its lock and leases, says so, and stays
// until its standard input closes.
func holdChild(dir string) error {
	s, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	if _, err := s.Put([]byte("held")); err != nil {
		return err
	}
	unlock, err := s.LockAction(context.Background(), key("held"), nil)
	if err != nil {
		return err
	}
	defer unlock() // a lock that nothing refers to ends with the garbage
	fmt.Println("ready")
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}

// startHolder returns once the child holds what it is to hold.
func startHolder(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := child(t, "hold", dir)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have been killed in the test already
		_ = cmd.Wait()
	})
	if n, err := out.Read(make([]byte, 6)); n != 6 {
		t.Fatalf("child did not get ready: %v", err)
	}
	return cmd
}

func TestAnotherProcessHolds(t *testing.T) {
	dir := t.TempDir()
	cmd := startHolder(t, dir)
	s := openStore(t, dir, Options{})
	d := Sum([]byte("held"))

	free := mustPut(t, s, []byte("free"))
	if n, err := s.Remove(d, free); n != 1 || !errors.Is(err, ErrInUse) {
		t.Errorf("Remove of a leased blob and one that is not: %d, %v", n, err)
	}
	if exists(s.shard(dirBlobs, free)) {
		t.Error("a leased blob keeps others")
	}
	if _, err := s.GC(t.Context(), GCOptions{MinAge: -1, Now: true}); err != nil {
		t.Error(err)
	}
	if !exists(s.shard(dirBlobs, d)) {
		t.Error("gc took a leased blob")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var holder string
	if _, err := s.LockAction(ctx, key("held"), func(h string) { holder = h; cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("LockAction of a locked action: %v", err)
	}
	if !strings.Contains(holder, strconv.Itoa(cmd.Process.Pid)) {
		t.Errorf("holder %q does not name process %d", holder, cmd.Process.Pid)
	}

	// Death frees everything.
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	unlock, err := s.LockAction(t.Context(), key("held"), nil)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := cmd.Wait(); err == nil {
		t.Error("the child ended by itself")
	}
	if n, err := s.Remove(d); n != 1 || err != nil {
		t.Errorf("Remove after its holder's death = %v, %v", n, err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, dirLeases, "*"+leaseSuffix)); len(names) != 1 {
		t.Errorf("leases %v, want only the own", names)
	}
}
