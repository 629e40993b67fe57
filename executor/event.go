package executor

import (
	"sync"
	"time"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// Status is how an action stands.
type Status string

// The statuses. A skipped action has not run, because something it depends on
// failed or because the run ended first.
const (
	Pending Status = "pending"
	Cached  Status = "cached"
	Ran     Status = "run"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Outcome says what became of an action.
type Outcome struct {
	Status Status
	// Err is set for failed actions and for those skipped because of one.
	Err error
	// Seconds and PeakBytes are the kernel's wall time and by how much the
	// process's anonymous memory grew meanwhile; for a cached action they are
	// those on record. Actions that ran side by side share the growth.
	Seconds   float64
	PeakBytes int64
	// Worker is who ran it, "" if that was this process.
	Worker string
	// Digests maps an output's name to its tree's digest.
	Digests map[string]artifact.Digest
	// Key is the action key, "" while the inputs are not known and for
	// sources.
	Key artifact.Digest
}

// EventKind says what an Event tells.
type EventKind string

// The kinds of events.
const (
	EventStarted  EventKind = "started"
	EventProgress EventKind = "progress"
	// EventWaiting: another process works on the action.
	EventWaiting EventKind = "waiting"
	// EventFinished: the action is cached, run, failed or skipped; or, with
	// Rewind, made its bytes again.
	EventFinished EventKind = "finished"
)

// Event is one step of a run.
type Event struct {
	Kind   EventKind
	Action *action.Action
	Status Status // of EventFinished
	// Rewind says that the action is on record and only its bytes are wanted.
	Rewind  bool
	Err     error
	Seconds float64 // the kernel's wall time, of EventFinished
	// Done of Total is the kernel's own measure, of EventProgress.
	Done, Total int
	// Holder describes the other process, of EventWaiting.
	Holder string
	Totals Totals
}

// Totals count actions, without sources and structural ones, and memory: in
// events those of all runs of the executor so far, each action once and as it
// stands now.
type Totals struct {
	Actions, Cached, Ran, Failed, Skipped, Running int
	// MemoryLive is what transient outputs take, MemoryReserved what running
	// actions are expected to take on top, Spilled what was written to files.
	MemoryLive, MemoryReserved, MemoryBudget, Spilled int64
}

// progressEvery bounds the rate of progress events of one action.
const progressEvery = 50 * time.Millisecond

// sender hands events out one at a time.
type sender struct {
	f      func(Event)
	mem    *memory
	mu     sync.Mutex
	totals Totals
}

// count applies f to the totals.
func (s *sender) count(f func(*Totals)) {
	s.mu.Lock()
	f(&s.totals)
	s.mu.Unlock()
}

// expect adds nodes that are about to be brought about.
func (s *sender) expect(nodes []*node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range nodes {
		if n.a.Computes() && !n.expected {
			n.expected = true
			s.totals.Actions++
		}
	}
}

// settled counts n as what it is now, and no longer as what it was.
func (s *sender) settled(n *node, now Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.totals.add(n.counted, -1)
	s.totals.add(now, 1)
	n.counted = now
}

func (t *Totals) add(s Status, n int) {
	switch s {
	case Cached:
		t.Cached += n
	case Ran:
		t.Ran += n
	case Failed:
		t.Failed += n
	case Skipped:
		t.Skipped += n
	}
}

// since returns t with the counts less those of before.
func (t Totals) since(before Totals) Totals {
	t.Actions -= before.Actions
	t.Cached -= before.Cached
	t.Ran -= before.Ran
	t.Failed -= before.Failed
	t.Skipped -= before.Skipped
	return t
}

func (s *sender) snapshot() Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fill()
}

func (s *sender) fill() Totals {
	t := s.totals
	t.MemoryLive, t.MemoryReserved, _, t.Spilled = s.mem.usage()
	t.MemoryBudget = s.mem.budget
	return t
}

func (s *sender) send(e Event) {
	if s.f == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Totals = s.fill()
	s.f(e)
}

// progress returns a kernel's progress function for one action.
func (s *sender) progress(a *action.Action, rewind bool) func(done, total int) {
	if s.f == nil {
		return nil
	}
	var mu sync.Mutex
	var last time.Time
	return func(done, total int) {
		now := time.Now()
		mu.Lock()
		quiet := now.Sub(last) < progressEvery && done < total
		if !quiet {
			last = now
		}
		mu.Unlock()
		if !quiet {
			s.send(Event{Kind: EventProgress, Action: a, Rewind: rewind, Done: done, Total: total})
		}
	}
}
