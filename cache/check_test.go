package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestCheckSubsets(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	const blobs, parts = 40, 4
	for i := range blobs {
		mustPut(t, s, blob(fmt.Sprint("s", i), 100))
	}
	hashed := 0
	for k := 1; k <= parts; k++ {
		r, err := s.Check(t.Context(), CheckOptions{Subset: [2]int{k, parts}})
		if err != nil || !r.Clean() || r.Blobs != blobs {
			t.Fatalf("%+v, %v", r, err)
		}
		if r.Hashed.Files == 0 || r.Hashed.Files == blobs {
			t.Errorf("part %d of %d hashes %d of %d blobs", k, parts, r.Hashed.Files, blobs)
		}
		hashed += r.Hashed.Files
	}
	if hashed != blobs {
		t.Errorf("all parts together hash %d of %d blobs", hashed, blobs)
	}
	if r, err := s.Check(t.Context(), CheckOptions{}); err != nil || r.Hashed.Files != 0 {
		t.Errorf("without a subset %d blobs are hashed, %v", r.Hashed.Files, err)
	}
	for _, bad := range [][2]int{{0, 1}, {2, 1}, {-1, 3}, {1, 0}, {1, -1}} {
		if _, err := s.Check(t.Context(), CheckOptions{Subset: bad}); err == nil {
			t.Errorf("subset %v is accepted", bad)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Check(ctx, CheckOptions{Full: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

// Each kind of problem is found, and a repair leaves a store in which what was
// good still is.
func TestCheckKinds(t *testing.T) {
	good := blob("good", 100)
	for _, c := range []struct {
		kind  string
		spoil func(t *testing.T, s *Store) // the entry "bad" has the leaf "bad"
		hit   bool                         // is "bad" still a hit after the repair
	}{
		{ProblemMissing, func(t *testing.T, s *Store) {
			if _, err := s.Remove(Sum(blob("bad", 100))); err != nil {
				t.Fatal(err)
			}
		}, false},
		{ProblemSize, func(t *testing.T, s *Store) { overwrite(t, s.shard(dirBlobs, Sum(blob("bad", 100))), []byte("short")) }, false},
		{ProblemContent, func(t *testing.T, s *Store) { flipFile(t, s.shard(dirBlobs, Sum(blob("bad", 100))), 77) }, false},
		{ProblemRecord, func(t *testing.T, s *Store) { flipFile(t, s.shard(dirAct, key("bad")), 999) }, false},
		{ProblemRecord, func(t *testing.T, s *Store) { // a whole entry under another's name
			data, err := os.ReadFile(s.shard(dirAct, key("good")))
			if err != nil {
				t.Fatal(err)
			}
			overwrite(t, s.shard(dirAct, key("bad")), data)
		}, false},
		{ProblemStray, func(t *testing.T, s *Store) {
			if err := os.WriteFile(filepath.Join(s.dir, dirBlobs, "notes.txt"), []byte("hi"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, true},
		{ProblemStray, func(t *testing.T, s *Store) { // a blob in another's shard
			d := Sum([]byte("elsewhere"))
			dir := filepath.Join(s.dir, dirBlobs, "zz")
			if err := errors.Join(os.Mkdir(dir, 0o777), os.WriteFile(filepath.Join(dir, string(d)), []byte("elsewhere"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}, true},
		{ProblemStray, func(t *testing.T, s *Store) {
			if err := os.WriteFile(filepath.Join(s.dir, dirRuns, "run.txt"), []byte("hi"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, true},
		{ProblemSource, func(t *testing.T, s *Store) {
			path := source(t, s, blob("src", 100))
			d := Sum(blob("src", 100))
			if err := errors.Join(s.AddExternal(d, External{path, 0, 100}), os.Remove(path)); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		t.Run(c.kind, func(t *testing.T) {
			s := openStore(t, t.TempDir(), Options{})
			publish(t, s, "good", 1, good)
			publish(t, s, "bad", 1, blob("bad", 100))
			wantClean(t, s)
			c.spoil(t, s)
			r, err := s.Check(t.Context(), CheckOptions{Full: true})
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, p := range r.Problems {
				found = found || p.Kind == c.kind
				if p.Repaired || p.String() == "" {
					t.Errorf("without repair: %+v", p)
				}
			}
			if !found {
				t.Errorf("found %v, want a problem of kind %s", r.Problems, c.kind)
			}
			if r, err = s.Check(t.Context(), CheckOptions{Full: true, Repair: true}); err != nil || r.Clean() {
				t.Errorf("repair: %+v, %v", r, err)
			}
			for _, p := range r.Problems {
				if !p.Repaired {
					t.Errorf("not repaired: %v", p)
				}
			}
			wantClean(t, s)
			wantHit(t, s, key("good"), true)
			wantHit(t, s, key("bad"), c.hit)
			publish(t, s, "bad", 1, blob("bad", 100))
			wantHit(t, s, key("bad"), true)
			wantBlob(t, s, Sum(blob("bad", 100)), blob("bad", 100))
		})
	}
}

func TestUsage(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	publish(t, s, "x", 1, blob("x", 1000))
	if err := s.PutDef(key("d"), key("x")); err != nil {
		t.Fatal(err)
	}
	w, err := s.Writer()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	u, err := s.Usage()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		got  Count
		want int
	}{
		"blobs": {u.Blobs, 2}, "entries": {u.Entries, 1}, "definitions": {u.Definitions, 1},
		"leases": {u.Leases, 1}, "tmp": {u.Tmp, 1}, "runs": {u.Runs, 0}, "trash": {u.Trash, 0},
	} {
		if c.got.Files != c.want {
			t.Errorf("%s: %+v, want %d files", name, c.got, c.want)
		}
	}
	if want := int64(1000 + len(tree(blob("x", 1000)))); u.Blobs.Bytes != want {
		t.Errorf("%d bytes of blobs, want %d", u.Blobs.Bytes, want)
	}
	if total := u.Total(); total.Files != 6 || total.Bytes < u.Blobs.Bytes+u.Entries.Bytes {
		t.Errorf("total %+v of %+v", total, u)
	}
}
