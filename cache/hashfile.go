package cache

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// A Range is a part of a file, in bytes.
type Range struct {
	Offset, Length int64
}

func checkRange(r Range, size int64) error {
	if r.Offset < 0 || r.Length < 0 || r.Offset > size || r.Length > size-r.Offset {
		return fmt.Errorf("range of %d bytes from %d on does not lie in a file of %d bytes", r.Length, r.Offset, size)
	}
	return nil
}

const (
	kindStat = "stat"
	// settled is how old a file's last change must be before its metadata can
	// stand for its content: file systems stamp times as coarsely as 2 s
	// (FAT), and a second change within one tick would not show.
	settled = 3 * time.Second
	// hashBuffer is large enough for sequential reads at full speed.
	hashBuffer = 1 << 20
)

// statRecord remembers digests of ranges of one file in one state.
type statRecord struct {
	Stat   fileStat    `json:"stat"`
	Ranges []rangeHash `json:"ranges"`
}

type rangeHash struct {
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Digest Digest `json:"digest"`
}

// HashFile returns the digests of ranges of a file, in their order, hashing
// several at a time. It remembers them under the file's (device, inode, size,
// modification and change time) and does not read again what it remembers; a
// file that changed less than three seconds ago is neither remembered nor
// looked up. If the file changes meanwhile the error has ErrChanged in its
// chain.
func (s *Store) HashFile(path string, ranges []Range) ([]Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cache: hash: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cache: hash %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("cache: hash %s: not a regular file", path)
	}
	stat := statOf(info)
	for _, r := range ranges {
		if err := checkRange(r, stat.Size); err != nil {
			return nil, fmt.Errorf("cache: hash %s: %w", path, err)
		}
	}
	var rec statRecord
	known := make(map[Range]Digest)
	if s.settled(stat) {
		rec = s.readStat(stat)
		for _, h := range rec.Ranges {
			known[Range{h.Offset, h.Length}] = h.Digest
		}
	}
	todo := make(map[Range]int) // into fresh; each range once
	var fresh []rangeHash
	for _, r := range ranges {
		if _, ok := known[r]; ok {
			continue
		}
		if _, ok := todo[r]; !ok {
			todo[r] = len(fresh)
			fresh = append(fresh, rangeHash{Offset: r.Offset, Length: r.Length})
		}
	}
	if err := hashRanges(f, fresh); err != nil {
		return nil, fmt.Errorf("cache: hash %s: %w", path, err)
	}
	if len(fresh) > 0 {
		after, err := f.Stat()
		if err != nil {
			return nil, fmt.Errorf("cache: hash %s: %w", path, err)
		}
		if statOf(after) != stat {
			return nil, fmt.Errorf("cache: hash %s: %w while it was being read; try again when nobody writes to it", path, ErrChanged)
		}
		for _, h := range fresh {
			s.remember(rangeKey{stat, h.Offset, h.Length}, h.Digest)
		}
		if s.settled(stat) {
			rec.Stat = stat
			rec.Ranges = append(rec.Ranges, fresh...)
			if err := s.writeStat(rec); err != nil {
				s.logf("cache: remembering the digests of %s: %v", path, err)
			}
		}
	}
	out := make([]Digest, len(ranges))
	for i, r := range ranges {
		if d, ok := known[r]; ok {
			out[i] = d
		} else {
			out[i] = fresh[todo[r]].Digest
		}
	}
	return out, nil
}

// hashRanges fills in the digests. Each goroutine writes its own elements.
func hashRanges(f io.ReaderAt, ranges []rangeHash) error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range ranges {
		g.Go(func() error {
			r := &ranges[i]
			h := sha256.New()
			buf := make([]byte, min(hashBuffer, r.Length+1))
			n, err := io.CopyBuffer(onlyWriter{h}, onlyReader{io.NewSectionReader(f, r.Offset, r.Length)}, buf)
			if err == nil && n != r.Length {
				err = fmt.Errorf("%w: it ends after %d bytes", ErrChanged, r.Offset+n)
			}
			if err != nil {
				return fmt.Errorf("bytes %d to %d: %w", r.Offset, r.Offset+r.Length, err)
			}
			r.Digest = digestOf(h)
			return nil
		})
	}
	return g.Wait()
}

// onlyReader and onlyWriter hide the methods by which io.CopyBuffer would
// leave its buffer unused.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

// settled reports whether metadata may stand for content. A file from the
// future, as after a clock was set back, is not settled. Where there are no
// inode numbers nothing is.
func (s *Store) settled(st fileStat) bool {
	return st.Ino != 0 && s.now().UnixNano()-max(st.Mtime, st.Ctime) >= int64(settled)
}

// remember notes for this process that a range has been hashed.
func (s *Store) remember(key rangeKey, d Digest) {
	if s.settled(key.stat) {
		s.mu.Lock()
		s.hashed[key] = d
		s.mu.Unlock()
	}
}

// statPath names a file's record by what a change of content leaves alone, so
// that each file has one record.
func (s *Store) statPath(st fileStat) string {
	return s.shard(dirStat, Sum([]byte(strconv.FormatUint(st.Dev, 10)+":"+strconv.FormatUint(st.Ino, 10))))
}

// readStat returns what is remembered of a file in exactly this state.
func (s *Store) readStat(st fileStat) statRecord {
	path := s.statPath(st)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return statRecord{}
	}
	var rec statRecord
	if err == nil {
		rec, err = parseStat(data)
	}
	if err != nil {
		s.dropRecord(path, data, err)
		return statRecord{}
	}
	if rec.Stat != st {
		return statRecord{}
	}
	s.touchPath(path)
	return rec
}

func parseStat(data []byte) (statRecord, error) {
	body, err := unseal(kindStat, data)
	if err != nil {
		return statRecord{}, err
	}
	var rec statRecord
	if err := json.Unmarshal(body, &rec); err != nil {
		return statRecord{}, fmt.Errorf("stat record: %w", err)
	}
	for _, h := range rec.Ranges {
		if !h.Digest.Valid() {
			return statRecord{}, fmt.Errorf("stat record: %q is not a digest", string(h.Digest))
		}
	}
	return rec, nil
}

func (s *Store) writeStat(rec statRecord) error {
	body, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return s.writeHint(s.statPath(rec.Stat), seal(kindStat, body), "the digests of a source file")
}
