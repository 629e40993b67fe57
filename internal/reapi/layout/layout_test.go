package layout

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/reapi"
	"github.com/compressc/compressc/internal/tensor"
)

// A tree that was laid out is read back, whatever the leaves are called, and has
// the same folders as the message says.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "layout")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		names := rapid.SliceOfNDistinct(rapid.OneOf(rapid.StringN(0, 20, 60), rapid.SampledFrom([]string{".", "..", "", "%", "a/b", "model.layers.0.q", "%2E", "A", "a"})), 0, 6, rapid.ID).Draw(t, "names")
		b := artifact.NewBuilder()
		want := map[string][]byte{}
		for _, n := range names {
			if strings.ToValidUTF8(n, "") != n {
				continue
			}
			want[n] = rapid.SliceOf(rapid.Byte()).Draw(t, "data")
			b.PutBytes(n, tensor.Meta{DType: tensor.U8, Shape: []int{len(want[n])}}, want[n])
		}
		tree, leaves := b.Finish()
		for _, l := range leaves {
			if _, err := Write(dir, l.Entry, l.Data); err != nil {
				t.Fatal(err)
			}
		}
		var files Files
		defer files.Release()
		v, err := files.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if v.Tree.Digest() != tree.Digest() {
			t.Fatalf("%s, want %s", v.Tree.Encode(), tree.Encode())
		}
		for n, data := range want {
			if got, err := v.Bytes(n); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%q: %v", n, err)
			}
		}
		m, docs := Tree(tree)
		if len(m.Root.Directories) != len(want) || len(docs) != 2*len(want) {
			t.Fatalf("%d folders, %d documents", len(m.Root.Directories), len(docs))
		}
		for i, d := range m.Root.Directories {
			if i > 0 && m.Root.Directories[i-1].Name >= d.Name {
				t.Fatal("folders are out of order")
			}
			raw, err := os.ReadFile(filepath.Join(dir, d.Name, metaFile))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, doc := range docs {
				found = found || doc.Digest == reapi.Sum(raw)
			}
			if !found {
				t.Fatalf("no document %s", raw)
			}
		}
	})
}

// A leaf that is the leading rows of a tensor has the tensor's file and its own
// shape.
func TestLeadingRows(t *testing.T) {
	whole := artifact.NewBuilder()
	whole.PutBytes("whole", tensor.Meta{DType: tensor.U8, Shape: []int{3, 2}}, []byte("aabbcc"))
	all, leaves := whole.Finish()
	b := artifact.NewBuilder()
	b.PutEntry(all.Entries[0].Leading("part", 2))
	tree, _ := b.Finish()
	dir := t.TempDir()
	if _, err := Write(dir, tree.Entries[0], leaves[0].Data); err != nil {
		t.Fatal(err)
	}
	var files Files
	defer files.Release()
	v, err := files.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Bytes("part"); err != nil || string(got) != "aabb" || v.Tree.Digest() != tree.Digest() {
		t.Errorf("%q, %v, %s", got, err, v.Tree.Encode())
	}
	if got := Digest(tree.Entries[0]); got.Size != 6 {
		t.Errorf("%d bytes travel; expected the whole tensor", got.Size)
	}

	tree.Entries[0].StoredRows = 1
	bad := t.TempDir()
	if _, err := Write(bad, tree.Entries[0], leaves[0].Data); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Read(bad); err == nil {
		t.Error("more rows than are stored are no error")
	}
}

func TestDamagedLeaf(t *testing.T) {
	dir := t.TempDir()
	e := artifact.Entry{Name: "x", Digest: artifact.Sum([]byte("right")), Size: 5}
	if _, err := Write(dir, e, []byte("wrong")); err != nil {
		t.Fatal(err)
	}
	var files Files
	defer files.Release()
	v, err := files.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Bytes("x"); err == nil || !strings.Contains(err.Error(), "digest") {
		t.Error(err)
	}
}
