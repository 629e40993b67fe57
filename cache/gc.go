package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/compressc/compressc/cache/fault"
)

// GCOptions say what gc may take. Protected from it, whatever the limits, is
// what the kept runs, Roots and leases reach, and what is younger than MinAge.
// Of the rest, gc takes everything if neither MaxBytes nor MaxAge is given.
type GCOptions struct {
	// MaxBytes is the room that blobs may take together; 0 is no limit. To get
	// there gc evicts bytes and leaves the entries, beginning with what is
	// cheapest to make again per byte freed; see evict.go.
	MaxBytes int64
	// MaxRebuild bounds the time to make again what MaxBytes has had evicted,
	// with everything that this needs; 0 is no bound. It goes by the times that
	// the actions took.
	MaxRebuild time.Duration
	// MaxAge is how long ago an entry may have been used last; 0 is no limit.
	// With it, run records that old go too, but never the kept ones.
	MaxAge time.Duration
	// KeepRuns is how many runs of each pipeline are kept: 0 means 10, less
	// than 0 means none.
	KeepRuns int
	// MinAge spares what was used within it: 0 means 24 hours, less than 0
	// means nothing is spared for its age. It covers processes that have made
	// a blob and are yet to say so.
	MinAge time.Duration
	// Roots are further actions and blobs to keep: of saved plans and lock
	// files.
	Roots []Digest
	// DryRun only counts.
	DryRun bool
	// Now deletes at once instead of moving blobs to the trash, where they can
	// be taken back until the next gc.
	Now bool
}

// The values that GCOptions' zeros stand for.
const (
	DefaultKeepRuns = 10
	DefaultMinAge   = 24 * time.Hour
)

// GCReport says what gc took, or with DryRun would take.
type GCReport struct {
	Entries Count `json:"entries"` // out of the index
	Evicted Count `json:"evicted"` // entries that stay without their bytes
	Blobs   Count `json:"blobs"`   // out of the store, into the trash unless Now
	Records Count `json:"records"` // definitions, external and stat records, run records, locks
	Freed   Count `json:"freed"`   // deleted for good: trash of earlier times, tmp, quarantine; with Now the blobs too
	Kept    Count `json:"kept"`    // blobs that are left
	// Over is by how many bytes Kept exceeds MaxBytes because the rest is
	// protected, or would take longer than MaxRebuild to make again: fewer kept
	// runs or a higher bound would help.
	Over int64 `json:"over"`
	// Rebuild is the longest time in seconds that making an evicted entry again
	// would take.
	Rebuild float64 `json:"rebuild_seconds"`
}

const (
	gcLock = "gc.lock"
	// gcBatch is how many files are taken under one hold of the removal lock,
	// short enough that other processes do not notice.
	gcBatch = 64
	// statMaxAge is how long digests of source files are remembered unused.
	statMaxAge = 90 * 24 * time.Hour
	// maxSkew is how far the file system's clock may be from this machine's
	// before ages mean nothing.
	maxSkew = 5 * time.Minute
)

// GC takes out of the store what nothing protects. Any number of processes may
// use the store meanwhile; a second gc at the same time fails with ErrInUse in
// the chain. If ctx ends, gc stops between two batches and the store is sound.
func (s *Store) GC(ctx context.Context, opts GCOptions) (GCReport, error) {
	if opts.KeepRuns == 0 {
		opts.KeepRuns = DefaultKeepRuns
	}
	if opts.MinAge == 0 {
		opts.MinAge = DefaultMinAge
	}
	if opts.MaxBytes < 0 || opts.MaxAge < 0 || opts.MaxRebuild < 0 {
		return GCReport{}, fmt.Errorf("cache: gc: limits must not be negative: %d bytes, %v, %v to rebuild", opts.MaxBytes, opts.MaxAge, opts.MaxRebuild)
	}
	for _, d := range opts.Roots {
		if err := d.check("gc root"); err != nil {
			return GCReport{}, err
		}
	}
	lock := flock.New(filepath.Join(s.dir, dirLeases, gcLock), flock.SetPermissions(0o644))
	ok, err := lock.TryLock()
	if err != nil {
		return GCReport{}, s.writeError("the gc lock", -1, err)
	}
	if !ok {
		return GCReport{}, fmt.Errorf("cache: gc of %s: another gc is under way: %w", s.dir, ErrInUse)
	}
	g := &collector{s: s, opts: opts, leases: s.newLeases("")}
	err = g.run(ctx)
	if unlockErr := lock.Unlock(); err == nil {
		err = unlockErr
	}
	if err != nil {
		return g.report, fmt.Errorf("cache: gc: %w", err)
	}
	return g.report, nil
}

// A collector is one gc.
type collector struct {
	s      *Store
	opts   GCOptions
	now    time.Time
	leases *leases
	report GCReport

	roots   map[Digest]bool // actions and blobs that runs and options keep
	tainted map[Digest]bool // actions
	oldRuns []file
	entries []*candidate
	known   map[string]bool // names of the index files behind entries
	blobs   map[Digest]file
}

