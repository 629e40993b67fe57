package cache

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/compressc/compressc/cache/fault"
)

// A RunInfo is what the store itself reads of a run record.
type RunInfo struct {
	ID       string    `json:"-"` // sorts by the time at which it was recorded
	Pipeline string    `json:"pipeline"`
	Time     time.Time `json:"time"`
	// Roots are the keys of the actions, or digests of the blobs, that gc
	// keeps for the sake of this run.
	Roots []Digest `json:"roots"`
	// Open is true for a run that was begun and not finished: it is under way,
	// or it was killed.
	Open bool `json:"-"`
}

const (
	kindRun     = "run"
	runSuffix   = ".json"
	openSuffix  = ".open"
	runTimeForm = "20060102T150405.000000000Z"
)

func (s *Store) newRunID() string {
	var random [3]byte
	rand.Read(random[:]) // never fails since Go 1.24
	return s.now().UTC().Format(runTimeForm) + "-" + hex.EncodeToString(random[:])
}

func (s *Store) runPath(id, suffix string) string {
	return filepath.Join(s.dir, dirRuns, id+suffix)
}

func parseRunBody(body []byte) (RunInfo, error) {
	var r RunInfo
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("run record: %w", err)
	}
	if r.Pipeline == "" || r.Time.IsZero() {
		return r, errors.New(`run record: "pipeline" or "time" is missing`)
	}
	for _, d := range r.Roots {
		if !d.Valid() {
			return r, fmt.Errorf("run record: root %q is not a digest", string(d))
		}
	}
	return r, nil
}

// AppendRun stores a run's record, a JSON object with at least "pipeline" (a
// string), "time" (RFC 3339) and "roots" (digests), and returns its new
// identity. Records are never changed.
func (s *Store) AppendRun(record []byte) (id string, err error) {
	if _, err := parseRunBody(record); err != nil {
		return "", fmt.Errorf("cache: %w", err)
	}
	id = s.newRunID()
	return id, s.writeRecord(s.runPath(id, runSuffix), seal(kindRun, record), "the run's record", keepFirst)
}

// A Run is a run under way. What it has finished is kept by gc even if it is
// killed before it can leave its record. Its methods may be called from
// several goroutines.
type Run struct {
	s  *Store
	id string

	mu   sync.Mutex
	file *os.File
}

// BeginRun opens a run of a pipeline, to be ended with Finish.
func (s *Store) BeginRun(pipeline string) (*Run, error) {
	if pipeline == "" {
		return nil, errors.New("cache: begin run: no pipeline name")
	}
	head, err := json.Marshal(RunInfo{Pipeline: pipeline, Time: s.now().UTC(), Roots: []Digest{}})
	if err != nil {
		return nil, fmt.Errorf("cache: begin run: %w", err)
	}
	r := &Run{s: s, id: s.newRunID()}
	// The journal gets its name with its first line in it, so that a crash
	// here leaves none that nobody can read.
	const what = "the run's journal"
	if r.file, err = s.createTemp(); err != nil {
		return nil, s.writeError(what, -1, err)
	}
	_, err = s.fault.Write(fault.Write, r.file.Name(), r.file, append(head, '\n'))
	if err != nil {
		err = errors.Join(err, removeIfThere(r.file.Name()))
	} else {
		err = s.place(r.file.Name(), r.journal(), replace)
	}
	if err != nil {
		return nil, s.writeError(what, -1, errors.Join(err, r.file.Close()))
	}
	return r, nil
}

func (r *Run) journal() string { return r.s.runPath(r.id, openSuffix) }

// ID returns the identity under which the record will be found.
func (r *Run) ID() string { return r.id }

// Root notes that the run uses an action. That is not synced: an action that
// has just been stored is too young for gc, and after a power cut hours later
// the journal has long been written back.
func (r *Run) Root(action Digest) error {
	if err := action.check("run's action"); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return errors.New("cache: run is finished")
	}
	// After a newline, not before one: a line that a full disk cut short then
	// does not swallow the next.
	_, err := r.s.fault.Write(fault.Write, r.journal(), r.file, append([]byte{'\n'}, action...))
	return r.s.writeError("the run's journal", -1, err)
}

