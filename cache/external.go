package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// An External says where in a source file a blob's bytes lie.
type External struct {
	Path   string // made absolute by AddExternal
	Offset int64
	Length int64 // in bytes
}

// location is an External with the state of its file when the bytes were known
// to be right.
type location struct {
	Path   string   `json:"path"`
	Offset int64    `json:"offset"`
	Length int64    `json:"length"`
	Stat   fileStat `json:"stat"`
}

// fileStat identifies a file's content as well as metadata can. Times are in
// nanoseconds since 1970. The change time is there because modification times
// are easily set back, by tar and rsync for instance.
type fileStat struct {
	Dev   uint64 `json:"dev"`
	Ino   uint64 `json:"ino"`
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime"`
	Ctime int64  `json:"ctime"`
}

// rangeKey is a range of a file in a known state.
type rangeKey struct {
	stat           fileStat
	offset, length int64
}

const (
	kindExternal = "external"
	// maxLocations bounds a record: the same tensor in more source files than
	// this is found in the ones seen last.
	maxLocations = 8
)

// AddExternal records that the bytes of blob d lie in a source file. Nothing
// is copied. The content is not hashed now but when the blob is first used;
// HashFile has normally just done it, and then it is not done again. Several
// places may be recorded for one blob.
func (s *Store) AddExternal(d Digest, ext External) error {
	return s.AddExternals(ext.Path, []Digest{d}, []Range{{ext.Offset, ext.Length}})
}

