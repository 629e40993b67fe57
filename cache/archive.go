package cache

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// An archive carries results to another store: a tar file, compressed with
// zstd, of
//
//	compressc-cache   the version of this format
//	blobs/abcd…       bytes, named by digest
//	act/abcd…         index entries, as they are on disk
//	def/abcd…         definition records, as they are on disk
//	runs/ID.json      run records, as they are on disk
//
// in this order, so that whoever reads it from front to back never meets an
// entry before its bytes. Bytes that lie in source files are in it as far as an
// entry promises them; the sources themselves are not.

const (
	archiveHead    = "compressc-cache"
	archiveVersion = "1\n"
	// maxArchived bounds the small records of an archive: a manifest of a
	// hundred thousand tensors has 20 MB.
	maxArchived = 256 << 20
)

// ArchiveReport says what went into an archive or came out of it.
type ArchiveReport struct {
	Runs    int   `json:"runs"`
	Entries Count `json:"entries"`
	Blobs   Count `json:"blobs"`
	// Kept are entries that were there already.
	Kept int `json:"kept,omitempty"`
}

// Export writes an archive of all that the given runs are made of: the
// entries that they used, with what those have stored, and their records. All
// finished runs where none is named. Nothing of it is removed meanwhile.
func (s *Store) Export(ctx context.Context, w io.Writer, runs ...string) (ArchiveReport, error) {
	var r ArchiveReport
	all, err := s.Runs()
	if err != nil {
		return r, err
	}
	var chosen []RunInfo
	for _, run := range slices.Backward(all) { // the oldest first, as they came
		if !run.Open && (len(runs) == 0 || slices.Contains(runs, run.ID)) {
			chosen = append(chosen, run)
		}
	}
	for _, id := range runs {
		if !slices.ContainsFunc(chosen, func(r RunInfo) bool { return r.ID == id }) {
			return r, fmt.Errorf("cache: run %q: %w", id, ErrNotFound)
		}
	}
	z, err := zstd.NewWriter(w)
	if err != nil {
		return r, fmt.Errorf("cache: archive: %w", err)
	}
	x := &exporter{s: s, tar: tar.NewWriter(z), report: &r}
	err = x.write(ctx, chosen)
	if err == nil {
		err = errors.Join(x.tar.Close(), z.Close())
	} else {
		z.Close() // an archive that ends early is told by its reader
	}
	if err != nil {
		return r, fmt.Errorf("cache: archive: %w", err)
	}
	return r, nil
}

type exporter struct {
	s      *Store
	tar    *tar.Writer
	report *ArchiveReport
}

func (x *exporter) write(ctx context.Context, runs []RunInfo) error {
	if err := x.file(archiveHead, []byte(archiveVersion)); err != nil {
		return err
	}
	used := map[Digest]bool{}
	for _, r := range runs {
		for _, d := range r.Roots {
			used[d] = true
		}
	}
	var entries []Digest
	blobs := map[Digest]bool{}
	for _, d := range sortedKeys(used) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		e, err := x.entry(d)
		if err != nil {
			return err
		}
		if e == nil {
			if x.s.Has(d) {
				blobs[d] = true
			}
			continue
		}
		entries = append(entries, d)
		for _, b := range digestsOf(e.blobs(isDurable)) {
			blobs[b] = true
		}
		if e.KeyRecord != "" {
			blobs[e.KeyRecord] = true
		}
	}
	for _, d := range sortedKeys(blobs) {
		if err := x.blob(ctx, d); err != nil {
			return err
		}
	}
	for _, d := range entries { // read again: those of many runs are too many to hold
		e, err := x.entry(d)
		if err != nil {
			return err
		}
		if e == nil {
			return fmt.Errorf("the entry of action %s went meanwhile: %w", d.Short(), ErrNotFound)
		}
		for i, o := range e.Outputs {
			if o.Class == Durable && !blobs[o.Digest] {
				e.Outputs[i].Class = Transient // promised since, and not in the archive
			}
		}
		text, err := e.encode()
		if err != nil {
			return err
		}
		if err := x.file(path.Join(dirAct, string(d)), text); err != nil {
			return err
		}
		x.report.Entries.add(int64(len(text)))
	}
	for f, err := range x.s.files(dirDef) {
		if err != nil {
			return err
		}
		d := Digest(f.name)
		if !d.Valid() {
			continue // Check reports it
		}
		// Looked through, and not used: what has no part in the runs ages on.
		if to, ok := x.s.readDef(d); ok && used[to] {
			if err := x.file(path.Join(dirDef, f.name), seal(kindDef, []byte(to))); err != nil {
				return err
			}
		}
	}
	for _, r := range runs {
		body, err := x.s.Run(r.ID)
		if err != nil {
			return err
		}
		if err := x.file(path.Join(dirRuns, r.ID+runSuffix), seal(kindRun, body)); err != nil {
			return err
		}
		x.report.Runs++
	}
	return nil
}

// entry returns an entry as it is to be in the archive, with its blobs leased; nil
// where there is none, which costs the archive's reader the time to run the
// action, or one that nobody believes.
func (x *exporter) entry(action Digest) (*Entry, error) {
	e, ok, err := x.s.GetEntry(action)
	var conflict *Conflict
	if errors.As(err, &conflict) {
		return nil, nil
	}
	if err != nil || !ok {
		return nil, err
	}
	for i, o := range e.Outputs {
		if o.Class == Checkpoint {
			e.Outputs[i].Class = Transient // it is on its way out
		}
	}
	if e.KeyRecord != "" && !x.s.Has(e.KeyRecord) {
		e.KeyRecord = ""
	}
	return e, nil
}

