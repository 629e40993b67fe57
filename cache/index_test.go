package cache

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/cache/fault"
)

func TestEntryRoundTrip(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	a, b := blob("a", 100), blob("b", 200)
	e := entryOf("round", output("model", Durable, a, b), output("hidden", Transient, blob("h", 5)))
	e.Metrics = json.RawMessage(`{"note":"a<b & c","loss":2.5e-3}`)
	e.PeakBytes = 1 << 40
	e.KeyRecord = mustPut(t, s, []byte("key record"))
	for _, x := range [][]byte{a, b, e.Outputs[0].Tree} {
		mustPut(t, s, x)
	}
	wantHit(t, s, e.Action, false)
	if err := s.PutEntry(e); err != nil {
		t.Fatal(err)
	}
	if !e.Created.IsZero() {
		t.Error("PutEntry changed its argument")
	}
	got, ok, err := s.GetEntry(e.Action)
	if !ok || err != nil {
		t.Fatalf("GetEntry = %v, %v", ok, err)
	}
	if got.Created.IsZero() {
		t.Error("Created is not set")
	}
	got.Created = e.Created
	want, _ := json.Marshal(e)
	have, _ := json.Marshal(got)
	if string(want) != string(have) || string(got.Metrics) != string(e.Metrics) {
		t.Errorf("entry came back as\n%s, want\n%s", have, want)
	}
	n := 0
	for x, err := range s.Entries() {
		if err != nil || x.Action != e.Action {
			t.Errorf("Entries: %v, %v", x, err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("Entries yields %d entries", n)
	}
}

func TestPutEntryRefusals(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	good := func() *Entry { return entryOf("refused", output("x", Transient, []byte("1"))) }
	for name, spoil := range map[string]func(*Entry){
		"action":         func(e *Entry) { e.Action = "abc" },
		"kernel":         func(e *Entry) { e.Kernel = "" },
		"seconds":        func(e *Entry) { e.Seconds = -1 },
		"peak":           func(e *Entry) { e.PeakBytes = -1 },
		"metrics":        func(e *Entry) { e.Metrics = json.RawMessage("{") },
		"key record":     func(e *Entry) { e.KeyRecord = "k" },
		"output name":    func(e *Entry) { e.Outputs[0].Name = "" },
		"output twice":   func(e *Entry) { e.Outputs = append(e.Outputs, e.Outputs[0]) },
		"class":          func(e *Entry) { e.Outputs[0].Class = "solid" },
		"bytes":          func(e *Entry) { e.Outputs[0].Bytes = -1 },
		"tree digest":    func(e *Entry) { e.Outputs[0].Digest = Sum(nil) },
		"tree not JSON":  func(e *Entry) { e.Outputs[0].Tree = []byte("["); e.Outputs[0].Digest = Sum([]byte("[")) },
		"leaf no digest": func(e *Entry) { setTree(e, `{"entries":[{"digest":"../x"}]}`) },
		"leaf size":      func(e *Entry) { setTree(e, `{"entries":[{"digest":"`+string(Sum(nil))+`","size":-1}]}`) },
	} {
		e := good()
		spoil(e)
		if err := s.PutEntry(e); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := s.PutEntry(good()); err != nil {
		t.Errorf("the unspoilt one: %v", err)
	}
}

func setTree(e *Entry, text string) {
	e.Outputs[0].Tree = []byte(text)
	e.Outputs[0].Digest = Sum(e.Outputs[0].Tree)
}

func TestPutEntryNeedsItsBlobs(t *testing.T) {
	a, b := blob("a", 10), blob("b", 10)
	for _, class := range []Class{Durable, Checkpoint} {
		s := openStore(t, t.TempDir(), Options{})
		e := entryOf("x", output("o", class, a, b))
		mustPut(t, s, e.Outputs[0].Tree)
		mustPut(t, s, a)
		var missing *MissingError
		if err := s.PutEntry(e); !errors.As(err, &missing) || len(missing.Blobs) != 1 || missing.Blobs[0] != Sum(b) || !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v; want blob %s missing", class, err, Sum(b).Short())
		}
		wantHit(t, s, e.Action, false)
		mustPut(t, s, b)
		if err := s.PutEntry(e); err != nil {
			t.Error(err)
		}
		wantHit(t, s, e.Action, true)
	}
}

// A wrong size in a manifest means a wrong manifest or a damaged blob; in
// either case the entry must not be served.
func TestManifestSizeIsChecked(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	a := blob("a", 10)
	e := entryOf("size", output("o", Durable, a))
	setTree(e, `{"entries":[{"name":"t","digest":"`+string(Sum(a))+`","size":11}]}`)
	mustPut(t, s, a)
	mustPut(t, s, e.Outputs[0].Tree)
	var missing *MissingError
	if err := s.PutEntry(e); !errors.As(err, &missing) {
		t.Errorf("PutEntry: %v", err)
	}
}

func TestMissingBlobIsAMiss(t *testing.T) {
	for _, c := range []struct {
		class Class
		hit   bool
	}{{Durable, false}, {Transient, true}, {Checkpoint, true}} {
		s := openStore(t, t.TempDir(), Options{})
		a := blob("a", 10)
		e := entryOf("x", output("o", c.class, a))
		mustPut(t, s, a)
		mustPut(t, s, e.Outputs[0].Tree)
		if err := s.PutEntry(e); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Remove(Sum(a)); n != 1 || err != nil {
			t.Fatalf("Remove = %v, %v", n, err)
		}
		if n, err := s.Remove(Sum(a)); n != 0 || err != nil {
			t.Fatalf("second Remove = %v, %v", n, err)
		}
		wantHit(t, s, e.Action, c.hit)
		if exists(s.shard(dirAct, e.Action)) != c.hit {
			t.Errorf("%s: entry is kept: %v, want %v", c.class, !c.hit, c.hit)
		}
	}
}

func TestConflict(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	first := publish(t, s, "x", 1, []byte("one"))
	again := entryOf("x", output("model", Durable, []byte("one")))
	if err := s.PutEntry(again); err != nil {
		t.Fatalf("the same outputs again: %v", err)
	}
	other := entryOf("x", output("model", Durable, []byte("two")))
	mustPut(t, s, []byte("two"))
	mustPut(t, s, other.Outputs[0].Tree)
	err := s.PutEntry(other)
	var c *Conflict
	if !errors.As(err, &c) || c.Have[0].Digest != first.Outputs[0].Digest || c.Got[0].Digest != other.Outputs[0].Digest {
		t.Fatalf("other outputs: %v", err)
	}
	if !strings.Contains(err.Error(), first.Outputs[0].Digest.Short()) || !strings.Contains(err.Error(), "test/x") {
		t.Errorf("message %q lacks the digest or the kernel", err)
	}
	if err := s.PutEntry(again); !errors.As(err, &c) {
		t.Errorf("the first result again, for a tainted action: %v", err)
	}
	// Not served, in this process or in another.
	for _, s := range []*Store{s, openStore(t, dir, Options{})} {
		if _, ok, err := s.GetEntry(first.Action); ok || !errors.As(err, &c) {
			t.Errorf("GetEntry of a tainted action = %v, %v", ok, err)
		}
	}
	if all, err := s.Taints(); err != nil || len(all) != 1 || all[0].Kernel != "test/x" {
		t.Errorf("Taints = %v, %v", all, err)
	}
	r, err := s.Check(t.Context(), CheckOptions{})
	if err != nil || len(r.Problems) != 1 || r.Problems[0].Kind != ProblemTaint {
		t.Errorf("Check: %v, %v", r.Problems, err)
	}
	if err := s.ClearTaint(first.Action); err != nil {
		t.Fatal(err)
	}
	wantHit(t, s, first.Action, false)
	if err := s.PutEntry(other); err != nil {
		t.Fatal(err)
	}
	wantHit(t, s, first.Action, true)
	// An output more or less is a conflict too, and a damaged mark still marks.
	more := entryOf("x", other.Outputs[0], output("extra", Transient))
	if err := s.PutEntry(more); !errors.As(err, &c) {
		t.Errorf("one more output: %v", err)
	}
	overwrite(t, s.taintPath(first.Action), []byte("?"))
	if _, ok, err := s.GetEntry(first.Action); ok || !errors.As(err, &c) {
		t.Errorf("GetEntry with a damaged mark = %v, %v", ok, err)
	}
}

func TestClassIsStrengthened(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	x := []byte("x")
	e := entryOf("x", output("o", Transient, x))
	if err := s.PutEntry(e); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, x)
	mustPut(t, s, e.Outputs[0].Tree)
	for _, c := range []struct{ put, want Class }{{Checkpoint, Checkpoint}, {Durable, Durable}, {Transient, Durable}} {
		e := entryOf("x", output("o", c.put, x))
		e.Seconds = 99 // not taken over
		if err := s.PutEntry(e); err != nil {
			t.Fatal(err)
		}
		got, _, err := s.GetEntry(e.Action)
		if err != nil || got.Outputs[0].Class != c.want || got.Seconds != 1 {
			t.Errorf("after %s: %+v, %v; want class %s", c.put, got, err, c.want)
		}
	}
}

func TestRecompute(t *testing.T) {
	dir := t.TempDir()
	e := publish(t, openStore(t, dir, Options{}), "x", 1, []byte("one"))
	s := openStore(t, dir, Options{Recompute: true})
	wantHit(t, s, e.Action, false)
	if err := s.PutEntry(e); err != nil {
		t.Error(err)
	}
	other := entryOf("x", output("model", Transient, []byte("two")))
	var c *Conflict
	if err := s.PutEntry(other); !errors.As(err, &c) {
		t.Errorf("a different result is not noticed: %v", err)
	}
}

func TestDefinitions(t *testing.T) {
	set := &fault.Set{}
	s := openStore(t, t.TempDir(), Options{Fault: set})
	def := key("def")
	if _, ok := s.GetDef(def); ok {
		t.Error("found before put")
	}
	for _, a := range []Digest{key("1"), key("2"), key("2")} {
		if err := s.PutDef(def, a); err != nil {
			t.Fatal(err)
		}
		if got, ok := s.GetDef(def); !ok || got != a {
			t.Errorf("GetDef = %s, %v; want %s", got, ok, a)
		}
	}
	if n := set.Hits(fault.Rename) - 2; n != 2 { // VERSION and the tag are two
		t.Errorf("%d definitions written, want 2: one did not change", n)
	}
	flipFile(t, s.shard(dirDef, def), 900)
	if got, ok := s.GetDef(def); ok {
		t.Errorf("damaged definition found: %s", got)
	}
	if exists(s.shard(dirDef, def)) {
		t.Error("damaged definition was not dropped")
	}
	if err := s.PutDef("x", def); err == nil {
		t.Error("PutDef of a key that is none")
	}
}

// The names of all blobs of an entry are durable before its own exists.
func TestOrderOfDurability(t *testing.T) {
	var renamed []string        // blobs not yet durable
	synced := map[string]bool{} // folders synced since the last rename into them
	set := &fault.Set{}         // nothing fires; only the order is recorded
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	set.Trace = func(p fault.Point, name string) {
		switch p {
		case fault.Rename:
			if strings.HasPrefix(name, filepath.Join(dir, dirBlobs)) {
				renamed = append(renamed, name)
				synced[filepath.Dir(name)] = false
			}
		case fault.SyncDir:
			synced[name] = true
		case fault.Index:
			if len(renamed) == 0 {
				t.Error("entry without any blob")
			}
			for _, r := range renamed {
				if !synced[filepath.Dir(r)] || !synced[filepath.Join(dir, dirBlobs)] {
					t.Errorf("blob %s is not durable when its entry is written", r)
				}
			}
		}
	}
	s.fault = set
	publish(t, s, "x", 1, blob("1", 10), blob("2", 10), blob("3", 10))
	if set.Hits(fault.Index) != 1 {
		t.Errorf("index was passed %d times", set.Hits(fault.Index))
	}
	// The same blobs again, from a process that did not write them: it cannot
	// know that they are durable and syncs them anew.
	s2 := openStore(t, dir, Options{})
	s2.fault = set
	clear(synced)
	publish(t, s2, "y", 1, blob("1", 10), blob("2", 10), blob("3", 10))
	if set.Hits(fault.Index) != 2 {
		t.Errorf("index was passed %d times", set.Hits(fault.Index))
	}
	if _, err := os.Stat(s.shard(dirAct, key("y"))); err != nil {
		t.Error(err)
	}
}
