package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/compressc/compressc/cache/fault"
)

func TestOpenErrors(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	if _, err := s.Open(key("nothing")); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open of nothing: %v", err)
	}
	if _, err := s.Size(key("nothing")); !errors.Is(err, ErrNotFound) {
		t.Errorf("Size of nothing: %v", err)
	}
}

// When damage is noticed depends on the mode; that it is never noticed by
// serving it twice does not.
func TestVerifyModes(t *testing.T) {
	for _, c := range []struct {
		mode                VerifyMode
		fresh, after, whole bool // is damage noticed: at first, after a good read, while held
	}{
		{VerifyFirst, true, false, false},
		{VerifyFull, true, true, true},
		{VerifyNone, false, false, false},
	} {
		t.Run(string(c.mode), func(t *testing.T) {
			data := blob("v", 5000)
			check := func(name string, noticed bool, prepare func(t *testing.T, s *Store, d Digest)) {
				t.Run(name, func(t *testing.T) {
					s := openStore(t, t.TempDir(), Options{Verify: c.mode})
					d := mustPut(t, s, data)
					prepare(t, s, d)
					flipFile(t, s.shard(dirBlobs, d), 12345)
					b, err := s.Open(d)
					if err == nil {
						b.Release()
					}
					if errors.Is(err, ErrCorrupt) != noticed {
						t.Fatalf("Open = %v; damage noticed should be %v", err, noticed)
					}
					if !noticed {
						return
					}
					if q, _ := os.ReadDir(filepath.Join(s.dir, dirQuarantine)); len(q) != 1 {
						t.Errorf("%d files in quarantine/, want 1", len(q))
					}
					if s.Has(d) {
						t.Error("the damaged blob is still there")
					}
					mustPut(t, s, data)
					wantBlob(t, s, d, data)
				})
			}
			check("first use", c.fresh, func(*testing.T, *Store, Digest) {})
			check("used before", c.after, func(t *testing.T, s *Store, d Digest) { wantBlob(t, s, d, data) })
			check("in use", c.whole, func(t *testing.T, s *Store, d Digest) {
				b, err := s.Open(d)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(b.Release)
			})
		})
	}
}

// A blob that was quarantined and put again is another file, and verified anew.
func TestReplacedBlobIsVerifiedAgain(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	data := blob("r", 5000)
	d := mustPut(t, s, data)
	wantBlob(t, s, d, data)
	path := s.shard(dirBlobs, d)
	bad := append([]byte{data[0] ^ 1}, data[1:]...)
	if err := os.WriteFile(path+".new", bad, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(d); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Open: %v", err)
	}
}

// A caller that names another digest than that of its bytes gets a blob that is
// damaged from the beginning: nobody reads it, in no process, and check names it.
func TestPutAs(t *testing.T) {
	dir := t.TempDir()
	data, other := blob("a", 5000), blob("b", 5000)
	d := Sum(data)
	s := openStore(t, dir, Options{})
	for range 2 {
		if err := s.PutAs(d, data); err != nil {
			t.Fatal(err)
		}
		wantBlob(t, s, d, data)
	}
	if err := s.PutAs("short", data); err == nil {
		t.Error("a digest that is none")
	}
	if _, err := s.Remove(d); err != nil {
		t.Fatal(err)
	}
	wrong := func() {
		if err := s.PutAs(d, other); err != nil {
			t.Fatal(err)
		}
	}
	wrong() // a file that is like the one whose hash was checked
	if _, err := s.Open(d); !errors.Is(err, ErrCorrupt) {
		t.Errorf("opened by the process that put it: %v", err)
	}
	wrong()
	r, err := s.Check(t.Context(), CheckOptions{Full: true})
	if err != nil || r.Clean() {
		t.Errorf("check: %v, %v", r.Problems, err)
	}
	later := openStore(t, dir, Options{})
	if _, err := later.Open(d); !errors.Is(err, ErrCorrupt) {
		t.Errorf("opened by another process: %v", err)
	}
	mustPut(t, later, data)
	wantBlob(t, later, d, data)
}

