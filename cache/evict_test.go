package cache

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// made is an entry to publish: what it takes to run, how many bytes it makes,
// and which earlier ones it reads.
type made struct {
	name    string
	seconds float64
	bytes   int
	reads   []string
	class   Class
	hours   int // since it was used
}

// publishAll publishes entries under their names.
func publishAll(t testing.TB, dir string, all []made) {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	trees := map[string]Digest{}
	for _, m := range all {
		if m.class == "" {
			m.class = Durable
		}
		data := blob(m.name, m.bytes)
		e := entryOf(m.name, output("out", m.class, data))
		e.Seconds = m.seconds
		for _, r := range m.reads {
			e.Inputs = append(e.Inputs, trees[r])
		}
		trees[m.name] = e.Outputs[0].Digest
		if m.class == Durable {
			mustPut(t, s, data)
			mustPut(t, s, e.Outputs[0].Tree)
		}
		if err := s.PutEntry(e); err != nil {
			t.Fatal(err)
		}
		by := time.Duration(m.hours) * time.Hour
		age(t, s.shard(dirAct, e.Action), by)
		if m.class == Durable {
			age(t, s.shard(dirBlobs, Sum(data)), by)
			age(t, s.shard(dirBlobs, e.Outputs[0].Digest), by)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// bytesLeft lists the entries that have their bytes.
func bytesLeft(t testing.TB, s *Store, all []made) string {
	t.Helper()
	var names []string
	for _, m := range all {
		e, _, err := s.readEntry(key(m.name))
		if err != nil || e == nil {
			t.Fatalf("entry %s: %v", m.name, err)
		}
		if e.Outputs[0].Class == Durable {
			if !s.Has(Sum(blob(m.name, m.bytes))) {
				t.Errorf("%s promises bytes that are gone", m.name)
			}
			names = append(names, m.name)
		}
	}
	return strings.Join(names, " ")
}

func TestEvict(t *testing.T) {
	const kb = 1000
	// A source, ten seconds to A, one more to B.
	chain := []made{{name: "A", seconds: 10, bytes: 50 * kb}, {name: "B", seconds: 1, bytes: 50 * kb, reads: []string{"A"}}}
	// Hidden states that are never stored make what reads them dear.
	deep := []made{
		{name: "h1", seconds: 30, bytes: 10, class: Transient},
		{name: "h2", seconds: 30, bytes: 10, class: Transient, reads: []string{"h1"}},
		{name: "late", seconds: 1, bytes: 50 * kb, reads: []string{"h2"}},
		{name: "early", seconds: 20, bytes: 50 * kb},
	}
	// Evicting both of a chain is dearer than what each costs alone.
	pair := append(chain[:2:2], made{name: "C", seconds: 3, bytes: 50 * kb})
	for _, c := range []struct {
		name    string
		all     []made
		size    int64
		rebuild time.Duration
		want    string
		over    bool
	}{
		{name: "the end of a chain is cheap", all: chain, size: 60 * kb, want: "A"},
		{name: "nothing has to go", all: chain, size: 200 * kb, want: "A B"},
		{name: "the bound allows B only", all: chain, size: 60 * kb, rebuild: 5 * time.Second, want: "A"},
		{name: "the bound allows B only, and more is wanted", all: chain, size: 10 * kb, rebuild: 5 * time.Second, want: "A", over: true},
		{name: "the bound allows nothing", all: chain, size: 60 * kb, rebuild: time.Second / 2, want: "A B", over: true},
		{name: "both within the bound", all: chain, size: 1 * kb, rebuild: 11 * time.Second, want: ""},
		{name: "A alone would be within the bound, A and B are not", all: chain, size: 1 * kb, rebuild: 10500 * time.Millisecond, want: "A", over: true},
		{name: "what hangs on transient values is dear", all: deep, size: 60 * kb, want: "late"},
		{name: "unless it is not wanted any more", all: append(deep[:2:2], made{name: "late", seconds: 1, bytes: 50 * kb, reads: []string{"h2"}, hours: 24 * 60}, deep[3]), size: 60 * kb, want: "early"},
		{name: "two of three", all: pair, size: 60 * kb, want: "A"},
		{name: "the clock was set back after they were used", all: []made{
			{name: "A", seconds: 10, bytes: 50 * kb, hours: -1}, {name: "B", seconds: 1, bytes: 50 * kb, hours: -1},
		}, size: 60 * kb, want: "A"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			publishAll(t, dir, c.all)
			s := openStore(t, dir, Options{})
			r, err := s.GC(t.Context(), GCOptions{MaxBytes: c.size, MaxRebuild: c.rebuild, KeepRuns: -1, MinAge: -1, Now: true})
			if err != nil {
				t.Fatal(err)
			}
			if got := bytesLeft(t, s, c.all); got != c.want {
				t.Errorf("left are %q, want %q", got, c.want)
			}
			if (r.Over > 0) != c.over || c.rebuild > 0 && r.Rebuild > c.rebuild.Seconds() {
				t.Errorf("report %+v", r)
			}
			wantClean(t, s)
			// All are still on record, and a durable result can be promised again.
			for _, m := range c.all {
				wantHit(t, s, key(m.name), true)
			}
		})
	}
}

// In the caches of sweeps, with the same trace of wishes afterwards, evicting
// by cost loses less time than evicting what was used longest ago.
func TestEvictionBeatsAge(t *testing.T) {
	var byCost, byAge float64
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var all []made
		for point := range 12 {
			prev := ""
			for b := range 3 {
				h, w := fmt.Sprintf("h%d.%d", point, b), fmt.Sprintf("w%d.%d", point, b)
				var reads []string
				if prev != "" {
					reads = []string{prev}
				}
				all = append(all, made{name: h, seconds: 1 + 4*rng.Float64(), bytes: 100, class: Transient, reads: reads, hours: 30 + point},
					made{name: w, seconds: 0.5 + 20*rng.Float64()*rng.Float64(), bytes: 2000 + rng.IntN(8000), reads: []string{h}, hours: 30 + point})
				prev = h
			}
		}
		dir := t.TempDir()
		publishAll(t, dir, all)
		s := openStore(t, dir, Options{})
		u, err := s.Usage()
		if err != nil {
			t.Fatal(err)
		}
		limit := u.Blobs.Bytes * 2 / 5
		if _, err := s.GC(t.Context(), GCOptions{MaxBytes: limit, KeepRuns: -1, MinAge: -1, Now: true}); err != nil {
			t.Fatal(err)
		}
		kept := map[string]bool{}
		for _, name := range strings.Fields(bytesLeft(t, s, all)) {
			kept[name] = true
		}
		// The same room, filled with what was used last.
		young := map[string]bool{}
		room := limit
		for _, m := range all { // later points are older
			if m.class != Transient && int64(m.bytes)+150 <= room {
				room -= int64(m.bytes) + 150
				young[m.name] = true
			}
		}
		trace := make([]string, 40)
		for i := range trace {
			trace[i] = fmt.Sprintf("w%d.%d", rng.IntN(12), rng.IntN(3))
		}
		byCost += lost(all, kept, trace)
		byAge += lost(all, young, trace)
	}
	t.Logf("making again takes %.0f s after evicting by cost, %.0f s by age", byCost, byAge)
	if byCost > 0.7*byAge {
		t.Errorf("%.0f s by cost, %.0f s by age", byCost, byAge)
	}
}

// lost is the time to make what a trace of wishes finds missing.
func lost(all []made, kept map[string]bool, trace []string) float64 {
	index := map[string]made{}
	for _, m := range all {
		index[m.name] = m
	}
	var rebuild func(name string) float64
	rebuild = func(name string) float64 {
		if kept[name] {
			return 0
		}
		sum := index[name].seconds
		for _, r := range index[name].reads {
			sum += rebuild(r)
		}
		return sum
	}
	sum := 0.0
	for _, name := range trace {
		sum += rebuild(name)
	}
	return sum
}