// Finish stores the run's record, as AppendRun does, and drops the journal.
// After an error the run is still open.
func (r *Run) Finish(record []byte) error {
	if _, err := parseRunBody(record); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return errors.New("cache: run is finished")
	}
	if err := r.s.writeRecord(r.s.runPath(r.id, runSuffix), seal(kindRun, record), "the run's record", keepFirst); err != nil {
		return err
	}
	err := errors.Join(r.file.Close(), removeIfThere(r.journal()))
	r.file = nil
	if err != nil {
		return fmt.Errorf("cache: run's journal: %w", err)
	}
	return nil
}

// Close gives a run up that will not be finished. Its journal stays, so that
// gc keeps what a later run can resume from. After Finish it does nothing.
func (r *Run) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	if err != nil {
		return fmt.Errorf("cache: run's journal: %w", err)
	}
	return nil
}

// parseJournal reads an open run's file. The last line may be torn; lines that
// are no digests are passed over.
func parseJournal(data []byte) (RunInfo, error) {
	head, rest, _ := bytes.Cut(data, []byte{'\n'})
	r, err := parseRunBody(head)
	if err != nil {
		return r, err
	}
	for line := range bytes.SplitSeq(rest, []byte{'\n'}) {
		if d := Digest(line); d.Valid() {
			r.Roots = append(r.Roots, d)
		}
	}
	return r, nil
}

// Run returns the record of a finished run as it was given. The error has
// ErrNotFound or ErrCorrupt in its chain.
func (s *Store) Run(id string) ([]byte, error) {
	if id == "" || strings.ContainsAny(id, `/\`) {
		return nil, fmt.Errorf("cache: run %q: %w", id, ErrNotFound)
	}
	data, err := os.ReadFile(s.runPath(id, runSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cache: run %q: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("cache: run %q: %w", id, err)
	}
	body, err := unseal(kindRun, data)
	if err != nil {
		return nil, fmt.Errorf("cache: run %q: %w", id, err)
	}
	return body, nil
}

// Runs lists all readable runs, the latest first, open ones included.
func (s *Store) Runs() ([]RunInfo, error) {
	names, err := os.ReadDir(filepath.Join(s.dir, dirRuns))
	if err != nil {
		return nil, fmt.Errorf("cache: runs: %w", err)
	}
	var all []RunInfo
	for _, n := range slices.Backward(names) {
		r, err := s.readRun(n.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // finished or removed since
		}
		if err != nil {
			s.logf("cache: run %s: %v", n.Name(), err)
			continue
		}
		if k := len(all); k > 0 && all[k-1].ID == r.ID {
			// Killed after the record was there and before the journal went:
			// the record counts.
			if all[k-1].Open {
				all[k-1] = r
			}
			continue
		}
		all = append(all, r)
	}
	return all, nil
}

// readRun reads a file of runs/, record or journal.
func (s *Store) readRun(name string) (RunInfo, error) {
	data, err := os.ReadFile(filepath.Join(s.dir, dirRuns, name))
	if err != nil {
		return RunInfo{}, err
	}
	return parseRunFile(name, data)
}

func parseRunFile(name string, data []byte) (r RunInfo, err error) {
	if id, ok := strings.CutSuffix(name, openSuffix); ok {
		r, err = parseJournal(data)
		r.ID, r.Open = id, true
		return r, err
	}
	body, err := unseal(kindRun, data)
	if err == nil {
		r, err = parseRunBody(body)
	}
	r.ID = strings.TrimSuffix(name, runSuffix)
	return r, err
}

// LatestRun returns the newest finished run of a pipeline and its record, or
// an error with ErrNotFound in its chain.
func (s *Store) LatestRun(pipeline string) (RunInfo, []byte, error) {
	all, err := s.Runs()
	if err != nil {
		return RunInfo{}, nil, err
	}
	for _, r := range all {
		if r.Pipeline == pipeline && !r.Open {
			record, err := s.Run(r.ID)
			return r, record, err
		}
	}
	return RunInfo{}, nil, fmt.Errorf("cache: no finished run of pipeline %q: %w", pipeline, ErrNotFound)
}
