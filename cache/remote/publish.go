package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/reapi"
	"github.com/compressc/compressc/internal/reapi/layout"
)

// sending is an entry on its way to the server.
type sending struct {
	entry  *cache.Entry
	record []byte
	worker string
}

// sendAtOnce bounds the entries whose blobs are asked about together.
const sendAtOnce = 64

// Publish sends an action's entry, some time. Leaves of its durable outputs are
// taken from the store, or are on the server already. worker, if not "", is who
// computed it.
func (c *Cache) Publish(e *cache.Entry, record []byte, worker string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off || c.refused || c.ctx.Err() != nil {
		return
	}
	c.queue = append(c.queue, &sending{e, record, worker})
	if !c.sender {
		c.sender, c.idle = true, make(chan struct{})
		c.wg.Go(c.send)
	}
}

// Flush waits until what was published has been sent, or that has been given
// up, or ctx ends.
func (c *Cache) Flush(ctx context.Context) {
	if c == nil {
		return
	}
	c.mu.Lock()
	idle := c.idle
	c.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// send empties the queue.
func (c *Cache) send() {
	for {
		c.mu.Lock()
		if c.off || c.refused || c.ctx.Err() != nil {
			c.queue = nil
		}
		part := c.queue[:min(len(c.queue), sendAtOnce)]
		c.queue = c.queue[len(part):]
		if len(part) == 0 {
			c.sender = false
			close(c.idle)
			c.idle = nil
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		if err := c.sendAll(part); err != nil {
			c.trouble(err)
		}
	}
}

func (c *Cache) sendAll(part []*sending) error {
	if !c.client.Capabilities().UpdateResults {
		c.refuse(errors.New("it says that it takes none"))
		return nil
	}
	var blobs []reapi.Blob
	var ready []*sending
	var actions []reapi.Digest
	var results []*repb.ActionResult
	for _, s := range part {
		action, parts := semantic(s.record)
		r, docs, err := c.result(s)
		if err != nil {
			return err
		}
		blobs = append(append(blobs, parts...), docs...)
		ready, actions, results = append(ready, s), append(actions, action), append(results, r)
	}
	lost, err := c.Ensure(c.ctx, blobs)
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	for _, d := range lost {
		gone[d.Hash] = true
	}
	if len(lost) > 0 {
		// Without those that cannot be whole.
		keep := part[:0:0]
		for _, s := range ready {
			if !c.needs(s, gone) {
				keep = append(keep, s)
			}
		}
		if len(keep) == len(part) {
			return nil
		}
		return c.sendAll(keep)
	}
	for i, r := range results {
		if err := c.client.UpdateResult(c.ctx, actions[i], r); err != nil {
			if reapi.IsRefusal(err) {
				c.refuse(err)
				return nil
			}
			return err
		}
		c.mu.Lock()
		c.stats.Sent++
		c.mu.Unlock()
	}
	return nil
}

func (c *Cache) refuse(err error) {
	c.mu.Lock()
	c.refused = true
	c.mu.Unlock()
	c.once("refused", "remote %s takes no results from here: %v; they are kept on this machine only", c.client.Address(), err)
}

// needs reports whether an entry promises one of the blobs.
func (c *Cache) needs(s *sending, gone map[string]bool) bool {
	for _, o := range s.entry.Outputs {
		if o.Class != cache.Durable {
			continue
		}
		t, err := artifact.DecodeTree(o.Tree)
		if err != nil {
			return true
		}
		for _, l := range t.Entries {
			if gone[string(l.Digest)] {
				return true
			}
		}
	}
	return false
}

// result spells an entry as the result of its synthetic action.
func (c *Cache) result(s *sending) (*repb.ActionResult, []reapi.Blob, error) {
	e := *s.entry
	e.Outputs = append([]cache.Output(nil), e.Outputs...)
	e.KeyRecord = cache.Sum(s.record)
	if e.Created.IsZero() {
		e.Created = time.Now().UTC()
	}
	r := &repb.ActionResult{}
	var blobs []reapi.Blob
	for i := range e.Outputs {
		o := &e.Outputs[i]
		if o.Class != cache.Durable {
			o.Class = cache.Transient // a checkpoint is nothing to share
			continue
		}
		t, err := artifact.DecodeTree(o.Tree)
		if err != nil {
			return nil, nil, err
		}
		tree, docs := layout.Tree(t)
		raw, d := reapi.Marshal(tree)
		blobs = append(append(blobs, docs...), reapi.Bytes(raw))
		for _, l := range t.Entries {
			blobs = append(blobs, c.stored(l))
		}
		r.OutputDirectories = append(r.OutputDirectories, &repb.OutputDirectory{Path: o.Name, TreeDigest: d.Proto()})
	}
	text, err := json.Marshal(&e)
	if err != nil {
		return nil, nil, err
	}
	b := reapi.Bytes(text)
	r.OutputFiles = []*repb.OutputFile{{Path: entryFile, Digest: b.Proto()}}
	if s.worker != "" {
		r.ExecutionMetadata = &repb.ExecutedActionMetadata{Worker: s.worker}
	}
	return r, append(blobs, b), nil
}

// stored returns a leaf as something to upload; without Open if it is not in the
// store.
func (c *Cache) stored(l artifact.Entry) reapi.Blob {
	b := reapi.Blob{Digest: layout.Digest(l)}
	if l.Size == 0 {
		return reapi.Bytes(nil)
	}
	if c.store.Has(cache.Digest(l.Digest)) {
		b.Open = func() ([]byte, func(), error) {
			blob, err := c.store.Open(cache.Digest(l.Digest))
			if err != nil {
				return nil, nil, fmt.Errorf("leaf %q: %w", l.Name, err)
			}
			return blob.Bytes(), blob.Release, nil
		}
	}
	return b
}
