package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/compressc/compressc/cache/fault"
)

// A VerifyMode says when blobs are hashed on reading. Lengths are always
// checked.
type VerifyMode string

// The verification modes.
const (
	VerifyFirst VerifyMode = "first" // on the first use in this process (the default)
	VerifyNone  VerifyMode = "none"  // never, except external blobs whose file looks changed
	VerifyFull  VerifyMode = "full"  // every time a blob is opened
)

// Options configure Open. The zero value is what a program normally wants.
type Options struct {
	// Verify says when blobs are hashed; "" is VerifyFirst.
	Verify VerifyMode
	// Recompute makes GetEntry miss always, while PutEntry still compares with
	// what is there: every action runs again and is checked against the past.
	Recompute bool
	// Logf, when not nil, is told what was repaired or looks suspicious. It
	// may be called from several goroutines.
	Logf func(format string, args ...any)
	// Guests are names of what the caller keeps in the store's folder beside the
	// store: they do not make it somebody else's.
	Guests []string
	// Fault, when not nil, replaces the faults that the environment arms.
	Fault *fault.Set
}

const (
	layoutVersion = 1
	versionPrefix = "compressc cache "

	dirBlobs      = "blobs"
	dirAct        = "act"
	dirDef        = "def"
	dirExt        = "ext"
	dirStat       = "stat"
	dirTaint      = "taint"
	dirRuns       = "runs"
	dirLeases     = "leases"
	dirLocks      = "locks"
	dirTmp        = "tmp"
	dirTrash      = "trash"
	dirQuarantine = "quarantine"
	fileVersion   = "VERSION"
	fileTag       = "CACHEDIR.TAG"

	// useInterval is how coarsely a file's modification time follows its last
	// use. An hour is far below any age that gc works with, and saves an inode
	// update at each reading.
	useInterval = time.Hour
)

var layoutDirs = []string{
	dirTmp, dirBlobs, dirAct, dirDef, dirExt, dirStat, dirTaint, dirRuns,
	dirLeases, dirLocks, dirTrash, dirQuarantine, dirMemo, dirPins,
}

// A Store is a cache on disk. All methods may be called from several
// goroutines, and any number of processes may have the same folder open.
type Store struct {
	dir   string
	opts  Options
	fault *fault.Set
	now   func() time.Time

	lease *lease
	seq   atomic.Uint64 // numbers tmp and quarantine files
	wrote atomic.Int64  // bytes of blobs since Trim

	mu       sync.Mutex
	maps     map[Digest]*mapping    // blobs mapped now
	verified map[Digest]os.FileInfo // files whose hash this process has checked
	hashed   map[rangeKey]Digest    // ranges of source files this process has hashed
	durable  map[Digest]bool        // blobs whose names are known to be synced
	rooted   map[string]bool        // shard folders whose own names are synced
	closed   bool
}

// DefaultDir returns the folder used unless the user names one:
// $XDG_CACHE_HOME/compressc, else compressc in the system's folder for the
// user's caches. It is "" when neither is known; Open explains that.
func DefaultDir() string {
	if x := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(x) {
		return filepath.Join(x, "compressc")
	}
	if d, err := os.UserCacheDir(); err == nil {
		return filepath.Join(d, "compressc")
	}
	return ""
}

// Open opens the store in dir and creates it if there is none. It refuses a
// folder of a newer layout (*VersionError), a folder that holds something
// else, and one that cannot be written to (*WriteError). It removes what dead
// processes left in tmp/. The caller must Close the store.
func Open(dir string, opts Options) (*Store, error) {
	if dir == "" {
		return nil, errors.New("cache: no folder: neither XDG_CACHE_HOME nor HOME is set; name one with --cache-dir")
	}
	switch opts.Verify {
	case "":
		opts.Verify = VerifyFirst
	case VerifyFirst, VerifyNone, VerifyFull:
	default:
		return nil, fmt.Errorf("cache: verify mode %q: want first, none or full", opts.Verify)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cache folder %s: %w", dir, err)
	}
	faults := opts.Fault
	if faults == nil {
		if faults, err = fault.FromEnv(); err != nil {
			return nil, err
		}
	}
	s := &Store{
		dir: abs, opts: opts, fault: faults, now: faults.Now,
		maps:     make(map[Digest]*mapping),
		verified: make(map[Digest]os.FileInfo),
		hashed:   make(map[rangeKey]Digest),
		durable:  make(map[Digest]bool),
		rooted:   make(map[string]bool),
	}
	fresh, err := s.checkVersion()
	if err != nil {
		return nil, err
	}
	for _, d := range layoutDirs {
		if err := os.MkdirAll(filepath.Join(abs, d), 0o777); err != nil {
			return nil, s.writeError("its layout", -1, err)
		}
	}
	if s.lease, err = s.newLease(); err != nil {
		return nil, err
	}
	if fresh {
		if err := s.writeVersion(); err != nil {
			return nil, errors.Join(err, s.lease.close())
		}
	}
	if name := networkFS(abs); name != "" {
		s.logf("cache folder %s is on a network file system (%s): locks between processes may not hold there; prefer a local folder (--cache-dir)", abs, name)
	}
	if err := s.sweep(); err != nil {
		s.logf("cache folder %s: removing what dead processes left: %v", abs, err)
	}
	return s, nil
}

