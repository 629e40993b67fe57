package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/cache/fault"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/record"
)

// between is the point of a kill from outside, at no named place.
const between fault.Point = "between"

// truth is what an uninterrupted run of a variant ends with.
type truth struct {
	digests map[string]string
	files   map[string]artifact.Digest // of the export, by name
	wall    time.Duration
}

// soak is one soak under way. It serves one goroutine.
type soak struct {
	program *acceptance.Program
	rng     *rand.Rand
	// folders hold the pipeline: runs that race export to different ones.
	folders [2]string
	cache   string
	truths  map[string]truth
	logf    func(format string, args ...any)

	kills  map[target]int
	total  int            // of kills
	faults map[string]int // other faults, by what became of them
	rounds int
}

// newSoak finds out what is right. text is a file to train on.
func newSoak(ctx context.Context, p *acceptance.Program, dir, text string, seed uint64) (*soak, error) {
	s := &soak{program: p, rng: rand.New(rand.NewPCG(seed, 0)), cache: filepath.Join(dir, "cache"),
		truths: map[string]truth{}, kills: map[target]int{}, faults: map[string]int{}, logf: func(string, ...any) {}}
	for i, name := range []string{"a", "b"} {
		var err error
		if s.folders[i], err = writePipeline(dir, name, text); err != nil {
			return nil, err
		}
	}
	for _, v := range variants {
		start := time.Now()
		rec, err := p.Run(ctx, s.runOptions(0, v, filepath.Join(dir, "truth"+v)))
		if err != nil {
			return nil, err
		}
		t := truth{digests: acceptance.Digests(rec), wall: time.Since(start)}
		if t.files, err = s.exported(0); err != nil {
			return nil, err
		}
		if len(t.digests) < 8 || len(t.files) < 3 {
			return nil, fmt.Errorf("the pipeline is not what the soak expects: %d nodes, %d files", len(t.digests), len(t.files))
		}
		s.truths[v] = t
	}
	return s, nil
}

func (s *soak) runOptions(folder int, variant, cacheDir string) acceptance.RunOptions {
	return acceptance.RunOptions{Pipeline: s.folders[folder], CacheDir: cacheDir, Vars: map[string]string{"bits": variant}}
}

// exported hashes the files that a run has written.
func (s *soak) exported(folder int) (map[string]artifact.Digest, error) {
	out := filepath.Join(s.folders[folder], "out")
	names, err := os.ReadDir(out)
	if err != nil {
		return nil, err
	}
	files := map[string]artifact.Digest{}
	for _, n := range names {
		b, err := os.ReadFile(filepath.Join(out, n.Name()))
		if err != nil {
			return nil, err
		}
		files[n.Name()] = artifact.Sum(b)
	}
	return files, nil
}

// run goes on until n processes have been killed and every target was met.
func (s *soak) run(ctx context.Context, n int) error {
	for i := 0; s.total < n || i < len(targets()); i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.killRound(ctx, targets()[i%len(targets())]); err != nil {
			return err
		}
		if i%4 == 3 {
			if err := s.faultRound(ctx, i/4); err != nil {
				return err
			}
		}
		if i%50 == 49 {
			s.logf("%d rounds, %d kills", s.rounds, s.total)
		}
	}
	for _, t := range targets() {
		if s.kills[t] == 0 {
			return fmt.Errorf("%s was never met", t)
		}
	}
	return nil
}

// process is one run of the program.
type process struct {
	cmd       *exec.Cmd
	out, errs bytes.Buffer
	err       error
}

func (s *soak) start(cmd *exec.Cmd, faults string) (*process, error) {
	p := &process{cmd: cmd}
	cmd.Env = append(os.Environ(), fault.EnvVar+"="+faults)
	cmd.Stdout, cmd.Stderr = &p.out, &p.errs
	return p, cmd.Start()
}

func (s *soak) startRun(ctx context.Context, folder int, variant, faults string) (*process, error) {
	return s.start(s.program.Command(ctx, s.runOptions(folder, variant, s.cache)), faults)
}

func (s *soak) startGC(ctx context.Context, faults string) (*process, error) {
	args := []string{"cache", "gc", "-json", "-keep-runs", "-1", "-cache-dir", s.cache}
	if s.rng.IntN(2) == 0 {
		args = append(args, "-now")
	}
	if s.rng.IntN(3) == 0 {
		args = append(args, "-size", fmt.Sprint(1+s.rng.IntN(200_000)))
	}
	return s.start(exec.CommandContext(ctx, s.program.Path, args...), faults)
}

