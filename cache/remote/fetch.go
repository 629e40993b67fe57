package remote

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/reapi"
	"github.com/compressc/compressc/internal/reapi/layout"
)

// fetchers is how many large blobs are read at a time.
const fetchers = 4

// Fetch brings leaves into the store, as far as the server has them. The error
// is the store's: what the server lacks, or sends damaged, is forgotten, so that
// Has denies it.
func (c *Cache) Fetch(ctx context.Context, leaves []artifact.Entry) error {
	if c == nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fetchers)
	var small []artifact.Entry
	for _, l := range leaves {
		if c.client.Batchable(layout.Digest(l)) {
			small = append(small, l)
			continue
		}
		g.Go(func() error { return c.large(ctx, l) })
	}
	if len(small) > 0 {
		g.Go(func() error { return c.small(ctx, small) })
	}
	return g.Wait()
}

// claim returns nil if the blob is in the store, else a claim on fetching it.
func (c *Cache) claim(ctx context.Context, d artifact.Digest) (release func()) {
	for ctx.Err() == nil {
		if c.store.Has(cache.Digest(d)) {
			return nil
		}
		c.mu.Lock()
		wait := c.loading[d]
		if wait == nil {
			done := make(chan struct{})
			c.loading[d] = done
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				delete(c.loading, d)
				c.mu.Unlock()
				close(done)
			}
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-wait:
		}
	}
	return nil
}

// small fetches blobs that travel together.
func (c *Cache) small(ctx context.Context, leaves []artifact.Entry) error {
	var ds []reapi.Digest
	for _, l := range leaves {
		if c.store.Has(cache.Digest(l.Digest)) {
			continue
		}
		if l.Size == 0 { // servers have the empty blob without its being sent
			if _, err := c.store.Put(nil); err != nil {
				return err
			}
			continue
		}
		ds = append(ds, layout.Digest(l))
	}
	got := map[reapi.Digest]bool{}
	var local error
	err := c.client.ReadBatch(ctx, ds, func(d reapi.Digest, data []byte) error {
		if _, local = c.store.Put(data); local != nil {
			return local
		}
		got[d] = true
		c.count(d.Size)
		return nil
	})
	if local != nil {
		return local
	}
	c.trouble(err)
	for _, d := range ds {
		if !got[d] {
			c.Forget(d)
		}
	}
	return nil
}

// large fetches one blob as a stream.
func (c *Cache) large(ctx context.Context, l artifact.Entry) error {
	release := c.claim(ctx, l.Digest)
	if release == nil {
		return nil
	}
	defer release()
	w, err := c.store.Writer()
	if err != nil {
		return err
	}
	defer w.Abort()
	sink := &blobSink{w: w}
	d := layout.Digest(l)
	if err := c.client.ReadTo(ctx, d, sink); err != nil {
		c.Forget(d)
		if sink.err == nil {
			c.trouble(err)
		}
		return sink.err
	}
	have, _, err := w.Commit()
	if err == nil && artifact.Digest(have) != l.Digest {
		err = errors.New("a blob that was verified is another now") // it was hashed on the way
	}
	if err != nil {
		return fmt.Errorf("blob %s: %w", l.Digest.Short(), err)
	}
	c.count(d.Size)
	return nil
}

func (c *Cache) count(n int64) {
	c.mu.Lock()
	c.stats.Fetched += n
	c.mu.Unlock()
}

// blobSink tells errors of the store from those of the server.
type blobSink struct {
	w   *cache.BlobWriter
	err error
}

func (s *blobSink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}
