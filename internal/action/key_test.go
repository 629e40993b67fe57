package action

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg"
)

var keyKernel = &Kernel{Name: "key", Impl: 1}

type keyParams struct {
	Bits  int     `json:"bits"`
	Damp  float64 `json:"damp"`
	Seed  uint64  `json:"seed"`
	Group string  `json:"group"`
}

func leafTree(text string) *artifact.Tree {
	b := artifact.NewBuilder()
	if err := b.PutJSON("x", text); err != nil {
		panic(err)
	}
	t, _ := b.Finish()
	return t
}

func keySpec(g *Graph) Spec {
	return Spec{Kernel: keyKernel, Params: keyParams{4, 0.01, 7, "g"}, Node: "quantize.a", Label: "block 1", Flops: 10, Peak: 20,
		Inputs:  []Input{{"w", g.AddLeaf("model.m", leafTree("weights"))}, {"h", g.AddLeaf("data.d", leafTree("hessian"))}},
		Outputs: []Output{{Name: "out", Class: Durable, Bytes: 5}, {Name: "report", Class: Durable}}}
}

// keysOf returns the action key and the definition key of what change makes
// of the action above.
func keysOf(change func(*Graph, *Spec), digests map[string]artifact.Digest) (key, def artifact.Digest) {
	g := NewGraph()
	s := keySpec(g)
	change(g, &s)
	a := g.Add(s)
	if digests == nil {
		digests = map[string]artifact.Digest{}
		for _, in := range s.Inputs {
			digests[in.Name] = in.Ref.Action.Leaf["out"].Digest()
		}
	}
	key, _ = ActionKey(a, digests)
	return key, DefKeys(g)[a]
}

func TestKeysIgnore(t *testing.T) {
	key, def := keysOf(func(*Graph, *Spec) {}, nil)
	for name, change := range map[string]func(*Graph, *Spec){
		"node":          func(_ *Graph, s *Spec) { s.Node = "quantize.b" },
		"label":         func(_ *Graph, s *Spec) { s.Label = "other" },
		"class":         func(_ *Graph, s *Spec) { s.Outputs[0].Class = Transient },
		"estimates":     func(_ *Graph, s *Spec) { s.Flops, s.Peak, s.Outputs[0].Bytes = 1, 2, 3 },
		"order inputs":  func(_ *Graph, s *Spec) { s.Inputs[0], s.Inputs[1] = s.Inputs[1], s.Inputs[0] },
		"order outputs": func(_ *Graph, s *Spec) { s.Outputs[0], s.Outputs[1] = s.Outputs[1], s.Outputs[0] },
		"order params": func(_ *Graph, s *Spec) {
			s.Params = json.RawMessage(`{ "group":"g", "seed":7,"damp":1.0e-2,"bits":4.0 }`)
		},
		"earlier actions": func(g *Graph, s *Spec) {
			x := *s
			x.Params = 5
			g.Add(x)
		},
		"name of the source's node": func(g *Graph, s *Spec) {
			*g = *NewGraph()
			s.Inputs[0].Ref = g.AddLeaf("model.renamed", leafTree("weights"))
			s.Inputs[1].Ref = g.AddLeaf("data.d", leafTree("hessian"))
		},
	} {
		k, d := keysOf(change, nil)
		if k != key {
			t.Errorf("%s changes the action key", name)
		}
		if d != def {
			t.Errorf("%s changes the definition key", name)
		}
	}
}