func (x *exporter) blob(ctx context.Context, d Digest) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	b, err := x.s.Open(d)
	if err != nil {
		return err
	}
	defer b.Release()
	if err := x.file(path.Join(dirBlobs, string(d)), b.Bytes()); err != nil {
		return err
	}
	x.report.Blobs.add(int64(len(b.Bytes())))
	return b.Check()
}

func (x *exporter) file(name string, data []byte) error {
	if err := x.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o444}); err != nil {
		return err
	}
	_, err := x.tar.Write(data)
	return err
}

// Import takes an archive in. Bytes are hashed, records checked; an entry that
// is here with other outputs stays as it is and is named by the error, after
// everything else was taken in. That an action yields what an entry says
// nobody can tell without running it: whoever imports trusts who exported.
// After any error what came before it is here, whole.
func (s *Store) Import(ctx context.Context, r io.Reader) (ArchiveReport, error) {
	var report ArchiveReport
	z, err := zstd.NewReader(r)
	if err != nil {
		return report, fmt.Errorf("cache: archive: %w", err)
	}
	defer z.Close()
	m := &importer{s: s, tar: tar.NewReader(z), report: &report}
	if err := m.read(ctx); err != nil {
		return report, fmt.Errorf("cache: archive: %w", err)
	}
	return report, errors.Join(m.conflicts...)
}

type importer struct {
	s         *Store
	tar       *tar.Reader
	report    *ArchiveReport
	conflicts []error
}

func (m *importer) read(ctx context.Context) error {
	head, err := m.tar.Next()
	if err != nil || head.Name != archiveHead {
		return errors.New("not one that compressc cache export wrote, or cut off at once")
	}
	version, err := m.small(head)
	if err != nil {
		return err
	}
	if string(version) != archiveVersion {
		return fmt.Errorf("it has version %.20q of the format; this program reads %q", version, archiveVersion)
	}
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		h, err := m.tar.Next()
		if err == io.EOF {
			return nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("it was cut off: %w", err)
		}
		if err == nil {
			err = m.member(h)
		}
		if err != nil {
			return err
		}
	}
}

func (m *importer) member(h *tar.Header) error {
	if h.Typeflag != tar.TypeReg {
		return fmt.Errorf("%.80q is not a plain file", h.Name)
	}
	kind, name, _ := strings.Cut(h.Name, "/")
	d := Digest(name)
	if kind == dirBlobs || kind == dirAct || kind == dirDef {
		if !d.Valid() {
			return fmt.Errorf("%.80q is not named by a digest", h.Name)
		}
	}
	if kind == dirBlobs {
		return m.blob(d)
	}
	text, err := m.small(h)
	if err != nil {
		return err
	}
	switch kind {
	case dirAct:
		return m.entry(d, text)
	case dirDef:
		to, err := parseDef(text)
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		return m.s.PutDef(d, to)
	case dirRuns:
		return m.run(name, text)
	}
	return fmt.Errorf("%.80q is none of its parts", h.Name)
}

// small reads a record.
func (m *importer) small(h *tar.Header) ([]byte, error) {
	if h.Size > maxArchived {
		return nil, fmt.Errorf("%.80q has %d bytes, more than any record", h.Name, h.Size)
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, m.tar); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (m *importer) blob(d Digest) error {
	if m.s.Has(d) {
		return nil // the reader passes over its bytes
	}
	w, err := m.s.Writer()
	if err != nil {
		return err
	}
	defer w.Abort()
	n, err := io.Copy(w, m.tar)
	if err != nil {
		return err
	}
	if got := digestOf(w.hash); got != d {
		return fmt.Errorf("blob %s: its bytes have digest %s: %w", d, got, ErrCorrupt)
	}
	if _, _, err := w.Commit(); err != nil {
		return err
	}
	m.report.Blobs.add(n)
	return nil
}

func (m *importer) entry(d Digest, text []byte) error {
	e, err := parseEntry(text, d)
	if err != nil {
		return err
	}
	if c, ok := m.s.Tainted(d); ok {
		m.conflicts = append(m.conflicts, c)
		return nil
	}
	have, _, err := m.s.readEntry(d)
	if err != nil {
		return err
	}
	if have != nil && !sameOutputs(have.Outputs, e.Outputs) {
		m.conflicts = append(m.conflicts, fmt.Errorf("cache: archive: action %s of kernel %s has other outputs here; what is here stays. One of the two is wrong: compressc run -verify-sample 1/1 runs it again and compares", d.Short(), e.Kernel))
		return nil
	}
	if err := m.s.PutEntry(e); err != nil {
		return err
	}
	if have != nil {
		m.report.Kept++
		return nil
	}
	m.report.Entries.add(int64(len(text)))
	return nil
}

func (m *importer) run(name string, text []byte) error {
	id, ok := strings.CutSuffix(name, runSuffix)
	if !ok || id == "" || strings.ContainsAny(id, `/\`) || strings.HasPrefix(id, ".") {
		return fmt.Errorf("%.80q is not a run's name", name)
	}
	if _, err := parseRunFile(name, text); err != nil {
		return err
	}
	err := m.s.writeRecord(m.s.runPath(id, runSuffix), text, "a run's record", keepFirst)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		m.report.Runs++
	}
	return err
}
