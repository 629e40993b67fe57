package cache

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// FuzzParseEntry: whatever lies in the index, parsing gives an error or a
// valid entry of the right action that encodes to one equal to it.
func FuzzParseEntry(f *testing.F) {
	e := entryOf("fuzz", output("model", Durable, []byte("1"), []byte("2")), output("h", Transient))
	e.Metrics = json.RawMessage(`{"loss":1.5,"s":"<&>"}`)
	e.KeyRecord = Sum(nil)
	e.Created = time.Unix(1700000000, 5).UTC()
	data, err := e.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	body, err := unseal(kindEntry, data)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"action":"","outputs":[null]}`))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		// The seal would hide the parser: try the text with one, too.
		for _, text := range [][]byte{data, seal(kindEntry, data)} {
			e, err := parseEntry(text, key("fuzz"))
			if err != nil {
				continue
			}
			if e.Action != key("fuzz") {
				t.Fatal("an entry of another action")
			}
			again, err := e.encode()
			if err != nil {
				t.Fatal(err)
			}
			e2, err := parseEntry(again, key("fuzz"))
			if err != nil {
				t.Fatalf("its own encoding is refused: %v", err)
			}
			third, err := e2.encode()
			if err != nil || !bytes.Equal(again, third) {
				t.Fatalf("encoding is not stable, %v:\n%s\n%s", err, again, third)
			}
			e.blobs(isAny) // must not panic on what was accepted
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add([]byte(`[{"path":"/m","offset":1,"length":2,"stat":{"dev":1,"ino":2,"size":3,"mtime":4,"ctime":5}}]`))
	f.Add([]byte(`{"stat":{"ino":1},"ranges":[{"offset":0,"length":1,"digest":"` + string(Sum(nil)) + `"}]}`))
	f.Add([]byte(`{"pipeline":"p","time":"2024-01-02T03:04:05Z","roots":["` + string(Sum(nil)) + "\"]}\n" + string(Sum(nil))))
	f.Add([]byte(`{"entries":[{"digest":"` + string(Sum(nil)) + `","size":0}]}`))
	f.Add([]byte(Sum(nil)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if locs, err := parseLocations(seal(kindExternal, data)); err == nil {
			for _, l := range locs {
				if l.Path == "" || checkRange(Range{l.Offset, l.Length}, 1<<63-1) != nil {
					t.Errorf("location %+v", l)
				}
			}
		}
		if rec, err := parseStat(seal(kindStat, data)); err == nil {
			for _, r := range rec.Ranges {
				if !r.Digest.Valid() {
					t.Errorf("range %+v", r)
				}
			}
		}
		if d, err := parseDef(seal(kindDef, data)); err == nil && !d.Valid() {
			t.Errorf("definition %q", d)
		}
		for _, name := range []string{"r" + runSuffix, "r" + openSuffix} {
			text := data
			if name == "r"+runSuffix {
				text = seal(kindRun, data)
			}
			if r, err := parseRunFile(name, text); err == nil {
				for _, d := range r.Roots {
					if !d.Valid() {
						t.Errorf("root %q", d)
					}
				}
			}
		}
		if g, body, err := parseMemo(seal(kindMemo, data)); err == nil && len(g)+len(body)+1 != len(data) {
			t.Errorf("a memo of %d bytes from %d", len(g)+len(body), len(data))
		}
		if leaves, err := leavesOf(data); err == nil {
			for _, l := range leaves {
				if !l.Digest.Valid() || l.Size != nil && *l.Size < 0 {
					t.Errorf("leaf %+v", l)
				}
			}
		}
		for _, kind := range []string{kindEntry, kindRun} {
			body, err := unseal(kind, seal(kind, data))
			if err != nil || !bytes.Equal(body, data) {
				t.Errorf("seal and unseal: %v", err)
			}
		}
		if _, err := unseal(kindEntry, seal(kindRun, data)); err == nil {
			t.Error("a run's seal passes for an entry's")
		}
	})
}

// Any one bit flipped in a sealed record is noticed.
func TestSealNoticesEveryBit(t *testing.T) {
	data := seal(kindEntry, []byte(`{"a":1}`))
	for bit := range 8 * len(data) {
		bad := bytes.Clone(data)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, err := unseal(kindEntry, bad); err == nil {
			t.Errorf("bit %d", bit)
		}
	}
	for n := range data {
		if _, err := unseal(kindEntry, data[:n]); err == nil {
			t.Errorf("cut to %d bytes", n)
		}
	}
}