// Dir returns the store's folder as an absolute path.
func (s *Store) Dir() string { return s.dir }

// Free returns how many bytes can still be written to the store's disk, -1 if
// that is not known.
func (s *Store) Free() int64 { return freeBytes(s.dir) }

// Close gives up the process's lease. Every Blob must have been released and
// every BlobWriter committed or aborted. Calling it again does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	mapped := len(s.maps)
	s.mu.Unlock()
	if closed {
		return nil
	}
	err := s.lease.close()
	if mapped > 0 {
		err = errors.Join(err, fmt.Errorf("cache: closed while %d blobs are still mapped", mapped))
	}
	return err
}

func (s *Store) logf(format string, args ...any) {
	if s.opts.Logf != nil {
		s.opts.Logf(format, args...)
	}
}

// checkVersion reports whether the folder is yet to become a store.
func (s *Store) checkVersion() (fresh bool, err error) {
	data, err := os.ReadFile(filepath.Join(s.dir, fileVersion))
	if err == nil {
		text, ok := strings.CutPrefix(strings.TrimSpace(string(data)), versionPrefix)
		v, convErr := strconv.Atoi(text)
		if !ok || convErr != nil || v < 1 {
			return false, fmt.Errorf("cache folder %s: its %s file says %.40q, expected %q; choose another folder with --cache-dir", s.dir, fileVersion, data, versionPrefix+strconv.Itoa(layoutVersion))
		}
		if v != layoutVersion {
			return false, &VersionError{Dir: s.dir, Have: v, Supported: layoutVersion}
		}
		return false, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("cache folder %s: %w; choose another folder with --cache-dir", s.dir, err)
	}
	// No VERSION: a new folder, one whose creation was cut short, or
	// somebody's home folder that gc must never get to work in.
	names, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("cache folder %s: %w; choose another folder with --cache-dir", s.dir, err)
	}
	for _, n := range names {
		if !s.ownName(n.Name()) {
			return false, fmt.Errorf("cache folder %s holds other things (%s) and no %s file; name an empty or new folder with --cache-dir", s.dir, n.Name(), fileVersion)
		}
	}
	return true, nil
}

func (s *Store) ownName(name string) bool {
	for _, own := range [][]string{layoutDirs, {fileVersion, fileTag, fileGeneration, fileRoom}, s.opts.Guests} {
		if slices.Contains(own, name) {
			return true
		}
	}
	return false
}

// cacheTag marks the folder for backup programs: bford.info/cachedir.
const cacheTag = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of compressc; it can be made again.\n"

func (s *Store) writeVersion() error {
	if err := s.writeRecord(filepath.Join(s.dir, fileTag), []byte(cacheTag), fileTag, replace); err != nil {
		return err
	}
	text := versionPrefix + strconv.Itoa(layoutVersion) + "\n"
	return s.writeRecord(filepath.Join(s.dir, fileVersion), []byte(text), "its "+fileVersion+" file", replace)
}

// shard returns the path of d in a folder that is split by the first two digits.
func (s *Store) shard(kind string, d Digest) string {
	return filepath.Join(s.dir, kind, string(d[:2]), string(d))
}

// touch moves a file's modification time, which stands for its last use. It
// may fail without harm: the file then looks older than it is, and leases
// still protect it.
func (s *Store) touch(path string, info fs.FileInfo) {
	now := s.now()
	if now.Sub(info.ModTime()) >= useInterval {
		if err := os.Chtimes(path, now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.logf("cache: noting the use of %s: %v", path, err)
		}
	}
}
