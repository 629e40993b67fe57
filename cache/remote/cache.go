package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/reapi"
)

// Mode says what a server's results are used for.
type Mode string

// The modes.
const (
	// Use takes results as they are.
	Use Mode = "use"
	// Verify computes everything here and compares.
	Verify Mode = "verify"
	// Off does not look results up; they are still sent.
	Off Mode = "off"
)

// Modes are all modes, the default first.
var Modes = []Mode{Use, Verify, Off}

// Options configure a Cache.
type Options struct {
	// Client talks to the server; the caller closes it, after the Cache.
	Client *reapi.Client
	// Store is where what comes from the server is kept.
	Store *cache.Store
	// Results is Use if it is "".
	Results Mode
	// Say, when not nil, is told what people should know. It may be called from
	// several goroutines.
	Say func(string)
}

// Cache is a server as a cache behind the local store. It is safe for
// concurrent use. A nil Cache has nothing and takes nothing.
type Cache struct {
	client *reapi.Client
	store  *cache.Store
	mode   Mode
	say    func(string)

	ctx    context.Context // of what goes on in the background
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	off     bool // the server does not answer
	said    map[string]bool
	there   map[reapi.Digest]bool // blobs that the server was seen to have
	misses  map[cache.Digest]bool // actions that it has no entry of
	loading map[artifact.Digest]chan struct{}
	queue   []*sending
	sender  bool          // one goroutine empties the queue
	idle    chan struct{} // closed when it is empty; nil without a sender
	refused bool          // the server takes no results
	stats   Stats
}

// Stats count what was exchanged.
type Stats struct {
	Hits, Misses, Sent int
	// Fetched and Uploaded are in bytes.
	Fetched, Uploaded int64
}

// Open connects to the server. It fails only if ctx ends: a server that cannot be
// used is said to be, and left alone. The caller must Close the cache.
func Open(ctx context.Context, o Options) (*Cache, error) {
	c := &Cache{client: o.Client, store: o.Store, mode: o.Results, say: o.Say,
		said: map[string]bool{}, there: map[reapi.Digest]bool{}, misses: map[cache.Digest]bool{}, loading: map[artifact.Digest]chan struct{}{}}
	if c.mode == "" {
		c.mode = Use
	}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	err := c.client.Connect(ctx)
	if ctx.Err() != nil {
		c.cancel()
		return nil, context.Cause(ctx)
	}
	switch {
	case err == nil:
	case reapi.IsFault(err):
		c.trouble(err)
	default: // it answers, but what is of no use
		c.once("error", "%v; going on without it", err)
		c.mu.Lock()
		c.off = true
		c.mu.Unlock()
	}
	return c, nil
}

// Close gives up what is still to be sent; see Flush.
func (c *Cache) Close() {
	if c == nil {
		return
	}
	c.cancel()
	c.wg.Wait()
}

// Client returns the client.
func (c *Cache) Client() *reapi.Client { return c.client }

// Mode says what results are used for.
func (c *Cache) Mode() Mode {
	if c == nil {
		return Off
	}
	return c.mode
}

// Usable reports whether the server answers.
func (c *Cache) Usable() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.off
}

