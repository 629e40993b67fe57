package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// CheckOptions say how deep Check looks. Structure and sizes are always
// checked.
type CheckOptions struct {
	// Subset {k, n}, with 1 <= k <= n, hashes the k-th of n parts of the
	// blobs, so that n checks see all. {0, 0} hashes none.
	Subset [2]int
	// Full hashes all blobs, and the external ones.
	Full bool
	// Repair drops records that are damaged or promise blobs that are not
	// there, clears tainted actions, and quarantines damaged blobs and
	// strangers, so that what is lost is computed again.
	Repair bool
}

// The kinds of Problem.
const (
	ProblemStray   = "stray"   // a file that does not belong where it is
	ProblemRecord  = "record"  // a small record is damaged
	ProblemMissing = "missing" // an entry's durable blob is not there
	ProblemSize    = "size"    // a blob's size is not what a manifest says
	ProblemContent = "content" // a blob's bytes do not match its digest
	ProblemSource  = "source"  // an external blob's source file no longer has the bytes
	ProblemTaint   = "taint"   // an action gave two different results
)

// A Problem is one thing that Check found.
type Problem struct {
	Kind     string `json:"kind"`
	Path     string `json:"path"`   // of the file concerned
	Digest   Digest `json:"digest"` // of the blob or action concerned, "" if none
	Detail   string `json:"detail"`
	Repaired bool   `json:"repaired"`
}

func (p Problem) String() string {
	state := ""
	if p.Repaired {
		state = " (repaired)"
	}
	return fmt.Sprintf("%s: %s: %s%s", p.Kind, p.Path, p.Detail, state)
}

// CheckReport is the result of Check.
type CheckReport struct {
	Entries  int       `json:"entries"`
	Blobs    int       `json:"blobs"`
	Records  int       `json:"records"` // other small records
	Hashed   Count     `json:"hashed"`  // blobs hashed
	Problems []Problem `json:"problems"`
}

// Clean reports whether nothing was found.
func (r CheckReport) Clean() bool { return len(r.Problems) == 0 }

// Check examines the store. The error is about being unable to look; what it
// finds is in the report, ordered by path. Other processes may use the store
// meanwhile; what they add or remove is not taken for a problem, except that a
// gc may take an entry's blob between the two looks at them.
func (s *Store) Check(ctx context.Context, opts CheckOptions) (CheckReport, error) {
	k, n := opts.Subset[0], opts.Subset[1]
	if (k != 0 || n != 0) && (k < 1 || k > n) {
		return CheckReport{}, fmt.Errorf("cache: check: subset %d/%d: want k/n with 1 <= k <= n", k, n)
	}
	c := &checker{s: s, opts: opts, sizes: make(map[Digest]int64)}
	for _, step := range []func(context.Context) error{c.blobs, c.records, c.entries, c.taints} {
		if err := step(ctx); err != nil {
			return c.report, fmt.Errorf("cache: check: %w", err)
		}
	}
	slices.SortFunc(c.report.Problems, func(a, b Problem) int {
		if d := strings.Compare(a.Path, b.Path); d != 0 {
			return d
		}
		return strings.Compare(a.Detail, b.Detail)
	})
	return c.report, nil
}

type checker struct {
	s     *Store
	opts  CheckOptions
	sizes map[Digest]int64 // blobs that are there and not found damaged

	mu     sync.Mutex // guards report while blobs are hashed
	report CheckReport
}

func (c *checker) found(p Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Problems = append(c.report.Problems, p)
}