// run follows the one safe order: index entries first, so that no entry ever
// names a blob that gc took, then blobs.
func (g *collector) run(ctx context.Context) error {
	if err := g.checkClock(); err != nil {
		return err
	}
	if err := g.s.exclusive(g.leases.refresh); err != nil {
		return err
	}
	if err := g.emptyTrash(ctx); err != nil {
		return err
	}
	if err := g.mark(); err != nil {
		return err
	}
	out, evict := g.choose()
	if err := g.takeEntries(ctx, out, &g.report.Entries, g.takeOld, func(c *candidate) { c.taken = true }); err != nil {
		return err
	}
	if err := g.takeEntries(ctx, evict, &g.report.Evicted, g.markEvicted, func(c *candidate) { c.evicted = true }); err != nil {
		return err
	}
	if err := g.takeBlobs(ctx); err != nil {
		return err
	}
	return g.takeRecords(ctx)
}

// checkClock compares this machine's clock with the file system's: with a
// clock that is ahead, everything would look old. Ages then go by the file
// system's clock, so that one which jumps later does no harm.
func (g *collector) checkClock() error {
	f, err := g.s.createTemp()
	if err != nil {
		return g.s.writeError("a file to compare clocks", -1, err)
	}
	info, err := f.Stat()
	err = errors.Join(err, f.Close(), removeIfThere(f.Name()))
	if err != nil {
		return err
	}
	if skew := g.s.now().Sub(info.ModTime()); skew.Abs() > maxSkew {
		return fmt.Errorf("this machine's clock and that of %s differ by %v; files' ages cannot be trusted, set the clocks first", g.s.dir, skew.Round(time.Second))
	}
	g.now = info.ModTime()
	return nil
}

// young reports whether what was used then is spared for its age. Without a
// least age nothing is, and neither is what a clock that was set back since
// makes a thing of the future.
func (g *collector) young(used time.Time) bool {
	return g.opts.MinAge >= 0 && g.now.Sub(used) < g.opts.MinAge
}

