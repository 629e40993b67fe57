package artifact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/tensor"
)

// valueOf finishes b and serves its leaves from memory.
func valueOf(b *Builder) *Value {
	tree, leaves := b.Finish()
	data := map[Digest][]byte{}
	for _, l := range leaves {
		data[l.Digest] = l.Data
	}
	return &Value{Tree: tree, Load: func(e Entry) ([]byte, error) {
		d, ok := data[e.Digest]
		if !ok || d == nil {
			return nil, fmt.Errorf("no bytes of %s", e.Name)
		}
		return d, nil
	}}
}

func TestBuilderRoundTrip(t *testing.T) {
	b := NewBuilder()
	b.PutFloat32("f32", []int{2}, []float32{1.5, float32(math.Inf(-1))})
	b.PutFloat64("f64", []int{1, 2}, []float64{math.Pi, math.Copysign(0, -1)})
	b.PutInt32("i32", []int{3}, []int32{-1, 0, math.MaxInt32})
	b.PutBytes("bf16", tensor.Meta{DType: tensor.BF16, Shape: []int{2}}, []byte{0x80, 0x3f, 0x00, 0xc0})
	b.PutBytes("empty", tensor.Meta{DType: tensor.F32, Shape: []int{0}}, nil)
	if err := b.PutJSON("report", map[string]float64{"x": 2}); err != nil {
		t.Fatal(err)
	}
	v := valueOf(b)
	if f, err := v.Float32("f32"); err != nil || f[0] != 1.5 || !math.IsInf(float64(f[1]), -1) {
		t.Error(f, err)
	}
	if f, err := v.Float64("f64"); err != nil || f[0] != math.Pi {
		t.Error(f, err)
	}
	if f, err := v.Float32("f64"); err != nil || f[0] != float32(math.Pi) {
		t.Error(f, err)
	}
	if i, err := v.Int32("i32"); err != nil || i[2] != math.MaxInt32 {
		t.Error(i, err)
	}
	if f, err := v.Float32("bf16"); err != nil || f[0] != 1 || f[1] != -2 {
		t.Error(f, err)
	}
	if f, err := v.Float32("empty"); err != nil || len(f) != 0 {
		t.Error(f, err)
	}
	var r map[string]float64
	if err := v.JSON("report", &r); err != nil || r["x"] != 2 {
		t.Error(r, err)
	}
	for name, f := range map[string]func() error{
		"no leaf":      func() error { _, err := v.Bytes("none"); return err },
		"another type": func() error { _, err := v.Int32("f32"); return err },
		"not floats":   func() error { _, err := v.Float32("i32"); return err },
		"not JSON":     func() error { return v.JSON("f32", &r) },
		"does not load": func() error {
			lost := &Value{Tree: v.Tree, Load: func(Entry) ([]byte, error) { return nil, fmt.Errorf("gone") }}
			return lost.JSON("report", &r)
		},
	} {
		if f() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A leaf of the wrong length is an error, not a slice out of range.
func TestFloat32ChecksLength(t *testing.T) {
	for _, m := range []tensor.Meta{
		{DType: tensor.F32, Shape: []int{3}},
		{DType: tensor.BF16, Shape: []int{2, 2}},
	} {
		if _, err := DecodeFloat32(m, make([]byte, 9)); err == nil {
			t.Errorf("%v of 9 bytes: no error", m)
		}
	}
}

// Unaligned bytes, as in the middle of a mapped file, are read all the same.
func TestUnaligned(t *testing.T) {
	b := append([]byte{0}, AsBytes([]float64{1, 2, 3})...)
	for i, x := range view[float64](b[1:]) {
		if x != float64(i+1) {
			t.Errorf("element %d is %v", i, x)
		}
	}
}

func TestSinkTakesNewLeavesOnly(t *testing.T) {
	got := map[string]string{}
	b := NewSinkBuilder(func(e Entry, data []byte) { got[e.Name] = string(data) })
	b.PutBytes("new", tensor.Meta{DType: tensor.U8, Shape: []int{2}}, []byte("ab"))
	b.PutBytes("empty", tensor.Meta{DType: tensor.U8, Shape: []int{0}}, nil)
	b.PutEntry(Entry{Name: "old", Digest: Sum([]byte("old")), Size: 3})
	if err := b.PutJSON("json", 1); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got["new"] != "ab" || got["json"] != "1" {
		t.Errorf("the sink got %q", got)
	}
	tree, leaves := b.Finish()
	for _, l := range leaves {
		if l.Data != nil {
			t.Errorf("%s is kept", l.Name)
		}
	}
	plain := NewBuilder()
	plain.PutEntry(Entry{Name: "old", Digest: Sum([]byte("old")), Size: 3})
	plain.PutBytes("empty", tensor.Meta{DType: tensor.U8, Shape: []int{0}}, nil)
	plain.PutBytes("new", tensor.Meta{DType: tensor.U8, Shape: []int{2}}, []byte("ab"))
	if err := plain.PutJSON("json", 1); err != nil {
		t.Fatal(err)
	}
	if other, _ := plain.Finish(); other.Digest() != tree.Digest() {
		t.Error("the tree depends on the sink, or on the order of putting")
	}
}

func TestBuilderRefusesDuplicates(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	b := NewBuilder()
	b.PutFloat32("x", []int{1}, []float32{1})
	b.PutEntry(Entry{Name: "x"})
}

func TestCopyExcept(t *testing.T) {
	b := NewBuilder()
	for _, n := range []string{"a", "b", "c"} {
		b.PutFloat32(n, []int{1}, []float32{1})
	}
	v := valueOf(b)
	c := NewBuilder()
	c.CopyExcept(v, func(n string) bool { return n == "b" })
	tree, _ := c.Finish()
	if len(tree.Entries) != 2 || tree.Entries[0].Name != "a" || tree.Entries[1].Name != "c" || tree.Size() != 8 {
		t.Errorf("%+v", tree)
	}
	if _, ok := tree.Lookup("b"); ok || !v.Has("b") {
		t.Error("lookup")
	}
}

// The leading rows of a tensor are a leaf that stores nothing.
func TestLeading(t *testing.T) {
	b := NewBuilder()
	b.PutFloat32("all", []int{3, 2}, []float32{1, 2, 3, 4, 5, 6})
	b.PutFloat64("wide", []int{2, 1}, []float64{7, 8})
	v := valueOf(b)
	all, _ := v.Tree.Lookup("all")
	wide, _ := v.Tree.Lookup("wide")
	if whole := all.Leading("all", 3); whole.StoredRows != 0 || whole.Digest != all.Digest {
		t.Errorf("all rows: %+v", whole)
	}

	c := NewBuilder()
	c.PutEntry(all.Leading("a", 2))
	c.PutEntry(all.Leading("b", 2).Leading("b", 1))
	c.PutEntry(all.Leading("none", 0))
	c.PutEntry(wide.Leading("w", 1))
	tree, leaves := c.Finish()
	for _, l := range leaves {
		if l.Data != nil {
			t.Errorf("%s is new", l.Name)
		}
	}
	if got := tree.Size(); got != 16+8+0+8 {
		t.Errorf("the tree has %d bytes", got)
	}
	tree, err := DecodeTree(tree.Encode())
	if err != nil {
		t.Fatal(err)
	}
	part := &Value{Tree: tree, Load: v.Load}
	for name, want := range map[string][]float32{"a": {1, 2, 3, 4}, "b": {1, 2}, "none": nil, "w": {7}} {
		e, _ := tree.Lookup(name)
		got, err := part.Float32(name)
		if err != nil || !slices.Equal(got, want) || e.Meta.Elements() != len(want) {
			t.Errorf("%s is %v, %v with %v; expected %v", name, e.Meta, got, err, want)
		}
	}
	if got, err := part.Bytes("b"); err != nil || len(got) != 8 || cap(got) != 8 {
		t.Errorf("%d bytes, room for %d, %v", len(got), cap(got), err)
	}
	if got, err := part.Float64("w"); err != nil || !slices.Equal(got, []float64{7}) {
		t.Error(got, err)
	}
	cut := &Value{Tree: tree, Load: func(Entry) ([]byte, error) { return make([]byte, 20), nil }}
	if _, err := cut.Float32("a"); err == nil {
		t.Error("no error where less is stored than the tree says")
	}
}

func TestLeadingRefusesOtherRows(t *testing.T) {
	for name, f := range map[string]func(){
		"too many": func() { Entry{Meta: tensor.Meta{Shape: []int{2, 2}}}.Leading("x", 3) },
		"negative": func() { Entry{Meta: tensor.Meta{Shape: []int{2, 2}}}.Leading("x", -1) },
		"JSON":     func() { Entry{}.Leading("x", 0) },
		"rotary":   func() { Entry{Meta: tensor.Meta{Shape: []int{8, 2}, RotaryHeadDim: 4}}.Leading("x", 4) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestDecodeTreeChecksLeading(t *testing.T) {
	const tree = `{"entries":[{"name":"a","meta":{"dtype":"F32","shape":%s},"digest":"x","size":%d,"stored_rows":%d}]}`
	for _, c := range []struct {
		shape        string
		size, stored int
		ok           bool
	}{
		{"[1,2]", 24, 3, true},
		{"[3,2]", 24, 3, false}, // spelled otherwise
		{"[4,2]", 24, 3, false},
		{"[-1,2]", 24, 3, false},
		{"[1,2]", 25, 3, false},
		{"[1,2]", -24, 3, false},
		{"[1,2]", 24, -3, false},
		{"[]", 24, 3, false},
	} {
		if _, err := DecodeTree(fmt.Appendf(nil, tree, c.shape, c.size, c.stored)); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestTreesAreCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z.]{1,4}`), 0, 6, rapid.ID).Draw(t, "names")
		order := rapid.Permutation(names).Draw(t, "order")
		build := func(names []string) *Tree {
			b := NewBuilder()
			for _, n := range names {
				b.PutBytes(n, tensor.Meta{DType: tensor.U8, Shape: []int{len(n)}}, []byte(n))
			}
			tree, _ := b.Finish()
			return tree
		}
		tree := build(names)
		if build(order).Digest() != tree.Digest() {
			t.Fatal("the order of putting shows")
		}
		back, err := DecodeTree(tree.Encode())
		if err != nil || back.Digest() != tree.Digest() {
			t.Fatalf("round trip: %v", err)
		}
		for _, n := range names {
			if e, ok := back.Lookup(n); !ok || e.Digest != Sum([]byte(n)) {
				t.Fatalf("no %q", n)
			}
		}
	})
}

func FuzzDecodeTree(f *testing.F) {
	f.Add([]byte(`{"entries":[{"name":"a","digest":"x","size":1},{"name":"b","meta":{"dtype":"F32","shape":[1]},"digest":"y","size":2}]}`))
	f.Add([]byte(`{"entries":[{"name":"b"},{"name":"a"}]}`))
	f.Add([]byte(`{"entries":[{"name":"a","meta":{"dtype":"F32","shape":[1,2]},"digest":"x","size":24,"stored_rows":3}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := DecodeTree(b)
		if err != nil {
			return
		}
		for _, e := range tree.Entries {
			if n := e.Bytes(); e.StoredRows != 0 && (n < 0 || n > e.Size) {
				t.Fatalf("%+v has %d bytes", e, n)
			}
		}
		again, err := DecodeTree(tree.Encode())
		if err != nil || !bytes.Equal(again.Encode(), tree.Encode()) {
			t.Fatalf("%q: %v", b, err)
		}
		if !json.Valid(tree.Encode()) {
			t.Fatal("not JSON")
		}
	})
}
