package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compressc/compressc/internal/record"
)

// longPipeline trains in chunks of five steps, each an action.
const longPipeline = `
model "base" {
  source = "model"
}

data "text" "calib" {
  source          = "text.txt"
  tokenizer       = model.base
  sequence_length = 32
  samples         = 4
}

retrain "lora" "healed" {
  model = model.base
  data  = data.calib
  rank  = 2
  steps = %d
}

evaluate "perplexity" "ppl" {
  model = retrain.healed
  data  = data.calib
}
`

// longRun makes a folder with a pipeline of so many training steps.
func longRun(t *testing.T, steps int) string {
	t.Helper()
	dir := t.TempDir()
	if err := writeModel(filepath.Join(dir, "model"), 32); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"text.txt": text(6000), "p.pipeline.hcl": fmt.Appendf(nil, longPipeline, steps)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// underWay is a process that runs a pipeline.
type underWay struct {
	cmd      *exec.Cmd
	out, err bytes.Buffer
	events   chan string
	done     chan error
}

// begin runs the program in a process of its own and hands out what it prints
// about its progress.
func begin(t *testing.T, dir string, args ...string) *underWay {
	t.Helper()
	u := &underWay{events: make(chan string, 10000), done: make(chan error, 1)}
	u.cmd = exec.Command("compressc", append(args, dir)...)
	u.cmd.Env = append(os.Environ(), "COMPRESSC_CACHE_DIR="+filepath.Join(dir, ".cache"))
	u.cmd.Stdout, u.cmd.Stderr = &u.out, lineWriter{&u.err, u.events}
	if err := u.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { u.done <- u.cmd.Wait() }()
	t.Cleanup(func() { u.cmd.Process.Kill() })
	return u
}

// lineWriter keeps what is written and hands on every write; the program
// writes whole lines.
type lineWriter struct {
	all    *bytes.Buffer
	events chan<- string
}

func (w lineWriter) Write(p []byte) (int, error) {
	w.all.Write(p)
	w.events <- string(p)
	return len(p), nil
}

// await waits until the program has printed what matches.
func (u *underWay) await(t *testing.T, pattern string) {
	t.Helper()
	if !u.printed(t, pattern) {
		t.Fatalf("never printed %s:\n%s", pattern, u.err.String())
	}
}

// printed waits until the program has printed what matches; it is false if the
// program ends without.
func (u *underWay) printed(t *testing.T, pattern string) bool {
	t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(patience)
	for {
		select {
		case line := <-u.events:
			if re.MatchString(line) {
				return true
			}
		case err := <-u.done:
			u.done <- err
			for { // what it printed last
				select {
				case line := <-u.events:
					if re.MatchString(line) {
						return true
					}
				default:
					return false
				}
			}
		case <-timeout:
			t.Fatalf("neither printed %s nor ended", pattern)
		}
	}
}

// patience is how long a process may take before it counts as stuck: nothing is
// said about speed.
const patience = 5 * time.Minute

// end waits for the process and returns its exit status.
func (u *underWay) end(t *testing.T) int {
	t.Helper()
	select {
	case err := <-u.done:
		var e *exec.ExitError
		if errors.As(err, &e) {
			return e.ExitCode()
		}
		if err != nil {
			t.Fatal(err)
		}
		return 0
	case <-time.After(patience):
		t.Fatalf("did not end:\n%s", u.err.String())
		return -1
	}
}

func (u *underWay) record(t *testing.T) record.Record {
	t.Helper()
	var rec record.Record
	if err := json.Unmarshal(u.out.Bytes(), &rec); err != nil {
		t.Fatalf("%v in %q, after\n%s", err, u.out.String(), u.err.String())
	}
	return rec
}

func digests(rec record.Record) string {
	var list []string
	for _, n := range rec.Nodes {
		list = append(list, n.Name+" "+n.Digest)
	}
	return strings.Join(list, "\n")
}

// An interrupted run ends with 130 and a record, keeps what it has finished,
// and the next run goes on from there to the same digests.
func TestInterruptAndResume(t *testing.T) {
	t.Parallel()
	const steps = 100
	want := begin(t, longRun(t, steps), "run", "-json")
	if code := want.end(t); code != ExitOK {
		t.Fatalf("exit status %d:\n%s", code, want.err.String())
	}
	whole := want.record(t)

	for _, c := range []struct {
		name    string
		signals int
	}{{"once", 1}, {"twice", 2}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, u := interrupted(t, steps, c.signals)
			part := u.record(t)
			if part.Status != record.Interrupted || part.Actions.Run == 0 || part.Actions.Skipped == 0 {
				t.Fatalf("status %s, %+v", part.Status, part.Actions)
			}
			if e := part.Evaluations[0]; e.Status != record.Skipped || metricCell(e, "perplexity").text != "not run" {
				t.Errorf("an evaluation that was not made is %s and shown as %q", e.Status, metricCell(e, "perplexity").text)
			}
			again := begin(t, dir, "run", "-json")
			if code := again.end(t); code != ExitOK {
				t.Fatalf("exit status %d:\n%s", code, again.err.String())
			}
			rest := again.record(t)
			if rest.Actions.Cached < part.Actions.Run-2 || rest.Actions.Run == 0 {
				t.Errorf("%d were finished, then %d were cached and %d run", part.Actions.Run, rest.Actions.Cached, rest.Actions.Run)
			}
			if got, want := digests(rest), digests(whole); got != want {
				t.Errorf("digests\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// interrupted begins a run and interrupts it so many times. A busy machine may
// let a run get to its end before the signal is there: then it begins another.
func interrupted(t *testing.T, steps, signals int) (dir string, u *underWay) {
	t.Helper()
	for range 20 {
		dir = longRun(t, steps)
		u = begin(t, dir, "run", "-json", "-progress", "json")
		u.await(t, `"action_finished".*"kernel":"train.chunk"`)
		sent := 0
		for ; sent < signals; sent++ {
			if err := u.cmd.Process.Signal(syscall.SIGINT); err != nil || !u.printed(t, `Interrupted`) {
				break
			}
		}
		switch code := u.end(t); {
		case code == ExitInterrupted:
			return dir, u
		case code != ExitOK:
			t.Fatalf("exit status %d, want %d:\n%s", code, ExitInterrupted, u.err.String())
		}
	}
	t.Fatal("no run could be interrupted before its end")
	return "", nil
}

// Killed runs leave no record; show says so, and the next run goes on.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := ""
	for range 20 {
		dir = longRun(t, 100)
		u := begin(t, dir, "run", "-progress", "json")
		u.await(t, `"action_finished".*"kernel":"train.chunk"`)
		if err := u.cmd.Process.Kill(); err == nil && u.end(t) != ExitOK {
			break
		}
	}
	list := begin(t, dir, "show", "-list")
	if code := list.end(t); code != ExitOK || !strings.Contains(list.out.String(), "open") {
		t.Errorf("exit status %d, %s%s", code, list.out.String(), list.err.String())
	}
	show := begin(t, dir, "show")
	if code := show.end(t); code != ExitError || !strings.Contains(show.err.String(), "has not been run") {
		t.Errorf("exit status %d, %s", code, show.err.String())
	}
	again := begin(t, dir, "run", "-json")
	if code := again.end(t); code != ExitOK {
		t.Fatalf("exit status %d:\n%s", code, again.err.String())
	}
	if rec := again.record(t); rec.Actions.Cached == 0 {
		t.Errorf("nothing was kept: %+v", rec.Actions)
	}
}