func TestKeysSee(t *testing.T) {
	key, def := keysOf(func(*Graph, *Spec) {}, nil)
	seenK, seenD := map[artifact.Digest]string{key: "base"}, map[artifact.Digest]string{def: "base"}
	for name, change := range map[string]func(*Graph, *Spec){
		"kernel":     func(_ *Graph, s *Spec) { s.Kernel = &Kernel{Name: "key2", Impl: 1} },
		"impl":       func(_ *Graph, s *Spec) { s.Kernel = &Kernel{Name: "key", Impl: 2} },
		"bits":       func(_ *Graph, s *Spec) { s.Params = keyParams{3, 0.01, 7, "g"} },
		"damp":       func(_ *Graph, s *Spec) { s.Params = keyParams{4, math.Nextafter(0.01, 1), 7, "g"} },
		"big seed":   func(_ *Graph, s *Spec) { s.Params = keyParams{4, 0.01, math.MaxUint64, "g"} },
		"next seed":  func(_ *Graph, s *Spec) { s.Params = keyParams{4, 0.01, math.MaxUint64 - 1, "g"} },
		"text":       func(_ *Graph, s *Spec) { s.Params = keyParams{4, 0.01, 7, "h"} },
		"number":     func(_ *Graph, s *Spec) { s.Params = map[string]any{"bits": "4", "damp": 0.01, "seed": 7, "group": "g"} },
		"input":      func(g *Graph, s *Spec) { s.Inputs[0].Ref = g.AddLeaf("model.m", leafTree("other")) },
		"swapped":    func(_ *Graph, s *Spec) { s.Inputs[0].Ref, s.Inputs[1].Ref = s.Inputs[1].Ref, s.Inputs[0].Ref },
		"input name": func(_ *Graph, s *Spec) { s.Inputs[0].Name = "v" },
		"one input":  func(_ *Graph, s *Spec) { s.Inputs = s.Inputs[:1] },
		"one output": func(_ *Graph, s *Spec) { s.Outputs = s.Outputs[:1] },
	} {
		k, d := keysOf(change, nil)
		if was, dup := seenK[k]; dup {
			t.Errorf("action key of %s is that of %s", name, was)
		}
		if was, dup := seenD[d]; dup {
			t.Errorf("definition key of %s is that of %s", name, was)
		}
		seenK[k], seenD[d] = name, name
	}
	for d := range seenD {
		if k := seenK[d]; k != "" {
			t.Errorf("an action key is a definition key: %s", k)
		}
	}
}

// An action key goes by contents, a definition key by how they are made.
func TestKeysEarlyCutoff(t *testing.T) {
	digests := map[string]artifact.Digest{"w": "1", "h": "2"}
	via := func(params int) (key, def artifact.Digest) {
		return keysOf(func(g *Graph, s *Spec) {
			mid := g.Add(Spec{Kernel: keyKernel, Params: params, Inputs: s.Inputs, Outputs: []Output{{Name: "out"}}})
			s.Inputs = []Input{{"w", Ref{mid, "out"}}, {"h", s.Inputs[1].Ref}}
		}, digests)
	}
	k1, d1 := via(1)
	k2, d2 := via(2)
	if k1 != k2 || d1 == d2 {
		t.Errorf("action keys %s %s, definition keys %s %s", k1.Short(), k2.Short(), d1.Short(), d2.Short())
	}
}

func TestKeyRecord(t *testing.T) {
	g := NewGraph()
	a := g.Add(keySpec(g))
	_, text := ActionKey(a, map[string]artifact.Digest{"w": "aa", "h": "bb"})
	want := `{"scheme":1,"kernel":"key","impl":1,"params":{"bits":4,"damp":0.01,"group":"g","seed":7},"inputs":{"h":"bb","w":"aa"},"outputs":["out","report"],"numerics":"` + linalg.NumericsVersion + `"}`
	if string(text) != want {
		t.Errorf("record\n%s\nwant\n%s", text, want)
	}
	var r KeyRecord
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(r); err != nil || !bytes.Equal(again, text) {
		t.Errorf("the record does not survive a round trip: %s, %v", again, err)
	}
}

// Keys are addresses in caches that outlive a program's version: a change here
// needs a new KeyScheme.
func TestKeyGolden(t *testing.T) {
	key, def := keysOf(func(*Graph, *Spec) {}, nil)
	const wantKey, wantDef = "66ba70bce360fcb326d02f14ab225cfd29d9daf0236be9b6a95a93d4e20b4a5a", "4ad596c0e2c5afc9a869e3701acf229026026b9a1525edbacb9958408feb9f32"
	if linalg.NumericsVersion != "1" {
		t.Skip("the golden keys are of numerics version 1")
	}
	if key != wantKey || def != wantDef {
		t.Errorf("keys %s, %s\nwant %s, %s", key, def, wantKey, wantDef)
	}
}

func TestMissingInputPanics(t *testing.T) {
	g := NewGraph()
	a := g.Add(keySpec(g))
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	ActionKey(a, map[string]artifact.Digest{"w": "aa"})
}

// recorder is a hash that keeps what it hashes.
type recorder struct {
	hash.Hash
	b bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) { return r.b.Write(p) }