// batches calls take for each file, holding the removal lock over some at a
// time with leases freshly read. take reports whether the file was taken.
func (g *collector) batches(ctx context.Context, files []file, c *Count, take func(f file) (bool, error)) error {
	if g.opts.DryRun {
		for _, f := range files {
			if !g.leases.held[Digest(f.name)] {
				c.add(f.size)
			}
		}
		return nil
	}
	for batch := range slices.Chunk(files, gcBatch) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		err := g.s.exclusive(func() error {
			if err := g.leases.refresh(); err != nil {
				return err
			}
			if err := g.s.invalidate(); err != nil {
				return err
			}
			for _, f := range batch {
				if g.leases.held[Digest(f.name)] {
					continue
				}
				ok, err := take(f)
				if err != nil {
					return err
				}
				if ok {
					c.add(f.size)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// stillOld reports whether f is there and was not used since it was looked at.
func (g *collector) stillOld(f file) (bool, error) {
	info, err := os.Stat(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return !g.young(info.ModTime()) && !info.ModTime().After(f.changed()), nil
}

func (g *collector) takeOld(f file) (bool, error) {
	old, err := g.stillOld(f)
	if err != nil || !old {
		return false, err
	}
	return g.s.removeFile(f.path())
}

func (g *collector) remove(f file) (bool, error) { return g.s.removeFile(f.path()) }

// emptyTrash deletes what an earlier gc moved there and nobody took back, the
// remains of dead processes, and old quarantined files.
func (g *collector) emptyTrash(ctx context.Context) error {
	var doomed []file
	for f, err := range g.s.files(dirTrash) {
		if err != nil {
			return err
		}
		doomed = append(doomed, f)
	}
	for f, err := range g.s.files(dirQuarantine) {
		if err != nil {
			return err
		}
		if !g.young(f.changed()) {
			doomed = append(doomed, f)
		}
	}
	for f, err := range g.s.files(dirTmp) {
		if err != nil {
			return err
		}
		if id, _, _ := strings.Cut(f.name, "."); !g.leases.live[id] {
			doomed = append(doomed, f)
		}
	}
	return g.batches(ctx, doomed, &g.report.Freed, g.remove)
}

// takeEntries has take work on index entries, except those used or leased
// meanwhile, and tells done of each that it did.
func (g *collector) takeEntries(ctx context.Context, victims []*candidate, c *Count, take func(file) (bool, error), done func(*candidate)) error {
	byPath := make(map[string]*candidate)
	var files []file
	var dirs []string
	for _, v := range victims {
		byPath[v.file.path()] = v
		files = append(files, v.file)
		dirs = append(dirs, v.file.dir)
	}
	if g.opts.DryRun {
		for _, v := range victims {
			if !g.leases.held[v.action] {
				done(v)
			}
		}
	}
	err := g.batches(ctx, files, c, func(f file) (bool, error) {
		ok, err := take(f)
		if ok {
			done(byPath[f.path()])
		}
		return ok, err
	})
	if err != nil || g.opts.DryRun {
		return err
	}
	// Before any blob goes, so that a power cut does not bring back an entry
	// whose blobs are gone.
	return g.s.syncDirs(dirs)
}

// takeBlobs removes the blobs that no entry left needs.
func (g *collector) takeBlobs(ctx context.Context) error {
	// Entries that have appeared since the marking; their blobs may be old.
	for f, err := range g.s.files(dirAct) {
		if err != nil {
			return err
		}
		if !g.known[f.name] {
			g.addEntry(f)
		}
	}
	needed := make(map[Digest]bool)
	for _, e := range g.entries {
		for _, d := range e.needs() {
			needed[d] = true
		}
	}
	var doomed []file
	for _, d := range sortedKeys(g.blobs) {
		f := g.blobs[d]
		if needed[d] || g.roots[d] || g.young(f.changed()) {
			g.report.Kept.add(f.size)
			continue
		}
		doomed = append(doomed, f)
	}
	err := g.batches(ctx, doomed, &g.report.Blobs, func(f file) (bool, error) {
		if g.opts.Now {
			return g.takeOld(f)
		}
		old, err := g.stillOld(f)
		if err != nil || !old {
			return false, err
		}
		trashed := filepath.Join(g.s.dir, dirTrash, f.name)
		if err := g.s.fault.Hit(fault.Rename, trashed); err != nil {
			return false, g.s.writeError("a blob into the trash", f.size, err)
		}
		return true, g.s.writeError("a blob into the trash", f.size, os.Rename(f.path(), trashed))
	})
	if err != nil {
		return err
	}
	if g.opts.Now {
		g.report.Freed.Files += g.report.Blobs.Files
		g.report.Freed.Bytes += g.report.Blobs.Bytes
	}
	for _, f := range doomed { // those that were spared after all
		g.report.Kept.add(f.size)
	}
	g.report.Kept.Files -= g.report.Blobs.Files
	g.report.Kept.Bytes -= g.report.Blobs.Bytes
	if g.opts.MaxBytes > 0 {
		g.report.Over = max(0, g.report.Kept.Bytes-g.opts.MaxBytes)
	}
	return nil
}

// needs lists the blobs that an entry keeps in the store. Bytes of one that
// was evicted earlier have been made again since if they are there.
func (c *candidate) needs() []Digest {
	if c.taken {
		return nil
	}
	var ds []Digest
	if c.record != "" {
		ds = append(ds, c.record)
	}
	if !c.chosen || !c.evicted {
		ds = append(ds, c.blobs...)
	}
	return ds
}

// takeRecords removes the small files that have lost their meaning.
func (g *collector) takeRecords(ctx context.Context) error {
	var doomed []file
	add := func(kind string, lost func(f file) bool) error {
		for f, err := range g.s.files(kind) {
			if err != nil {
				return err
			}
			if !g.young(f.changed()) && lost(f) {
				doomed = append(doomed, f)
			}
		}
		return nil
	}
	actions, needed := make(map[Digest]bool), make(map[Digest]bool)
	for _, e := range g.entries {
		if !e.taken {
			actions[e.action] = true
			for _, d := range e.blobs {
				needed[d] = true
			}
		}
	}
	generation, err := g.s.generation()
	if err != nil {
		return err
	}
	err = errors.Join(
		add(dirDef, func(f file) bool {
			data, err := os.ReadFile(f.path())
			if err != nil {
				return false
			}
			action, err := parseDef(data)
			return err != nil || !actions[action]
		}),
		add(dirExt, func(f file) bool {
			d := Digest(f.name)
			return !needed[d] && !g.roots[d]
		}),
		add(dirMemo, func(f file) bool {
			data, err := os.ReadFile(f.path())
			if err != nil {
				return false
			}
			of, _, err := parseMemo(data)
			if of == timeless {
				return g.now.Sub(f.changed()) >= statMaxAge
			}
			return err != nil || of != generation
		}),
		add(dirStat, func(f file) bool { return g.now.Sub(f.changed()) >= statMaxAge }),
	)
	if err != nil {
		return err
	}
	doomed = append(doomed, g.oldRuns...)
	if err := g.batches(ctx, doomed, &g.report.Records, g.takeOld); err != nil {
		return err
	}
	return g.takeLocks()
}

// takeLocks removes the action locks of processes that were killed.
func (g *collector) takeLocks() error {
	for f, err := range g.s.files(dirLocks) {
		if err != nil {
			return err
		}
		if g.young(f.changed()) {
			continue
		}
		if !g.opts.DryRun {
			l, err := g.s.tryLock(f.path())
			if err != nil {
				return err
			}
			if l == nil {
				continue // held
			}
			g.s.unlocker(l)()
		}
		g.report.Records.add(f.size)
	}
	return nil
}