// Stats returns the counts so far.
func (c *Cache) Stats() Stats {
	if c == nil {
		return Stats{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// once says something unless it has been said.
func (c *Cache) once(kind, format string, args ...any) {
	c.mu.Lock()
	said := c.said[kind]
	c.said[kind] = true
	c.mu.Unlock()
	if !said && c.say != nil {
		c.say(fmt.Sprintf(format, args...))
	}
}

// trouble takes note of an error from the server. After a fault the server is
// left alone until it answers again.
func (c *Cache) trouble(err error) {
	var corrupt *reapi.CorruptError
	switch {
	case err == nil, errors.Is(err, reapi.ErrNotFound), errors.Is(err, context.Canceled):
	case errors.As(err, &corrupt):
		c.once("corrupt", "%v; such results are computed here", err)
	case reapi.IsFault(err):
		c.once("fault", "%v; going on without it", err)
		c.leave()
	default:
		c.once("error", "%v; going on without that", err)
	}
}

// Trouble is for errors of other calls to the same server.
func (c *Cache) Trouble(err error) { c.trouble(err) }

// comeBackAfter is how long a server that does not answer is left alone.
const comeBackAfter = 5 * time.Second

// leave stops using the server and looks after it in the background.
func (c *Cache) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off || c.ctx.Err() != nil {
		return
	}
	c.off = true
	c.there = map[reapi.Digest]bool{} // it may come back empty
	c.misses = map[cache.Digest]bool{}
	c.wg.Go(c.comeBack)
}

func (c *Cache) comeBack() {
	t := time.NewTicker(comeBackAfter)
	defer t.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-t.C:
		}
		if err := c.client.Connect(c.ctx); err != nil {
			continue
		}
		c.mu.Lock()
		c.off = false
		c.said["fault"] = false
		c.mu.Unlock()
		if c.say != nil {
			c.say(fmt.Sprintf("remote %s: it answers again", c.client.Address()))
		}
		return
	}
}

// Has reports whether the leaf was seen on the server.
func (c *Cache) Has(d artifact.Entry) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.off && c.there[reapi.Digest{Hash: string(d.Digest), Size: d.Size}]
}

// Holds reports whether the server has all the leaves, asking it about those
// that were not seen there.
func (c *Cache) Holds(ctx context.Context, leaves []artifact.Entry) bool {
	if !c.Usable() {
		return false
	}
	var ds []reapi.Digest
	for _, l := range leaves {
		ds = append(ds, reapi.Digest{Hash: string(l.Digest), Size: l.Size})
	}
	missing, err := c.Missing(ctx, ds)
	c.trouble(err)
	return err == nil && len(missing) == 0
}

// Saw notes that blobs are on the server.
func (c *Cache) Saw(ds ...reapi.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range ds {
		c.there[d] = true
	}
}

// Forget notes that blobs may not be on the server.
func (c *Cache) Forget(ds ...reapi.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range ds {
		delete(c.there, d)
	}
}

// unseen returns those of the digests that were not seen on the server, each
// once.
func (c *Cache) unseen(ds []reapi.Digest) []reapi.Digest {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []reapi.Digest
	dup := map[reapi.Digest]bool{}
	for _, d := range ds {
		if !c.there[d] && !dup[d] {
			dup[d] = true
			out = append(out, d)
		}
	}
	return out
}

// Missing returns those of the blobs that the server lacks.
func (c *Cache) Missing(ctx context.Context, ds []reapi.Digest) ([]reapi.Digest, error) {
	ask := c.unseen(ds)
	if len(ask) == 0 {
		return nil, nil
	}
	missing, err := c.client.Missing(ctx, ask)
	if err != nil {
		return nil, err
	}
	gone := map[reapi.Digest]bool{}
	for _, d := range missing {
		gone[d] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range ask {
		if !gone[d] {
			c.there[d] = true
		}
	}
	return missing, nil
}

// Ensure uploads those of the blobs that the server lacks. Blobs without Open
// are not at hand: those that the server lacks too are lost.
func (c *Cache) Ensure(ctx context.Context, blobs []reapi.Blob) (lost []reapi.Digest, err error) {
	var ds []reapi.Digest
	for _, b := range blobs {
		ds = append(ds, b.Digest)
	}
	missing, err := c.Missing(ctx, ds)
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	want := map[reapi.Digest]bool{}
	for _, d := range missing {
		want[d] = true
	}
	var send []reapi.Blob
	var bytes int64
	for _, b := range blobs {
		if !want[b.Digest] {
			continue
		}
		delete(want, b.Digest)
		if b.Open == nil {
			lost = append(lost, b.Digest)
			continue
		}
		send = append(send, b)
		bytes += b.Size
	}
	if len(lost) > 0 {
		return lost, nil
	}
	if err := c.client.Upload(ctx, send); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Uploaded += bytes
	for _, b := range send {
		c.there[b.Digest] = true
	}
	return nil, nil
}