// Two different lists of fields never are the same bytes: the encoding can be
// read back.
func TestEncodingIsInjective(t *testing.T) {
	field := rapid.SliceOfN(rapid.StringMatching(`[a\x00-\x03]{0,3}`), 2, 2)
	rapid.Check(t, func(t *rapid.T) {
		encode := func(fs [][]string) string {
			r := &recorder{Hash: sha256.New()}
			e := &encoder{r}
			for _, f := range fs {
				e.field(f[0], f[1])
			}
			return r.b.String()
		}
		a := rapid.SliceOfN(field, 0, 4).Draw(t, "a")
		b := rapid.SliceOfN(field, 0, 4).Draw(t, "b")
		if same, equal := encode(a) == encode(b), fmt.Sprintf("%q", a) == fmt.Sprintf("%q", b); same != equal {
			t.Fatalf("%q and %q: same bytes %v", a, b, same)
		}
	})
}

func TestCanonicalJSON(t *testing.T) {
	for in, want := range map[string]string{
		``:                          `null`,
		` null `:                    `null`,
		`{"b":1, "a":[true,false]}`: `{"a":[true,false],"b":1}`,
		`{"b":{"d":1,"c":2}}`:       `{"b":{"c":2,"d":1}}`,
		`"\u0041<"`:                 `"A\u003c"`,
		`1`:                         `1`, `1.0`: `1`, `1e0`: `1`, `10e-1`: `1`, `0.1E+1`: `1`,
		`1000`: `1000`, `1e3`: `1000`, `1.0e+3`: `1000`,
		`-0`: `-0`, `0.000`: `0`, `0e9`: `0`, `-0.0`: `-0`,
		`0.01`: `0.01`, `1e-2`: `0.01`, `-12.50`: `-12.5`, `0.00000123`: `0.00000123`, `1.5e-9`: `1.5e-9`,
		`18446744073709551615`:    `18446744073709551615`,
		`1e19`:                    `10000000000000000000`,
		`1e20`:                    `1e20`,
		`123456789012345678901`:   `1.23456789012345678901e20`,
		`1234567890123456789.50`:  `1234567890123456789.5`,
		`1e999999999999999999999`: `1e999999999999999999999`,
	} {
		got, err := canonicalJSON([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", in, got, err, want)
		}
	}
	for _, bad := range []string{`{`, `1 2`, `{"a":}`, `nul`} {
		if got, err := canonicalJSON([]byte(bad)); err == nil {
			t.Errorf("%s: no error but %s", bad, got)
		}
	}
}

// Every spelling of a float is one, and different floats stay different.
func TestCanonicalNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64().Draw(t, "x")
		text := canonicalNumber(string(must(json.Marshal(x))))
		for _, f := range []string{"%.17g", "%.17e", "%.25e"} {
			var back float64
			spelled := canonicalNumber(fmt.Sprintf(f, x))
			if err := json.Unmarshal([]byte(spelled), &back); err != nil || back != x {
				t.Fatalf("%v spelled "+f+" becomes %s: %v, %v", x, x, spelled, back, err)
			}
		}
		var back float64
		if err := json.Unmarshal([]byte(text), &back); err != nil || back != x || math.Signbit(back) != math.Signbit(x) {
			t.Fatalf("%v becomes %s", x, text)
		}
		if again := canonicalNumber(text); again != text {
			t.Fatalf("%s becomes %s", text, again)
		}
		y := rapid.Float64().Draw(t, "y")
		if other := canonicalNumber(string(must(json.Marshal(y)))); (other == text) != (math.Float64bits(x) == math.Float64bits(y)) {
			t.Fatalf("%v and %v become %s and %s", x, y, text, other)
		}
	})
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func FuzzCanonicalJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.50,"x"],"b":null}`, `-1e-7`, `"\ud800"`, `[[]]`, `1E400`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		once, err := canonicalJSON(in)
		if err != nil {
			return
		}
		if !json.Valid(once) {
			t.Fatalf("%q becomes invalid: %q", in, once)
		}
		twice, err := canonicalJSON(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q becomes %q, then %q (%v)", in, once, twice, err)
		}
	})
}

func BenchmarkActionKey(b *testing.B) {
	g := NewGraph()
	a := g.Add(keySpec(g))
	in := map[string]artifact.Digest{"w": "aa", "h": "bb"}
	for b.Loop() {
		ActionKey(a, in)
	}
}