// AddExternals is AddExternal of the blobs that lie in ranges of one file.
func (s *Store) AddExternals(path string, digests []Digest, ranges []Range) error {
	if len(digests) != len(ranges) {
		panic("cache: ranges without digests")
	}
	if len(digests) == 0 {
		return nil
	}
	for _, d := range digests {
		if err := d.check("external blob"); err != nil {
			return err
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("cache: external blob %s: %w", digests[0].Short(), err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("cache: external blob %s: %w", digests[0].Short(), err)
	}
	stat := statOf(info)
	places := map[Digest][]location{}
	var order []Digest
	for i, d := range digests {
		if err := checkRange(ranges[i], info.Size()); err != nil {
			return fmt.Errorf("cache: external blob %s: %s: %w", d.Short(), path, err)
		}
		if places[d] == nil {
			order = append(order, d)
		}
		places[d] = append(places[d], location{Path: path, Offset: ranges[i].Offset, Length: ranges[i].Length, Stat: stat})
	}
	if err := s.Lease(order...); err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, d := range order {
		g.Go(func() error {
			before := s.locations(d)
			locs := before
			for _, loc := range places[d] {
				if !slices.Contains(locs, loc) {
					locs = append([]location{loc}, locs...)
				}
			}
			if len(locs) == len(before) {
				return nil
			}
			return s.writeLocations(d, locs)
		})
	}
	return g.Wait()
}

// locations returns what is recorded for d, the latest first. A damaged record
// is dropped: it only costs that the source has to be given again.
func (s *Store) locations(d Digest) []location {
	path := s.shard(dirExt, d)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var locs []location
	if err == nil {
		locs, err = parseLocations(data)
	}
	if err != nil {
		s.dropRecord(path, data, err)
		return nil
	}
	return locs
}

func parseLocations(data []byte) ([]location, error) {
	body, err := unseal(kindExternal, data)
	if err != nil {
		return nil, err
	}
	var locs []location
	if err := json.Unmarshal(body, &locs); err != nil {
		return nil, fmt.Errorf("external record: %w", err)
	}
	for _, l := range locs {
		if l.Path == "" || l.Offset < 0 || l.Length < 0 || l.Offset+l.Length < 0 {
			return nil, fmt.Errorf("external record: no such range: %+v", l)
		}
	}
	return locs, nil
}

// writeLocations keeps, of locations that name the same range, the first.
func (s *Store) writeLocations(d Digest, locs []location) error {
	path := s.shard(dirExt, d)
	var keep []location
	for _, l := range locs {
		same := func(o location) bool { return o.Path == l.Path && o.Offset == l.Offset && o.Length == l.Length }
		if len(keep) < maxLocations && !slices.ContainsFunc(keep, same) {
			keep = append(keep, l)
		}
	}
	if len(keep) == 0 {
		return removeIfThere(path)
	}
	body, err := json.Marshal(keep)
	if err != nil {
		return fmt.Errorf("cache: external blob %s: %w", d.Short(), err)
	}
	return s.writeHint(path, seal(kindExternal, body), "the place of external blob "+d.Short())
}

// loadExternal maps the first recorded range that holds the right bytes.
// Ranges seen to hold others are forgotten; files that are away are not, since
// a disk may come back.
func (s *Store) loadExternal(m *mapping) error {
	locs := s.locations(m.digest)
	if len(locs) == 0 {
		return fmt.Errorf("cache: blob %s: %w", m.digest, ErrNotFound)
	}
	var failed []error
	for i, loc := range locs {
		now, wrong, err := s.mapExternal(m, loc)
		if err == nil {
			if now != loc.Stat {
				locs[i].Stat = now // touched or moved, the same content: hash no more
				if err := s.writeLocations(m.digest, locs); err != nil {
					s.logf("cache: noting the state of %s: %v", loc.Path, err)
				}
			}
			s.touchPath(s.shard(dirExt, m.digest))
			return nil
		}
		failed = append(failed, err)
		if wrong {
			rest := slices.DeleteFunc(s.locations(m.digest), func(l location) bool { return l == loc })
			if err := s.writeLocations(m.digest, rest); err != nil {
				s.logf("cache: forgetting %s: %v", loc.Path, err)
			}
		}
	}
	return fmt.Errorf("cache: external blob %s: %w", m.digest.Short(), errors.Join(failed...))
}

// mapExternal maps one location and hashes it unless it is known to be good.
// It returns the file's present state, and wrong if the content was hashed and
// is another.
func (s *Store) mapExternal(m *mapping, loc location) (now fileStat, wrong bool, err error) {
	f, err := os.Open(loc.Path)
	if err != nil {
		return fileStat{}, false, fmt.Errorf("%w: %w", ErrChanged, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fileStat{}, false, fmt.Errorf("%w: %w", ErrChanged, err)
	}
	now = statOf(info)
	if checkRange(Range{loc.Offset, loc.Length}, now.Size) != nil {
		return now, true, loc.changed(fmt.Sprintf("it has %d bytes, %d are needed", now.Size, loc.Offset+loc.Length))
	}
	if err := m.mapRange(f, loc.Offset, loc.Length); err != nil {
		return now, false, err
	}
	key := rangeKey{now, loc.Offset, loc.Length}
	s.mu.Lock()
	known := s.hashed[key] == m.digest
	s.mu.Unlock()
	switch {
	case s.opts.Verify == VerifyFull, !known && s.opts.Verify == VerifyFirst, now != loc.Stat:
		if Sum(m.data) != m.digest {
			m.unmap()
			return now, true, loc.changed("its content is another")
		}
		s.remember(key, m.digest)
	}
	loc.Stat = now
	m.source = &loc
	return now, false, nil
}

func (l *location) changed(how string) error {
	return fmt.Errorf("%s (bytes %d to %d): %w: %s", l.Path, l.Offset, l.Offset+l.Length, ErrChanged, how)
}

func (l *location) unchanged() error {
	info, err := os.Stat(l.Path)
	if err != nil {
		return l.changed(err.Error())
	}
	if statOf(info) != l.Stat {
		return l.changed("its size, times or inode are others than when it was opened")
	}
	return nil
}

func (s *Store) touchPath(path string) {
	if info, err := os.Stat(path); err == nil {
		s.touch(path, info)
	}
}

// dropRecord removes a record that was read as data and is no good, unless it
// has been replaced since.
func (s *Store) dropRecord(path string, data []byte, why error) {
	err := s.exclusive(func() error {
		now, err := os.ReadFile(path)
		if err != nil || string(now) != string(data) {
			return nil
		}
		if strings.HasPrefix(path, filepath.Join(s.dir, dirAct)) {
			if err := s.invalidate(); err != nil {
				return err
			}
		}
		_, err = s.removeFile(path)
		return err
	})
	s.logf("cache: dropped %s: %v", path, errors.Join(why, err))
}
