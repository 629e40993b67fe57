package remote

import (
	"encoding/json"
	"testing"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/artifact"
)

// Whatever a server sends as an entry: what is believed is consistent in itself.
func FuzzEntry(f *testing.F) {
	record := []byte(`{"kernel":"toy"}`)
	key := cache.Sum([]byte("key"))
	tree := (&artifact.Tree{Entries: []artifact.Entry{{Name: "a", Digest: artifact.Sum(nil)}}}).Encode()
	good, err := json.Marshal(&cache.Entry{Action: key, Kernel: "toy", KeyRecord: cache.Sum(record),
		Outputs: []cache.Output{{Name: "out", Digest: cache.Sum(tree), Tree: tree, Class: cache.Durable}}})
	if err != nil {
		f.Fatal(err)
	}
	if _, trees, err := parse(good, key, record); err != nil || len(trees) != 1 {
		f.Fatalf("a good entry: %v", err)
	}
	f.Add(good)
	f.Add([]byte("{}"))
	f.Add([]byte(`{"outputs":[{"tree":"e30="}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, trees, err := parse(text, key, record)
		if err != nil {
			return
		}
		if e.Action != key || len(trees) != len(e.Outputs) {
			t.Fatalf("%+v", e)
		}
		for i, o := range e.Outputs {
			if cache.Digest(trees[i].Digest()) != o.Digest {
				t.Errorf("output %s has tree %s, says %s", o.Name, trees[i].Digest(), o.Digest)
			}
		}
	})
}

// The synthetic action of a record is a contract with every other client.
func TestSemanticAction(t *testing.T) {
	d, parts := semantic([]byte(`{"scheme":1}`))
	if len(parts) != 3 || d.Hash != "99b5a28e127ae99d667eb4ba56efd35aa7e4b6bc50970fc01445d71f978d6467" {
		t.Errorf("%s, %d parts", d.Hash, len(parts))
	}
}
