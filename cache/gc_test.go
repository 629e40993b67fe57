package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// filled makes a store with entries e0, e1, … of the given costs, each with a
// blob of its own of the given size, last used so many hours ago. The process
// that made them is gone.
type filled struct {
	seconds float64
	bytes   int
	hours   int
}

func fill(t testing.TB, dir string, entries []filled) {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range entries {
		publish(t, s, fmt.Sprint("e", i), f.seconds, blob(fmt.Sprint("e", i), f.bytes))
	}
	for i, f := range entries {
		by := time.Duration(f.hours) * time.Hour
		age(t, s.shard(dirAct, key(fmt.Sprint("e", i))), by)
		leaf := blob(fmt.Sprint("e", i), f.bytes)
		age(t, s.shard(dirBlobs, Sum(leaf)), by)
		age(t, s.shard(dirBlobs, Sum(tree(leaf))), by)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// left lists the entries e0, e1, … that are still there with their bytes,
// without using them. One whose bytes are evicted is "(e0)".
func left(s *Store, n int) string {
	var names []string
	for i := range n {
		name := fmt.Sprint("e", i)
		e, _, err := s.readEntry(key(name))
		switch {
		case err != nil || e == nil:
		case e.Outputs[0].Class == Evicted:
			names = append(names, "("+name+")")
		default:
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

func record(pipeline string, at time.Time, roots ...Digest) []byte {
	var quoted []string
	for _, r := range roots {
		quoted = append(quoted, `"`+string(r)+`"`)
	}
	return fmt.Appendf(nil, `{"pipeline":%q,"time":%q,"roots":[%s]}`, pipeline, at.Format(time.RFC3339), strings.Join(quoted, ","))
}

func TestGCPolicies(t *testing.T) {
	entries := []filled{
		{seconds: 100, bytes: 10_000, hours: 30}, // e0: dear
		{seconds: 1, bytes: 10_000, hours: 60},   // e1: cheap
		{seconds: 1, bytes: 1_000, hours: 90},    // e2: cheap, but frees little
		{seconds: 1, bytes: 10_000, hours: 50},   // e3: cheap, used after e1
		{seconds: 0, bytes: 10_000, hours: 1},    // e4: young
	}
	e := func(i int) Digest { return key(fmt.Sprint("e", i)) }
	const trees = 5 * 150 // about
	for _, c := range []struct {
		name string
		opts GCOptions
		runs func(t *testing.T, s *Store)
		want string
	}{
		{name: "no limits take all that is old", want: "e4"},
		{name: "no age is spared", opts: GCOptions{MinAge: -1}, want: ""},
		{name: "age", opts: GCOptions{MaxAge: 55 * time.Hour}, want: "e0 e3 e4"},
		{name: "age below the spared age", opts: GCOptions{MaxAge: time.Minute}, want: "e4"},
		{name: "size already fits", opts: GCOptions{MaxBytes: 50_000}, want: "e0 e1 e2 e3 e4"},
		{name: "size takes the cheapest per byte, the older of equals", opts: GCOptions{MaxBytes: 31_000 + trees}, want: "e0 (e1) e2 e3 e4"},
		{name: "size takes two", opts: GCOptions{MaxBytes: 21_000 + trees}, want: "e0 (e1) e2 (e3) e4"},
		{name: "size takes three", opts: GCOptions{MaxBytes: 20_500 + trees}, want: "e0 (e1) (e2) (e3) e4"},
		{name: "size cannot take the young", opts: GCOptions{MaxBytes: 1}, want: "(e0) (e1) (e2) (e3) e4"},
		{name: "age and size", opts: GCOptions{MaxAge: 80 * time.Hour, MaxBytes: 30_000 + trees}, want: "e0 (e1) e3 e4"},
		{name: "roots", opts: GCOptions{Roots: []Digest{e(1)}}, want: "e1 e4"},
		{name: "a root that is a blob keeps no entry", opts: GCOptions{Roots: []Digest{Sum(blob("e1", 10_000))}}, want: "e4"},
		{name: "runs", want: "e1 e3 e4", runs: func(t *testing.T, s *Store) {
			for _, r := range [][]byte{record("p", time.Now(), e(1)), record("q", time.Now(), e(3))} {
				if _, err := s.AppendRun(r); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{name: "last run of each pipeline", opts: GCOptions{KeepRuns: 1}, want: "e0 e3 e4", runs: func(t *testing.T, s *Store) {
			for _, r := range [][]byte{record("p", time.Now(), e(1)), record("p", time.Now(), e(3)), record("q", time.Now(), e(0))} {
				if _, err := s.AppendRun(r); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{name: "no run", opts: GCOptions{KeepRuns: -1}, want: "e4", runs: func(t *testing.T, s *Store) {
			if _, err := s.AppendRun(record("p", time.Now(), e(1))); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a run that was killed", want: "e1 e4", runs: func(t *testing.T, s *Store) {
			r, err := s.BeginRun("p")
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Root(e(1)); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a run that was killed and done later", opts: GCOptions{KeepRuns: 1}, want: "e2 e4", runs: func(t *testing.T, s *Store) {
			r, err := s.BeginRun("p")
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Root(e(1)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.AppendRun(record("p", time.Now(), e(2))); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "dry run", opts: GCOptions{DryRun: true}, want: "e0 e1 e2 e3 e4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir, entries)
			s := openStore(t, dir, Options{})
			if c.runs != nil {
				c.runs(t, s)
			}
			before, err := s.Usage()
			if err != nil {
				t.Fatal(err)
			}
			opts := c.opts
			opts.DryRun = true
			predicted, err := s.GC(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.GC(t.Context(), c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if got := left(s, len(entries)); got != c.want {
				t.Errorf("left are %q, want %q", got, c.want)
			}
			if predicted != r {
				t.Errorf("a dry run said\n%+v, then came\n%+v", predicted, r)
			}
			after, err := s.Usage()
			if err != nil {
				t.Fatal(err)
			}
			if !c.opts.DryRun {
				if r.Entries.Files != before.Entries.Files-after.Entries.Files || r.Blobs.Bytes != before.Blobs.Bytes-after.Blobs.Bytes {
					t.Errorf("report %+v does not match usage %+v, then %+v", r, before, after)
				}
				if r.Kept != after.Blobs || after.Trash != r.Blobs {
					t.Errorf("report %+v: kept or trashed does not match usage %+v", r, after)
				}
			}
			if c.opts.MaxBytes > 0 && r.Over != max(0, after.Blobs.Bytes-c.opts.MaxBytes) {
				t.Errorf("over %d with %d blob bytes left", r.Over, after.Blobs.Bytes)
			}
			wantClean(t, s)
		})
	}
}

// What a taken entry shares with one that stays, stays.
func TestGCKeepsSharedBlobs(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	shared, own := blob("shared", 5000), blob("own", 5000)
	publish(t, s, "e0", 1, shared, own)
	keep := publish(t, s, "e1", 1, shared)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{})
	r, err := s.GC(t.Context(), GCOptions{MinAge: -1, Now: true, Roots: []Digest{keep.Action}})
	if err != nil || r.Entries.Files != 1 || r.Blobs.Files != 2 || r.Freed != r.Blobs {
		t.Errorf("GC = %+v, %v", r, err)
	}
	wantHit(t, s, keep.Action, true)
	wantBlob(t, s, Sum(shared), shared)
	if s.Has(Sum(own)) {
		t.Error("the blob of the taken entry alone is still there")
	}
	if u, err := s.Usage(); err != nil || u.Trash.Files != 0 {
		t.Errorf("trash holds %+v, %v; want nothing after Now", u.Trash, err)
	}
}

func TestTrash(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, []filled{{1, 5000, 30}, {1, 6000, 30}})
	s := openStore(t, dir, Options{})
	r, err := s.GC(t.Context(), GCOptions{})
	if err != nil || r.Entries.Files != 2 || r.Freed.Files != 0 {
		t.Fatalf("GC = %+v, %v", r, err)
	}
	// A blob that is wanted comes back from the trash, without being written.
	leaf := blob("e0", 5000)
	wantBlob(t, s, Sum(leaf), leaf)
	u, err := s.Usage()
	if err != nil || u.Trash.Files != 3 || u.Blobs.Files != 1 {
		t.Errorf("usage %+v, %v", u, err)
	}
	// The rest goes in the next cycle; what came back is leased.
	r, err = s.GC(t.Context(), GCOptions{MinAge: -1})
	if err != nil || r.Freed.Files != 3 || r.Blobs.Files != 0 {
		t.Errorf("second GC = %+v, %v", r, err)
	}
	wantBlob(t, s, Sum(leaf), leaf)
	if s.Has(Sum(blob("e1", 6000))) {
		t.Error("still there after two cycles")
	}
}

// Between gc's look and its grasp somebody takes a lease, or uses a file.
func TestGCLooksAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		use  func(t *testing.T, s *Store)
	}{
		{"lease", func(t *testing.T, s *Store) {
			if err := s.Lease(key("e0")); err != nil {
				t.Fatal(err)
			}
		}},
		{"use", func(t *testing.T, s *Store) { age(t, s.shard(dirAct, key("e0")), 0) }},
		{"lookup", func(t *testing.T, s *Store) { wantHit(t, s, key("e0"), true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir, []filled{{1, 5000, 30}, {1, 6000, 30}})
			s, other := openStore(t, dir, Options{}), openStore(t, dir, Options{})
			g := &collector{s: s, opts: GCOptions{MinAge: DefaultMinAge, KeepRuns: 1}, now: time.Now(), leases: s.newLeases("")}
			if err := s.exclusive(g.leases.refresh); err != nil {
				t.Fatal(err)
			}
			if err := g.mark(); err != nil {
				t.Fatal(err)
			}
			victims, _ := g.choose()
			if len(victims) != 2 {
				t.Fatalf("%d victims", len(victims))
			}
			c.use(t, other)
			if err := errors.Join(g.takeEntries(t.Context(), victims, &g.report.Entries, g.takeOld, func(c *candidate) { c.taken = true }), g.takeBlobs(t.Context()), g.takeRecords(t.Context())); err != nil {
				t.Fatal(err)
			}
			if got := left(s, 2); got != "e0" {
				t.Errorf("left are %q, want e0", got)
			}
			wantHit(t, other, key("e0"), true)
			wantClean(t, s)
		})
	}
}

// An entry that appears after the marking protects its old blobs.
func TestGCSeesLateEntries(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, []filled{{1, 5000, 30}})
	s := openStore(t, dir, Options{})
	g := &collector{s: s, opts: GCOptions{MinAge: DefaultMinAge, KeepRuns: 1}, now: time.Now(), leases: s.newLeases("")}
	if err := errors.Join(s.exclusive(g.leases.refresh), g.mark()); err != nil {
		t.Fatal(err)
	}
	victims, _ := g.choose()
	other, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, other, "late", 1, blob("e0", 5000))
	if err := other.Close(); err != nil { // no lease helps any more
		t.Fatal(err)
	}
	if err := errors.Join(g.takeEntries(t.Context(), victims, &g.report.Entries, g.takeOld, func(c *candidate) { c.taken = true }), g.takeBlobs(t.Context())); err != nil {
		t.Fatal(err)
	}
	wantHit(t, s, key("late"), true)
	if left(s, 1) != "" {
		t.Error("e0 was not taken")
	}
}

func TestGCTakesRecords(t *testing.T) {
	dir := t.TempDir()
	old := 200 * 24 * time.Hour
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	kept := publish(t, s, "kept", 1, []byte("kept"))
	taken := publish(t, s, "taken", 1, []byte("taken"))
	path := source(t, s, []byte("source bytes"))
	digests, err := s.HashFile(path, []Range{{0, 6}})
	if err != nil {
		t.Fatal(err)
	}
	s.now = time.Now
	if err := errors.Join(
		s.PutDef(key("def kept"), kept.Action), s.PutDef(key("def taken"), taken.Action),
		s.AddExternal(digests[0], External{path, 0, 6}),
	); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 3 {
		id, err := s.AppendRun(record("p", time.Now().Add(-old), kept.Action))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	unlock, err := s.LockAction(t.Context(), key("held lock"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock() // a lock that nothing refers to ends with the garbage
	stale := s.shard(dirLocks, key("stale lock"))
	if err := errors.Join(os.MkdirAll(filepath.Dir(stale), 0o777), os.WriteFile(stale, []byte("process 1\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, kind := range layoutDirs {
		for f, err := range s.files(kind) {
			if err != nil {
				t.Fatal(err)
			}
			age(t, f.path(), old)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{})
	r, err := s.GC(t.Context(), GCOptions{KeepRuns: 1, MaxAge: 100 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	// def taken, the external and stat record, two runs, the stale lock.
	if r.Records.Files != 6 || r.Entries.Files != 1 {
		t.Errorf("report %+v", r)
	}
	if _, ok := s.GetDef(key("def kept")); !ok {
		t.Error("the definition of a kept action is gone")
	}
	if _, ok := s.GetDef(key("def taken")); ok {
		t.Error("the definition of a taken action is there")
	}
	if exists(s.shard(dirExt, digests[0])) {
		t.Error("an external record that nothing needs is there")
	}
	if exists(stale) {
		t.Error("the lock file of a dead process is there")
	}
	if !exists(s.shard(dirLocks, key("held lock"))) {
		t.Error("a held lock was taken")
	}
	for i, id := range ids {
		_, err := s.Run(id)
		if want := i < 2; errors.Is(err, ErrNotFound) != want {
			t.Errorf("run %d of 3: %v; should be gone: %v", i, err, want)
		}
	}
}

func TestGCRefusals(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	for _, o := range []GCOptions{{MaxBytes: -1}, {MaxAge: -1}, {Roots: []Digest{"x"}}} {
		if _, err := s.GC(t.Context(), o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	later(s, time.Hour)
	if _, err := s.GC(t.Context(), GCOptions{}); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("a clock that is an hour ahead: %v", err)
	}
}

func TestGCStopsBetweenBatches(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, []filled{{1, 100, 30}})
	s := openStore(t, dir, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.GC(ctx, GCOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("GC with an ended context: %v", err)
	}
	if left(s, 1) != "e0" {
		t.Error("it took something")
	}
	if _, err := s.GC(t.Context(), GCOptions{}); err != nil {
		t.Errorf("the next gc: %v", err)
	}
}

// Whatever the store and the limits: what is protected stays readable, check
// stays clean, and the size limit is met unless only protected things are left.
func TestGCProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "gc")
		if err != nil {
			rt.Fatal(err)
		}
		n := rapid.IntRange(1, 5).Draw(rt, "entries")
		entries := make([]filled, n)
		var bytes int64
		for i := range entries {
			entries[i] = filled{
				seconds: float64(rapid.IntRange(0, 3).Draw(rt, "seconds")),
				bytes:   rapid.IntRange(1, 2000).Draw(rt, "bytes"),
				hours:   rapid.IntRange(0, 60).Draw(rt, "hours"),
			}
			bytes += int64(entries[i].bytes)
		}
		fill(t, dir, entries)
		s, err := Open(dir, Options{})
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close()
		opts := GCOptions{
			MaxBytes: rapid.Int64Range(0, bytes+1000).Draw(rt, "max bytes"),
			MaxAge:   time.Duration(rapid.IntRange(0, 60).Draw(rt, "max age")) * time.Hour,
			Now:      rapid.Bool().Draw(rt, "now"),
		}
		rooted := rapid.IntRange(0, n-1).Draw(rt, "root")
		opts.Roots = []Digest{key(fmt.Sprint("e", rooted))}
		r, err := s.GC(t.Context(), opts)
		if err != nil {
			rt.Fatal(err)
		}
		if c, err := s.Check(t.Context(), CheckOptions{Full: true}); err != nil || !c.Clean() {
			rt.Errorf("check: %v, %v", c.Problems, err)
		}
		unprotected := 0
		for i, f := range entries {
			e, _, err := s.readEntry(key(fmt.Sprint("e", i)))
			if err != nil {
				rt.Fatal(err)
			}
			there := e != nil && e.Outputs[0].Class == Durable
			if protected := i == rooted || f.hours < 24; protected && !there {
				rt.Errorf("entry %d is gone", i)
			} else if !protected && there {
				unprotected++
			}
			if there {
				wantBlob(t, s, Sum(blob(fmt.Sprint("e", i), f.bytes)), blob(fmt.Sprint("e", i), f.bytes))
			}
		}
		if opts.MaxBytes > 0 && r.Over > 0 && unprotected > 0 {
			rt.Errorf("%d bytes over the limit with %d unprotected entries left", r.Over, unprotected)
		}
	})
}