func (p *process) wait() { p.err = p.cmd.Wait() }

func (p *process) killed() bool { return p.err != nil && acceptance.Killed(p.err) }

// said is what the process complained of: on standard error, and in the document
// that stands in the record's place where there is no record.
func (p *process) said() string {
	var keep []string
	for line := range strings.Lines(p.errs.String()) {
		// Its progress is left out.
		if !strings.HasPrefix(line, "{") || strings.Contains(line, `"status":"failed"`) {
			keep = append(keep, line)
		}
	}
	if strings.Contains(p.out.String(), `"diagnostics"`) {
		keep = append(keep, p.out.String())
	}
	return strings.TrimSpace(strings.Join(keep, ""))
}

// verdict checks the record that a run has printed.
func (s *soak) verdict(p *process, folder int, variant string) error {
	if p.err != nil {
		return fmt.Errorf("a run failed: %w\n%s", p.err, p.said())
	}
	var rec record.Record
	if err := json.Unmarshal(p.out.Bytes(), &rec); err != nil {
		return fmt.Errorf("a run's record: %w", err)
	}
	want := s.truths[variant]
	got := acceptance.Digests(&rec)
	for node, d := range want.digests {
		if got[node] != d {
			return fmt.Errorf("WRONG: %s with bits = %s has digest %.12q, want %.12q", node, variant, got[node], d)
		}
	}
	files, err := s.exported(folder)
	if err != nil {
		return err
	}
	for name, d := range want.files {
		if files[name] != d {
			return fmt.Errorf("WRONG: exported file %s with bits = %s has digest %.12q, want %.12q", name, variant, string(files[name]), string(d))
		}
	}
	return nil
}

// settle runs a variant without faults and looks at everything.
func (s *soak) settle(ctx context.Context, variant string) error {
	p, err := s.startRun(ctx, 0, variant, "")
	if err != nil {
		return err
	}
	p.wait()
	if err := s.verdict(p, 0, variant); err != nil {
		return err
	}
	return s.check(ctx, false)
}

// check is `cache check -full`.
func (s *soak) check(ctx context.Context, repair bool) error {
	store, err := cache.Open(s.cache, cache.Options{Fault: &fault.Set{}})
	if err != nil {
		return err
	}
	report, err := store.Check(ctx, cache.CheckOptions{Full: true, Repair: repair})
	if err == nil && !repair && !report.Clean() {
		err = fmt.Errorf("WRONG: the cache is damaged: %v", report.Problems)
	}
	return errors.Join(err, store.Close())
}

// prepare brings the cache into a drawn state and says which variant to run.
func (s *soak) prepare(ctx context.Context, cold bool) (variant string, err error) {
	s.rounds++
	variant = variants[s.rng.IntN(len(variants))]
	switch draw := s.rng.IntN(4); {
	case cold || draw == 0:
		err = os.RemoveAll(s.cache)
	case draw == 1: // somebody has removed entries
		err = s.removeEntries()
	case draw == 2:
		// As it was left.
	case draw == 3: // warm for another variant
		err = s.settle(ctx, variants[s.rng.IntN(len(variants))])
	}
	return variant, err
}

func (s *soak) removeEntries() error {
	names, err := filepath.Glob(filepath.Join(s.cache, "act", "*", "*"))
	if err != nil {
		return err
	}
	for _, n := range names {
		if s.rng.IntN(2) == 0 {
			if err := os.Remove(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// age makes everything look two days old, so that gc may take it.
func (s *soak) age() error {
	old := time.Now().Add(-48 * time.Hour)
	return filepath.WalkDir(s.cache, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chtimes(path, old, old)
	})
}

// killFrom kills processes from outside within a time.
func (s *soak) killFrom(within time.Duration, ps ...*process) {
	var wg sync.WaitGroup
	for _, p := range ps {
		delay := time.Duration(s.rng.Int64N(int64(within)))
		wg.Go(func() {
			time.Sleep(delay)
			// It may have ended before; then it was not killed.
			_ = p.cmd.Process.Kill()
		})
	}
	wg.Wait()
}

// table is what was met how often.
func (s *soak) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rounds, %d kills\n", s.rounds, s.total)
	for _, t := range targets() {
		fmt.Fprintf(&b, "  %-28s %5d\n", t, s.kills[t])
	}
	var names []string
	for n := range s.faults {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(&b, "  %-44s %5d\n", n, s.faults[n])
	}
	return b.String()
}
