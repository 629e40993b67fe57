package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/cache/fault"
)

// openStore opens dir, which is closed when the test ends.
func openStore(t testing.TB, dir string, opts Options) *Store {
	t.Helper()
	if opts.Logf == nil {
		opts.Logf = t.Logf
	}
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustPut(t testing.TB, s *Store, data []byte) Digest {
	t.Helper()
	d, err := s.Put(data)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// read opens d and returns a copy of its bytes.
func read(s *Store, d Digest) ([]byte, error) {
	b, err := s.Open(d)
	if err != nil {
		return nil, err
	}
	defer b.Release()
	return bytes.Clone(b.Bytes()), nil
}

func wantBlob(t testing.TB, s *Store, d Digest, want []byte) {
	t.Helper()
	got, err := read(s, d)
	if err != nil {
		t.Errorf("blob %s: %v", d.Short(), err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("blob %s: got %d bytes, want %d others", d.Short(), len(got), len(want))
	}
}

// tree returns a manifest of the given blobs.
func tree(leaves ...[]byte) []byte {
	var b strings.Builder
	b.WriteString(`{"entries":[`)
	for i, l := range leaves {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"t%d","digest":"%s","size":%d}`, i, Sum(l), len(l))
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

func output(name string, class Class, leaves ...[]byte) Output {
	m := tree(leaves...)
	o := Output{Name: name, Digest: Sum(m), Tree: m, Class: class}
	for _, l := range leaves {
		o.Bytes += int64(len(l))
	}
	return o
}

// key makes an action key of any text.
func key(text string) Digest { return Sum([]byte("action " + text)) }

// publish stores an entry with one durable output of the given blobs, and the
// blobs.
func publish(t testing.TB, s *Store, name string, seconds float64, leaves ...[]byte) *Entry {
	t.Helper()
	e := entryOf(name, output("model", Durable, leaves...))
	e.Seconds = seconds
	for _, l := range leaves {
		mustPut(t, s, l)
	}
	mustPut(t, s, e.Outputs[0].Tree)
	if err := s.PutEntry(e); err != nil {
		t.Fatal(err)
	}
	return e
}

func entryOf(name string, outputs ...Output) *Entry {
	return &Entry{Action: key(name), Kernel: "test/" + name, Outputs: outputs, Producer: "v0", Seconds: 1}
}

func wantHit(t testing.TB, s *Store, action Digest, want bool) {
	t.Helper()
	_, ok, err := s.GetEntry(action)
	if err != nil || ok != want {
		t.Errorf("GetEntry(%s) = %v, %v; want %v", action.Short(), ok, err, want)
	}
}

// blob makes n bytes that differ from other seeds' bytes.
func blob(seed string, n int) []byte {
	out := make([]byte, 0, n+64)
	for i := 0; len(out) < n; i++ {
		out = append(out, Sum(fmt.Appendf(nil, "%s %d", seed, i))...)
	}
	return out[:n]
}

func TestPutAndOpen(t *testing.T) {
	for _, size := range []int{0, 1, 4095, 4096, 4097, writerBuffer, 1<<20 + 3} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			set := &fault.Set{}
			s := openStore(t, t.TempDir(), Options{Fault: set})
			data := blob("put", size)
			d := mustPut(t, s, data)
			if d != Sum(data) {
				t.Fatalf("digest %s, want %s", d, Sum(data))
			}
			wantBlob(t, s, d, data)
			if n, err := s.Size(d); err != nil || n != int64(size) {
				t.Errorf("Size = %d, %v", n, err)
			}
			info, err := os.Stat(s.shard(dirBlobs, d))
			if err != nil || info.Mode().Perm()&0o222 != 0 {
				t.Errorf("blob file: %v, %v; want it read-only", info.Mode(), err)
			}
			// The second time nothing is written, whichever way it comes.
			before := set.Hits(fault.Write)
			mustPut(t, s, data)
			if n := set.Hits(fault.Write) - before; n != 0 {
				t.Errorf("Put of a blob that exists wrote %d times", n)
			}
			syncs := set.Hits(fault.Sync)
			w, err := s.Writer()
			if err != nil {
				t.Fatal(err)
			}
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 1000)
				if _, err := w.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			got, n, err := w.Commit()
			if err != nil || got != d || n != int64(size) {
				t.Errorf("Commit = %s, %d, %v", got, n, err)
			}
			if set.Hits(fault.Sync) != syncs {
				t.Error("Commit of a blob that exists synced a file")
			}
			if left, _ := os.ReadDir(filepath.Join(s.dir, dirTmp)); len(left) != 0 {
				t.Errorf("%d files left in tmp/", len(left))
			}
		})
	}
}

func TestBlobWriterEnds(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	w, err := s.Writer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("dropped")); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	if s.Has(Sum([]byte("dropped"))) {
		t.Error("an aborted blob is visible")
	}
	if _, err := w.Write(nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Abort: %v", err)
	}
	if _, _, err := w.Commit(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Commit after Abort: %v", err)
	}
}

func TestInvalidDigestsNeverBecomePaths(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	for _, d := range []Digest{"", "ab", "../../etc/passwd", Digest(strings.Repeat("A", 64)), Digest(strings.Repeat("/", 64)), Digest(strings.Repeat("a", 65))} {
		if s.Has(d) {
			t.Errorf("Has(%q)", d)
		}
		if _, err := s.Open(d); err == nil {
			t.Errorf("Open(%q) succeeds", d)
		}
		if _, err := s.Remove(d); err == nil {
			t.Errorf("Remove(%q) succeeds", d)
		}
		if _, _, err := s.GetEntry(d); err == nil {
			t.Errorf("GetEntry(%q) succeeds", d)
		}
		if _, ok := s.GetDef(d); ok {
			t.Errorf("GetDef(%q)", d)
		}
		if err := s.Lease(d); err == nil {
			t.Errorf("Lease(%q) succeeds", d)
		}
		if _, err := s.LockAction(t.Context(), d, nil); err == nil {
			t.Errorf("LockAction(%q) succeeds", d)
		}
		if err := s.Sync(d); err == nil {
			t.Errorf("Sync(%q) succeeds", d)
		}
	}
	for _, id := range []string{"", "..", "../VERSION", "a/b", `a\b`, "nothing"} {
		if _, err := s.Run(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("Run(%q): %v", id, err)
		}
	}
}

func TestOpenStoreRefusals(t *testing.T) {
	version := func(text string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fileVersion), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "thesis.tex"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(home, "thesis.tex")
	for _, c := range []struct {
		name, dir, want string
	}{
		{"newer layout", version("compressc cache 2\n"), "knows versions up to 1"},
		{"garbage version", version("hello"), "expected \"compressc cache 1\""},
		{"somebody's folder", home, "thesis.tex"},
		{"a file", plain, "thesis.tex"},
		{"no name", "", "--cache-dir"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(c.dir, Options{})
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "--cache-dir") {
				t.Errorf("error %q does not mention %q and --cache-dir", err, c.want)
			}
			if names, _ := os.ReadDir(c.dir); len(names) > 1 {
				t.Errorf("something was created in a folder that is not ours: %v", names)
			}
		})
	}
	var v *VersionError
	if _, err := Open(version("compressc cache 7"), Options{}); !errors.As(err, &v) || v.Have != 7 {
		t.Errorf("newer layout: %v", err)
	}
	if _, err := Open(t.TempDir(), Options{Verify: "sometimes"}); err == nil {
		t.Error("unknown verify mode is accepted")
	}
	t.Setenv(fault.EnvVar, "nowhere:1")
	if _, err := Open(t.TempDir(), Options{}); err == nil {
		t.Error("unknown fault point is accepted")
	}
}

func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "down")
	data := blob("reopen", 5000)
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := publish(t, s, "a", 1, data)
	if err := s.PutDef(key("def"), e.Action); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{})
	wantHit(t, s, e.Action, true)
	wantBlob(t, s, Sum(data), data)
	if a, ok := s.GetDef(key("def")); !ok || a != e.Action {
		t.Errorf("GetDef = %s, %v", a, ok)
	}
	if got, err := os.ReadFile(filepath.Join(dir, fileVersion)); err != nil || string(got) != "compressc cache 1\n" {
		t.Errorf("VERSION: %q, %v", got, err)
	}
	if names, _ := os.ReadDir(filepath.Join(dir, dirLeases)); len(names) != 2 {
		t.Errorf("leases/ holds %v, want one lease and the removal lock", names)
	}
}

func TestDefaultDir(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "/x/y")
	if got, want := DefaultDir(), filepath.Join("/x/y", "compressc"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	t.Setenv("XDG_CACHE_HOME", "relative") // the XDG specification says to ignore it
	t.Setenv("HOME", "/home/u")
	if got := DefaultDir(); strings.Contains(got, "relative") {
		t.Errorf("%q", got)
	}
}

// flipFile flips a bit of a file in place, as a bad disk does.
func flipFile(t testing.TB, path string, bit int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bit %= 8 * len(data)
	data[bit/8] ^= 1 << (bit % 8)
	overwrite(t, path, data)
}

func overwrite(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// wantClean checks everything.
func wantClean(t *testing.T, s *Store) {
	t.Helper()
	r, err := s.Check(t.Context(), CheckOptions{Full: true})
	if err != nil {
		t.Error(err)
	}
	for _, p := range r.Problems {
		t.Errorf("check: %v", p)
	}
	if left, _ := os.ReadDir(filepath.Join(s.dir, dirTmp)); len(left) != 0 {
		t.Errorf("%d files left in tmp/", len(left))
	}
}
