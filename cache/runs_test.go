package cache

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/compressc/compressc/cache/fault"
)

func TestRuns(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	if _, _, err := s.LatestRun("p"); !errors.Is(err, ErrNotFound) {
		t.Errorf("LatestRun of no run: %v", err)
	}
	clock := time.Date(2024, 1, 2, 3, 4, 5, 6, time.UTC)
	s.now = func() time.Time { clock = clock.Add(time.Second); return clock }
	var ids []string
	var records [][]byte
	for _, p := range []string{"p", "q", "p"} {
		r := record(p, clock, key(p))
		id, err := s.AppendRun(r)
		if err != nil {
			t.Fatal(err)
		}
		ids, records = append(ids, id), append(records, r)
	}
	info, got, err := s.LatestRun("p")
	if err != nil || info.ID != ids[2] || string(got) != string(records[2]) || info.Roots[0] != key("p") {
		t.Errorf("LatestRun = %+v, %q, %v", info, got, err)
	}
	if info, _, err := s.LatestRun("q"); err != nil || info.ID != ids[1] {
		t.Errorf("LatestRun(q) = %+v, %v", info, err)
	}
	for i, id := range ids {
		if got, err := s.Run(id); err != nil || string(got) != string(records[i]) {
			t.Errorf("Run(%s) = %q, %v", id, got, err)
		}
	}

	run, err := s.BeginRun("p")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(run.Root(key("1")), run.Root(key("2"))); err != nil {
		t.Fatal(err)
	}
	all, err := s.Runs()
	if err != nil || len(all) != 4 || !all[0].Open || len(all[0].Roots) != 2 || all[1].ID != ids[2] || all[3].ID != ids[0] {
		t.Errorf("Runs = %+v, %v; want the open one first, then the latest", all, err)
	}
	if info, _, err := s.LatestRun("p"); err != nil || info.ID != ids[2] {
		t.Errorf("LatestRun while one is open = %+v, %v", info, err)
	}
	if err := run.Finish([]byte(`{"pipeline":"p"}`)); err == nil {
		t.Error("Finish without a time")
	}
	last := record("p", clock, key("1"))
	if err := run.Finish(last); err != nil {
		t.Fatal(err)
	}
	if info, got, err := s.LatestRun("p"); err != nil || info.ID != run.ID() || string(got) != string(last) || info.Open {
		t.Errorf("LatestRun = %+v, %q, %v", info, got, err)
	}
	if all, err := s.Runs(); err != nil || len(all) != 4 {
		t.Errorf("%d runs, %v", len(all), err)
	}
	if err := run.Finish(last); err == nil {
		t.Error("Finish twice")
	}
	if err := run.Close(); err != nil {
		t.Errorf("Close after Finish: %v", err)
	}
	if err := run.Root(key("3")); err == nil {
		t.Error("Root after Finish")
	}

	// A damaged record is as good as absent, and Run says why.
	flipFile(t, s.runPath(run.ID(), runSuffix), 2000)
	if info, _, err := s.LatestRun("p"); err != nil || info.ID != ids[2] {
		t.Errorf("LatestRun with a damaged one = %+v, %v", info, err)
	}
	if _, err := s.Run(run.ID()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Run of a damaged one: %v", err)
	}
}

// A full disk tears one line of a journal; the ones after it are whole. A run
// that is given up stays as an open one.
func TestRunGivenUp(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	faults, err := fault.Parse("write:3:enospc")
	if err != nil {
		t.Fatal(err)
	}
	s.fault = faults
	run, err := s.BeginRun("p")
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Root(key("1")); err != nil {
		t.Fatal(err)
	}
	if err := run.Root(key("2")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Root on a full disk: %v", err)
	}
	if err := errors.Join(run.Root(key("3")), run.Close(), run.Close()); err != nil {
		t.Error(err)
	}
	all, err := s.Runs()
	if err != nil || len(all) != 1 || !all[0].Open || !slices.Equal(all[0].Roots, []Digest{key("1"), key("3")}) {
		t.Errorf("Runs = %+v, %v", all, err)
	}
	if err := run.Finish(record("p", time.Now())); err == nil {
		t.Error("Finish after Close")
	}
}

func TestRunRefusals(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	now := `"time":"2024-01-02T03:04:05Z"`
	for _, text := range []string{
		``, `[]`, `{}`, `{"pipeline":"p"}`, `{` + now + `}`,
		`{"pipeline":"","time":"2024-01-02T03:04:05Z"}`, `{"pipeline":"p","time":"yesterday"}`,
		`{"pipeline":"p",` + now + `,"roots":["x"]}`, `{"pipeline":"p",` + now + `,"roots":[7]}`,
	} {
		if _, err := s.AppendRun([]byte(text)); err == nil {
			t.Errorf("AppendRun(%s) succeeds", text)
		}
	}
	if _, err := s.AppendRun([]byte(`{"pipeline":"p",` + now + `,"more":[1,2]}`)); err != nil {
		t.Errorf("a record with more in it: %v", err)
	}
	if _, err := s.BeginRun(""); err == nil {
		t.Error("BeginRun without a name")
	}
}

func TestJournalWithATornLine(t *testing.T) {
	head := `{"pipeline":"p","time":"2024-01-02T03:04:05Z","roots":[]}` + "\n"
	a, b := string(key("a")), string(key("b"))
	for _, c := range []struct {
		text string
		want int
	}{
		{head, 0}, {head + a, 1}, {head + a + "\n", 1}, {head + a + "\n" + b[:30], 1}, {head + a + "\n" + b + "\n", 2},
	} {
		r, err := parseJournal([]byte(c.text))
		if err != nil || len(r.Roots) != c.want {
			t.Errorf("%q: %+v, %v; want %d roots", c.text, r, err, c.want)
		}
	}
	if _, err := parseJournal([]byte(head[:20])); err == nil {
		t.Error("a torn first line is accepted")
	}
}

func TestLockAction(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	a := key("a")
	unlock, err := s.LockAction(t.Context(), a, func(string) { t.Error("waits for nobody") })
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.LockAction(t.Context(), key("b"), func(string) { t.Error("waits for another action") })
	if err != nil {
		t.Fatal(err)
	}
	defer other()

	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("had enough")
	_, err = s.LockAction(ctx, a, func(string) { cancel(why) })
	if !errors.Is(err, why) {
		t.Errorf("waiting ended with %v", err)
	}

	// Goroutines take turns; unlocking twice does not free the next one's lock.
	var holders, turns atomic.Int32
	done := make(chan error)
	const n = 8
	for range n {
		go func() {
			unlock, err := s.LockAction(t.Context(), a, func(h string) {
				if !strings.Contains(h, "process") {
					done <- errors.New("holder " + h)
				}
			})
			if err == nil {
				if holders.Add(1) != 1 {
					err = errors.New("two holders of one lock")
				}
				time.Sleep(time.Millisecond)
				turns.Add(1)
				holders.Add(-1)
				unlock()
				unlock()
			}
			done <- err
		}()
	}
	time.Sleep(5 * time.Millisecond)
	unlock()
	unlock()
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if turns.Load() != n {
		t.Errorf("%d turns, want %d", turns.Load(), n)
	}
	if u, err := s.Usage(); err != nil || u.Locks.Files != 1 {
		t.Errorf("%d lock files, %v; want the one that is held", u.Locks.Files, err)
	}
}
