package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/reapi"
	"github.com/compressc/compressc/internal/reapi/layout"
)

const (
	// salt keeps synthetic actions apart from those that can be executed, and
	// from those of other versions of their form.
	salt = "compressc semantic entry 1"
	// command stands before the key record, for people who come across one.
	command = "compressc-result-of"
	// entryFile is the output file that holds the index entry.
	entryFile = "entry.json"
	// maxEntry bounds the text of an entry: trees of some hundred thousand leaves.
	maxEntry = 64 << 20
)

// semantic returns the synthetic action of a key record, and what it is made of.
func semantic(record []byte) (reapi.Digest, []reapi.Blob) {
	cmd, cd := reapi.Marshal(&repb.Command{Arguments: []string{command, string(record)}, OutputPaths: []string{entryFile}})
	act, ad := reapi.Marshal(&repb.Action{CommandDigest: cd.Proto(), InputRootDigest: reapi.EmptyDirectory.Proto(), Salt: []byte(salt)})
	return ad, []reapi.Blob{reapi.Bytes(cmd), reapi.Bytes(act), reapi.Bytes(nil)}
}

// Lookup asks the server for an action's entry; nil if it has none that can be
// used. Every kept output of it that is not in the store was on the server a
// moment ago. record is the canonical key record whose digest key is made of.
func (c *Cache) Lookup(ctx context.Context, key cache.Digest, record []byte) *cache.Entry {
	if c == nil || c.mode == Off {
		return nil
	}
	c.mu.Lock()
	skip := c.off || c.misses[key]
	c.mu.Unlock()
	if skip {
		return nil
	}
	e, err := c.lookup(ctx, key, record)
	c.trouble(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e == nil {
		c.misses[key] = true
		c.stats.Misses++
		return nil
	}
	c.stats.Hits++
	return e
}

func (c *Cache) lookup(ctx context.Context, key cache.Digest, record []byte) (*cache.Entry, error) {
	action, _ := semantic(record)
	r, err := c.client.Result(ctx, action, entryFile)
	if r == nil || err != nil {
		return nil, err
	}
	text, err := c.entryText(ctx, r)
	if err != nil {
		return nil, err
	}
	e, trees, err := parse(text, key, record)
	if err != nil {
		return nil, fmt.Errorf("remote %s: a result on record there is not one: %w", c.client.Address(), err)
	}
	var want []reapi.Digest
	for i, o := range e.Outputs {
		if o.Class != cache.Durable {
			continue
		}
		for _, l := range trees[i].Entries {
			if d := layout.Digest(l); d.Size > 0 && !c.store.Has(cache.Digest(l.Digest)) {
				want = append(want, d)
			}
		}
	}
	// An entry may outlive what it names.
	missing, err := c.Missing(ctx, want)
	if err != nil || len(missing) > 0 {
		return nil, err
	}
	return e, nil
}

// entryText returns the text of an entry, verified.
func (c *Cache) entryText(ctx context.Context, r *repb.ActionResult) ([]byte, error) {
	for _, f := range r.OutputFiles {
		if f.Path != entryFile {
			continue
		}
		d, err := reapi.FromProto(f.Digest)
		if err != nil || d.Size > maxEntry {
			return nil, fmt.Errorf("remote %s: a result names %q of %d bytes", c.client.Address(), f.Digest.GetHash(), f.Digest.GetSizeBytes())
		}
		if reapi.Sum(f.Contents) == d {
			return f.Contents, nil
		}
		return c.client.Read(ctx, d)
	}
	return nil, fmt.Errorf("remote %s: a result on record there has no %s", c.client.Address(), entryFile)
}

// parse reads an entry that came from elsewhere. Everything that can be checked
// without computing is.
func parse(text []byte, key cache.Digest, record []byte) (*cache.Entry, []*artifact.Tree, error) {
	e := &cache.Entry{}
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(e); err != nil {
		return nil, nil, err
	}
	if e.Action != key {
		return nil, nil, fmt.Errorf("it is of action %.12s, not %.12s", string(e.Action), string(key))
	}
	if want := cache.Sum(record); e.KeyRecord != want {
		return nil, nil, fmt.Errorf("its key record is %.12s, not %.12s", string(e.KeyRecord), string(want))
	}
	if err := e.Validate(); err != nil {
		return nil, nil, err
	}
	trees := make([]*artifact.Tree, len(e.Outputs))
	for i, o := range e.Outputs {
		t, err := artifact.DecodeTree(o.Tree)
		if err != nil {
			return nil, nil, fmt.Errorf("output %s: %w", o.Name, err)
		}
		if !bytes.Equal(t.Encode(), o.Tree) {
			return nil, nil, fmt.Errorf("output %s: its tree is not in canonical form", o.Name)
		}
		trees[i] = t
	}
	return e, trees, nil
}

// Adopt puts an entry that came from the server into the local index. Outputs
// whose bytes are not all in the store are on record there as no more than
// their digests.
func (c *Cache) Adopt(e *cache.Entry, record []byte) (*cache.Entry, error) {
	if _, err := c.store.Put(record); err != nil {
		return nil, err
	}
	local := *e
	local.Outputs = append([]cache.Output(nil), e.Outputs...)
	for i := range local.Outputs {
		o := &local.Outputs[i]
		if o.Class == cache.Durable && c.local(o) {
			if _, err := c.store.Put(o.Tree); err != nil {
				return nil, err
			}
			continue
		}
		o.Class = cache.Transient
	}
	return &local, c.store.PutEntry(&local)
}

func (c *Cache) local(o *cache.Output) bool {
	t, err := artifact.DecodeTree(o.Tree)
	if err != nil {
		return false
	}
	for _, l := range t.Entries {
		if !c.store.Has(cache.Digest(l.Digest)) {
			return false
		}
	}
	return true
}