func TestPutOverATruncatedBlob(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	data := blob("p", 5000)
	d := mustPut(t, s, data)
	overwrite(t, s.shard(dirBlobs, d), data[:100])
	mustPut(t, s, data)
	wantBlob(t, s, d, data)
}

func TestBlobsShareOneMapping(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	data := blob("m", 10_000)
	d := mustPut(t, s, data)
	a, err := s.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	if &a.Bytes()[0] != &b.Bytes()[0] {
		t.Error("two mappings of one blob")
	}
	if n, err := s.Remove(d); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	a.Release()
	a.Release()
	if got := b.Bytes(); Sum(got) != d || b.Digest() != d || b.Check() != nil {
		t.Error("a removed blob is not readable by its holder")
	}
	if err := s.Close(); err == nil {
		t.Error("Close does not notice a held blob")
	}
	b.Release()
	defer func() {
		if recover() == nil {
			t.Error("Bytes after Release does not panic")
		}
	}()
	b.Bytes()
}

func TestManyGoroutines(t *testing.T) {
	set := &fault.Set{}
	s := openStore(t, t.TempDir(), Options{Fault: set})
	const blobs, workers, rounds = 10, 32, 20
	var data [blobs][]byte
	for i := range data {
		data[i] = blob(fmt.Sprint("g", i), 1000*(i+1))
	}
	var computed [blobs]int
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for r := range rounds {
				i := (w*7 + r*3) % blobs
				action := key(fmt.Sprint("go ", i))
				unlock, err := s.LockAction(t.Context(), action, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if _, ok, err := s.GetEntry(action); err != nil {
					t.Error(err)
				} else if !ok {
					computed[i]++ // the action's lock guards it
					publish(t, s, fmt.Sprint("go ", i), 1, data[i])
				}
				unlock()
				b, err := s.Open(Sum(data[i]))
				if err != nil {
					t.Error(err)
					return
				}
				if Sum(b.Bytes()) != Sum(data[i]) {
					t.Error("wrong bytes")
				}
				b.Release()
				// Without the lock, all at once: writing is idempotent.
				if _, err := s.Put(data[(i+1)%blobs]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i, n := range computed {
		if n != 1 {
			t.Errorf("action %d was computed %d times", i, n)
		}
	}
	if n := set.Hits(fault.Index); n != blobs {
		t.Errorf("%d entries written, want %d", n, blobs)
	}
	if len(s.maps) != 0 {
		t.Errorf("%d mappings left", len(s.maps))
	}
	r, err := s.Check(t.Context(), CheckOptions{Full: true})
	if err != nil || !r.Clean() || r.Entries != blobs || r.Blobs != 2*blobs {
		t.Errorf("Check: %+v, %v", r, err)
	}
}

func TestUseIsNotedHourly(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	e := publish(t, s, "x", 1, []byte("x"))
	paths := []string{s.shard(dirBlobs, Sum([]byte("x"))), s.shard(dirAct, e.Action)}
	for _, c := range []struct {
		age   time.Duration
		moves bool
	}{{30 * time.Minute, false}, {2 * time.Hour, true}} {
		for _, p := range paths {
			age(t, p, c.age)
		}
		wantHit(t, s, e.Action, true)
		for _, p := range paths {
			info, err := os.Stat(p)
			if err != nil {
				t.Fatal(err)
			}
			if moved := time.Since(info.ModTime()) < time.Minute; moved != c.moves {
				t.Errorf("%s, last used %v ago: use noted %v, want %v", p, c.age, moved, c.moves)
			}
		}
	}
}

// age makes a file look as if it was last used that long ago.
func age(t testing.TB, path string, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkPut4K(b *testing.B) {
	s := openStore(b, b.TempDir(), Options{})
	for i := range b.N {
		mustPut(b, s, blob(fmt.Sprint(i), 4096))
	}
}

func BenchmarkGetEntry(b *testing.B) {
	s := openStore(b, b.TempDir(), Options{})
	var leaves [][]byte
	for i := range 9 {
		leaves = append(leaves, blob(fmt.Sprint(i), 100))
	}
	e := publish(b, s, "x", 1, leaves...)
	for b.Loop() {
		wantHit(b, s, e.Action, true)
	}
}