// stray reports, and on Repair quarantines, a file that does not belong.
func (c *checker) stray(f file, detail string) error {
	p := Problem{Kind: ProblemStray, Path: f.path(), Detail: detail}
	if c.opts.Repair {
		to := filepath.Join(c.s.dir, dirQuarantine, "stray."+c.s.lease.id+"."+strconv.FormatUint(c.s.seq.Add(1), 10))
		if err := os.Rename(f.path(), to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		p.Repaired = true
	}
	c.found(p)
	return nil
}

// inPlace reports whether f is named by a digest and lies in its shard.
func (c *checker) inPlace(kind string, f file) bool {
	d := Digest(f.name)
	return d.Valid() && f.path() == c.s.shard(kind, d)
}

func (c *checker) hashes(d Digest) bool {
	if c.opts.Full {
		return true
	}
	if c.opts.Subset[1] == 0 {
		return false
	}
	// The digest's first 32 bits are as good as random.
	v, err := strconv.ParseUint(string(d[:8]), 16, 32)
	return err == nil && int(v%uint64(c.opts.Subset[1])) == c.opts.Subset[0]-1
}

// blobs walks blobs/ and hashes what the options ask for, several at a time.
func (c *checker) blobs(ctx context.Context) error {
	var todo []file
	for f, err := range c.s.files(dirBlobs) {
		if err != nil {
			return err
		}
		if !c.inPlace(dirBlobs, f) {
			if err := c.stray(f, "not a blob's name in its folder"); err != nil {
				return err
			}
			continue
		}
		c.report.Blobs++
		d := Digest(f.name)
		c.sizes[d] = f.size
		if c.hashes(d) {
			todo = append(todo, f)
		}
	}
	bad := make([]bool, len(todo))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, f := range todo {
		g.Go(func() (err error) {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			bad[i], err = c.hashBlob(f)
			return err
		})
	}
	err := g.Wait()
	for i, f := range todo {
		if bad[i] {
			delete(c.sizes, Digest(f.name))
		}
	}
	return err
}

func (c *checker) hashBlob(f file) (bad bool, err error) {
	d := Digest(f.name)
	h := sha256.New()
	r, err := os.Open(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // gone since; entries that need it say so
	}
	if err != nil {
		return false, err
	}
	defer r.Close()
	n, err := io.Copy(h, r)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	c.report.Hashed.add(n)
	c.mu.Unlock()
	got := digestOf(h)
	if got == d {
		return false, nil
	}
	p := Problem{Kind: ProblemContent, Path: f.path(), Digest: d, Detail: fmt.Sprintf("its %d bytes have digest %s", n, got)}
	if c.opts.Repair {
		info, err := r.Stat()
		if err != nil {
			return true, err
		}
		if err := c.s.quarantine(d, info, "found by check"); err != nil {
			return true, err
		}
		p.Repaired = true
	}
	c.found(p)
	return true, nil
}

// record checks one small record; parse gets its text.
func (c *checker) record(f file, parse func(data []byte) error) error {
	data, err := os.ReadFile(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	why := parse(data)
	if why == nil {
		return nil
	}
	p := Problem{Kind: ProblemRecord, Path: f.path(), Digest: Digest(f.name), Detail: why.Error()}
	if !p.Digest.Valid() {
		p.Digest = ""
	}
	if c.opts.Repair {
		c.s.dropRecord(f.path(), data, why)
		p.Repaired = true
	}
	c.found(p)
	return nil
}

// records checks everything small except the index.
func (c *checker) records(ctx context.Context) error {
	kinds := []struct {
		dir   string
		parse func(name string, data []byte) error
	}{
		{dirDef, func(_ string, data []byte) error { _, err := parseDef(data); return err }},
		{dirExt, func(_ string, data []byte) error { _, err := parseLocations(data); return err }},
		{dirStat, func(_ string, data []byte) error { _, err := parseStat(data); return err }},
		{dirMemo, func(_ string, data []byte) error { _, _, err := parseMemo(data); return err }},
		{dirPins, func(_ string, data []byte) error { _, err := parsePin(data); return err }},
		{dirRuns, func(name string, data []byte) error { _, err := parseRunFile(name, data); return err }},
	}
	for _, k := range kinds {
		for f, err := range c.s.files(k.dir) {
			if err != nil {
				return err
			}
			if err := context.Cause(ctx); err != nil {
				return err
			}
			own := c.inPlace(k.dir, f)
			switch k.dir {
			case dirRuns:
				own = strings.HasSuffix(f.name, runSuffix) || strings.HasSuffix(f.name, openSuffix)
			case dirPins:
				own = strings.HasSuffix(f.name, pinSuffix)
			}
			if !own {
				if err := c.stray(f, "not a record's name in its folder"); err != nil {
					return err
				}
				continue
			}
			c.report.Records++
			if err := c.record(f, func(data []byte) error { return k.parse(f.name, data) }); err != nil {
				return err
			}
			if k.dir == dirExt && c.opts.Full {
				if err := c.source(f); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// source hashes an external blob in its source file.
func (c *checker) source(f file) error {
	d := Digest(f.name)
	m := &mapping{digest: d}
	var why []error
	locs := c.s.locations(d)
	for _, loc := range locs {
		_, _, err := c.s.mapExternal(m, loc)
		if err == nil {
			sum := Sum(m.data)
			n := int64(len(m.data))
			m.unmap()
			if sum == d {
				c.report.Hashed.add(n)
				return nil
			}
			err = loc.changed("its content is another")
		}
		why = append(why, err)
	}
	if len(locs) == 0 {
		return nil // reported as a damaged record, or removed meanwhile
	}
	p := Problem{Kind: ProblemSource, Path: f.path(), Digest: d, Detail: errors.Join(why...).Error()}
	if c.opts.Repair {
		if err := removeIfThere(f.path()); err != nil {
			return err
		}
		p.Repaired = true
	}
	c.found(p)
	return nil
}

// entries checks the index, and the blobs that it promises against c.sizes.
func (c *checker) entries(ctx context.Context) error {
	for f, err := range c.s.files(dirAct) {
		if err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if !c.inPlace(dirAct, f) {
			if err := c.stray(f, "not an action's name in its folder"); err != nil {
				return err
			}
			continue
		}
		c.report.Entries++
		var e *Entry
		var text []byte
		err := c.record(f, func(data []byte) (err error) {
			text = data
			e, err = parseEntry(data, Digest(f.name))
			return err
		})
		if err != nil {
			return err
		}
		if e == nil {
			continue
		}
		c.promised(f, e, text)
	}
	return nil
}

// promised checks the durable blobs of an entry. Stored ones of the wrong size
// and missing ones are reported once for each entry that they spoil.
func (c *checker) promised(f file, e *Entry, text []byte) {
	for _, b := range e.blobs(isDurable) {
		size, ok := c.sizes[b.Digest]
		if !ok {
			// Not seen when blobs were walked: external, or put since.
			now, err := c.s.Size(b.Digest)
			size, ok = now, err == nil
		}
		p := Problem{Path: f.path(), Digest: b.Digest}
		switch {
		case !ok:
			p.Kind, p.Detail = ProblemMissing, fmt.Sprintf("blob %s of the durable output is not in the store", b.Digest.Short())
		case b.Size != nil && size != *b.Size:
			p.Kind, p.Detail = ProblemSize, fmt.Sprintf("blob %s has %d bytes, its manifest says %d", b.Digest.Short(), size, *b.Size)
		default:
			continue
		}
		if c.opts.Repair {
			if p.Kind == ProblemSize {
				if _, err := c.s.intact(b); err != nil { // quarantines it
					c.s.logf("cache: check: %v", err)
				}
			}
			c.s.dropRecord(f.path(), text, errors.New(p.Detail))
			p.Repaired = true
		}
		c.found(p)
	}
}

func (c *checker) taints(context.Context) error {
	all, err := c.s.Taints()
	if err != nil {
		return err
	}
	for _, t := range all {
		p := Problem{Kind: ProblemTaint, Path: c.s.taintPath(t.Action), Digest: t.Action, Detail: t.Error()}
		if c.opts.Repair {
			if err := c.s.ClearTaint(t.Action); err != nil {
				return err
			}
			p.Repaired = true
		}
		c.found(p)
	}
	return nil
}
