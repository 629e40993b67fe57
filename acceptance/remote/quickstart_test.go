package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/record"
)

// client is a machine with an empty cache and a copy of the quickstart.
type client struct {
	g     *grid
	dir   string
	flags []string
	errs  *bytes.Buffer
}

func (g *grid) client(flags ...string) *client {
	g.t.Helper()
	c := &client{g: g, dir: g.t.TempDir(), flags: flags}
	if err := os.CopyFS(filepath.Join(c.dir, "quickstart"), os.DirFS("../../examples/pipelines/quickstart")); err != nil {
		g.t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(c.dir, "quickstart", "out")); err != nil {
		g.t.Fatal(err)
	}
	return c
}

// run runs the quickstart. during, if not nil, is called once the program has
// been started.
func (c *client) run(during func()) *record.Record {
	c.g.t.Helper()
	args := append([]string{"run", "-cache-dir", filepath.Join(c.dir, "cache"), "-json", "-progress", "plain"}, c.flags...)
	cmd := exec.Command(c.g.program, append(args, filepath.Join(c.dir, "quickstart"))...)
	var out bytes.Buffer
	c.errs = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = &out, c.errs
	start := time.Now()
	if err := cmd.Start(); err != nil {
		c.g.t.Fatal(err)
	}
	if during != nil {
		during()
	}
	if err := cmd.Wait(); err != nil {
		c.g.t.Fatalf("%v: %s%s", err, c.errs, &out)
	}
	rec := &record.Record{}
	if err := json.Unmarshal(out.Bytes(), rec); err != nil {
		c.g.t.Fatal(err)
	}
	c.g.t.Logf("%s: %d actions, %d cached, %d run, workers %v, in %v", strings.Join(c.flags, " "), rec.Actions.Total, rec.Actions.Cached, rec.Actions.Run, workers(rec), time.Since(start).Round(100*time.Millisecond))
	return rec
}

// onRecord waits until so many actions are in the client's index.
func (c *client) onRecord(n int) {
	c.g.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if m, err := filepath.Glob(filepath.Join(c.dir, "cache", "act", "*", "*")); err == nil && len(m) >= n {
			return
		}
		if time.Now().After(end) {
			c.g.t.Fatalf("there are no %d results", n)
		}
	}
}

// result lists what a run yielded: digests of nodes, metrics, and files' bytes.
func (c *client) result(rec *record.Record) string {
	c.g.t.Helper()
	var b strings.Builder
	for _, n := range rec.Nodes {
		fmt.Fprintln(&b, n.Name, n.Point, n.Digest)
	}
	for _, e := range rec.Evaluations {
		fmt.Fprintf(&b, "%s %v %s\n", e.Name, e.Point, e.Report)
	}
	root := filepath.Join(c.dir, "quickstart", "out")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if path == root && errors.Is(err, fs.ErrNotExist) {
			return nil // a gate withheld the exports
		}
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintln(&b, strings.TrimPrefix(path, root), artifact.Sum(data))
		return err
	})
	if err != nil {
		c.g.t.Fatal(err)
	}
	return b.String()
}

// workers counts a run's actions by who did them; one that several nodes share
// counts with each.
func workers(rec *record.Record) map[string]int {
	m := map[string]int{}
	for _, n := range rec.Nodes {
		for w, k := range n.Workers {
			m[w] += k
		}
	}
	return m
}

func sum(m map[string]int) int {
	n := 0
	for _, k := range m {
		n += k
	}
	return n
}

func TestQuickstart(t *testing.T) {
	g := newGrid(t)
	local := g.client()
	want := local.result(local.run(nil))
	same := func(c *client, rec *record.Record) {
		t.Helper()
		if got := c.result(rec); got != want {
			t.Errorf("%v: it yielded\n%s\nand by itself\n%s", c.flags, got, want)
		}
	}
	// The server is slow to answer on a busy machine, where one second is not much.
	grid := []string{"-executor", g.address(), "-remote-timeout", "20s"}

	// Two workers, one flag (the timeout aside), nothing in the cache: everything
	// is done by them, and blocks that do not depend on each other by both.
	g.work("1")
	g.work("2")
	c := g.client(grid...)
	rec := c.run(nil)
	same(c, rec)
	if rec.Actions.Cached > 0 || sum(workers(rec)) < rec.Actions.Run || len(workers(rec)) != 2 {
		t.Errorf("actions %+v, workers %v\n%s", rec.Actions, workers(rec), c.errs)
	}
	for _, n := range rec.Nodes {
		if n.Name == "prune.naive" && len(n.Workers) != 2 {
			t.Errorf("the blocks of %s, which depend on nothing, were done by %v", n.Name, n.Workers)
		}
	}

	// Another client finds everything done; so does one that only uses the cache.
	for _, flags := range [][]string{grid, {"-remote-cache", g.address(), "-remote-timeout", "20s"}} {
		c = g.client(flags...)
		rec = c.run(nil)
		same(c, rec)
		if rec.Actions.Run > 0 || sum(workers(rec)) > 0 {
			t.Errorf("%v: actions %+v, workers %v", flags, rec.Actions, workers(rec))
		}
	}

	// With other bits there is something to do: one worker dies doing it.
	local3 := g.client("-var", "bits=3")
	want = local3.result(local3.run(nil))
	g.work("mortal")
	c = g.client(append(grid, "-var", "bits=3")...)
	rec = c.run(func() {
		g.busy("mortal")
		g.killWorker("mortal")
	})
	same(c, rec)
	if rec.Actions.Failed > 0 || rec.Actions.Run == 0 || sum(workers(rec)) < rec.Actions.Run || workers(rec)["mortal"] > 0 {
		t.Errorf("a worker died: actions %+v, workers %v\n%s", rec.Actions, workers(rec), c.errs)
	}

	shared := rec.Actions.Cached // those that do not depend on the bits

	// With others again, the server dies: what is left is done here.
	local8 := g.client("-var", "bits=8")
	want = local8.result(local8.run(nil))
	c = g.client(append(grid, "-var", "bits=8")...)
	rec = c.run(func() {
		c.onRecord(shared + 8)
		g.kill()
	})
	same(c, rec)
	if n := sum(workers(rec)); n == 0 || n >= rec.Actions.Run {
		t.Errorf("the server died: actions %+v, workers %v", rec.Actions, workers(rec))
	}
	if !strings.Contains(c.errs.String(), "going on without it") {
		t.Errorf("not a word about the server:\n%s", c.errs)
	}

	// It comes back, and the workers with it.
	g.start()
	local2 := g.client("-var", "group_size=32")
	want = local2.result(local2.run(nil))
	c = g.client(append(grid, "-var", "group_size=32")...)
	rec = c.run(nil)
	same(c, rec)
	if sum(workers(rec)) < rec.Actions.Run || rec.Actions.Run == 0 {
		t.Errorf("the server is back: actions %+v, workers %v\n%s", rec.Actions, workers(rec), c.errs)
	}
}
