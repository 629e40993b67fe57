package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// fillLarge writes a store of n entries with one blob each, two days old,
// without the syncs that make a real one slow to fill. Every entry reads what
// the one before it made.
func fillLarge(t testing.TB, dir string, n int) {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	old := time.Now().Add(-48 * time.Hour)
	write := func(path string, data []byte) {
		err := os.WriteFile(path, data, 0o444)
		if os.IsNotExist(err) {
			if err = os.MkdirAll(filepath.Dir(path), 0o777); err == nil {
				err = os.WriteFile(path, data, 0o444)
			}
		}
		if err == nil {
			err = os.Chtimes(path, old, old)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var before Digest
	for i := range n {
		name := fmt.Sprint("large ", i)
		data := blob(name, 200)
		e := entryOf(name, output("out", Durable, data))
		e.Seconds, e.Created = float64(i%97)/10, old
		if i%30 > 0 {
			e.Inputs = []Digest{before}
		}
		before = e.Outputs[0].Digest
		text, err := e.encode()
		if err != nil {
			t.Fatal(err)
		}
		write(s.shard(dirBlobs, Sum(data)), data)
		write(s.shard(dirBlobs, e.Outputs[0].Digest), e.Outputs[0].Tree)
		write(s.shard(dirAct, e.Action), text)
		write(s.shard(dirDef, key("def "+name)), seal(kindDef, []byte(e.Action)))
	}
}

// BenchmarkLarge is a cache of 100,000 entries: look-ups, du, a gc that only
// looks, and one that evicts a tenth, with the memory that the gc takes.
func BenchmarkLarge(b *testing.B) {
	const n = 100_000
	dir := b.TempDir()
	fillLarge(b, dir, n)
	s := openStore(b, dir, Options{})
	b.Run("lookup", func(b *testing.B) {
		i := 0
		for b.Loop() {
			if _, ok, err := s.GetEntry(key(fmt.Sprint("large ", i%n))); !ok || err != nil {
				b.Fatal(ok, err)
			}
			i += 7919
		}
	})
	b.Run("du", func(b *testing.B) {
		for b.Loop() {
			if u, err := s.Usage(); err != nil || u.Entries.Files != n {
				b.Fatal(u, err)
			}
		}
	})
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	s = openStore(b, dir, Options{})
	size := int64(0)
	gc := func(o GCOptions) func(b *testing.B) {
		return func(b *testing.B) {
			for b.Loop() {
				o.KeepRuns, o.MaxBytes = -1, size-size/10
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				r, err := s.GC(b.Context(), o)
				runtime.ReadMemStats(&after)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/(1<<20), "MiB-allocated")
				b.ReportMetric(float64(after.Sys)/(1<<20), "MiB-held")
				b.ReportMetric(float64(r.Evicted.Files), "evicted")
			}
		}
	}
	u, err := s.Usage()
	if err != nil {
		b.Fatal(err)
	}
	size = u.Blobs.Bytes
	b.Run("gc looks", gc(GCOptions{DryRun: true}))
	b.Run("gc evicts", gc(GCOptions{Now: true}))
}

// 32 goroutines at once, with gc, du and check beside: they
// put, look up, read and lock, and what each relies on is there.
func TestGoroutinesBesideMaintenance(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			for i := range 6 {
				name := fmt.Sprint("many ", (g+i*5)%24) // each by several
				data := blob(name, 3000)
				e := entryOf(name, output("out", Durable, data))
				unlock, err := s.LockAction(t.Context(), e.Action, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if _, ok, err := s.GetEntry(e.Action); err != nil {
					t.Error(err)
				} else if !ok {
					mustPut(t, s, data)
					mustPut(t, s, e.Outputs[0].Tree)
					if err := s.PutEntry(e); err != nil {
						t.Error(err)
					}
				}
				unlock()
				if err := s.PutDef(key("def "+name), e.Action); err != nil {
					t.Error(err)
				}
				if err := s.Remember(key("memo "+name), []byte(name)); err != nil {
					t.Error(err)
				}
				if body, ok := s.Recall(key("memo " + name)); ok && string(body) != name {
					t.Errorf("memo %q", body)
				}
				wantBlob(t, s, Sum(data), data)
				switch {
				case g == 0:
					// Everything is leased by this process, so it takes nothing.
					if r, err := s.GC(t.Context(), GCOptions{MinAge: -1, MaxBytes: 1, KeepRuns: -1}); err != nil || r.Blobs.Files > 0 {
						t.Errorf("gc: %+v, %v", r, err)
					}
				case g == 1:
					if _, err := s.Usage(); err != nil {
						t.Error(err)
					}
				case g == 2:
					if _, err := s.Check(t.Context(), CheckOptions{Full: true}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	wantClean(t, s)
}
