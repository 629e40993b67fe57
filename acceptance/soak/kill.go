package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/compressc/compressc/cache/fault"
)

// A scene is which processes there are in a round.
type scene string

const (
	oneRun  scene = "run"
	oneGC   scene = "gc"
	runDies scene = "run beside gc" // both at once, the run is killed
	gcDies  scene = "gc beside run" // likewise, the gc is
	both    scene = "run and gc"    // likewise, both are
	racing  scene = "two runs racing"
)

// target is who is killed where.
type target struct {
	scene scene
	point fault.Point
}

func (t target) String() string { return fmt.Sprintf("%s: %s", t.scene, t.point) }

// targets lists what a soak has to meet. A gc writes no blobs and no entries.
var targets = sync.OnceValue(func() []target {
	var all []target
	add := func(s scene, points ...fault.Point) {
		for _, p := range points {
			all = append(all, target{s, p})
		}
	}
	runPoints := append(fault.Points(), between)
	add(oneRun, runPoints...)
	add(oneGC, fault.Rename, fault.SyncDir, fault.Remove, between)
	add(runDies, fault.Lease, fault.Write, fault.Index, fault.Rename, between)
	add(gcDies, fault.Rename, fault.Remove)
	add(both, fault.Remove, between)
	add(racing, runPoints...)
	return all
})

// attempts bounds how often a round is tried whose process got by.
const attempts = len(passes)

// passes bound, for each attempt, by how many passes a point is survived.
var passes = [...]int{40, 40, 40, 4, 4, 4, 4, 4, 1, 1, 1, 1}

// killRound has processes killed at a target and looks at what is left.
func (s *soak) killRound(ctx context.Context, t target) error {
	for try := range attempts {
		// A cold cache comes by every point of a run, an aged one by every
		// point of a gc; the first passes are the surest.
		variant, err := s.prepare(ctx, try > 2)
		if err != nil {
			return fmt.Errorf("before %s: %w", t, err)
		}
		n := 1 + s.rng.IntN(passes[try])
		before := s.kills[t]
		if err := s.play(ctx, t, variant, n); err != nil {
			return fmt.Errorf("%s, pass %d: %w", t, n, err)
		}
		if err := s.check(ctx, false); err != nil {
			return fmt.Errorf("after %s, pass %d: %w", t, n, err)
		}
		if err := s.settle(ctx, variant); err != nil {
			return fmt.Errorf("after %s, pass %d: %w", t, n, err)
		}
		if s.kills[t] > before {
			return nil
		}
	}
	return fmt.Errorf("%s was not met in %d attempts", t, attempts)
}

// play runs the scene until all its processes are dead or done. Survivors must
// be right.
func (s *soak) play(ctx context.Context, t target, variant string, n int) error {
	faults := fmt.Sprintf("%s:%d:kill", t.point, n)
	if t.point == between {
		faults = ""
	}
	var runs, gcs, doomed []*process
	other := variants[s.rng.IntN(len(variants))]
	startRun := func(folder int, v, faults string) error {
		p, err := s.startRun(ctx, folder, v, faults)
		runs = append(runs, p)
		return err
	}
	startGC := func(faults string) error {
		p, err := s.startGC(ctx, faults)
		gcs = append(gcs, p)
		return err
	}
	if t.scene != oneRun && t.scene != racing {
		// There has to be something to take.
		if err := errors.Join(s.settle(ctx, other), s.age()); err != nil {
			return err
		}
	}
	within := s.truths[variant].wall
	var err error
	switch t.scene {
	case oneRun:
		err = startRun(0, variant, faults)
		doomed = runs
	case oneGC:
		err = startGC(faults)
		doomed, within = gcs, within/10
	case runDies:
		err = errors.Join(startGC(""), startRun(0, variant, faults))
		doomed = runs
	case gcDies:
		err = errors.Join(startRun(0, variant, ""), startGC(faults))
		doomed = gcs
	case both:
		err = errors.Join(startRun(0, variant, faults), startGC(faults))
		doomed, within = slices.Concat(runs, gcs), within/10
	case racing:
		// The same actions, or some of them the same.
		second := variant
		if s.rng.IntN(3) == 0 {
			second = other
		}
		other = second
		err = errors.Join(startRun(0, variant, faults), startRun(1, second, ""))
		doomed = runs[:1]
		if s.rng.IntN(3) == 0 {
			doomed = runs
		}
	}
	if err != nil {
		return err
	}
	if t.point == between {
		s.killFrom(within, doomed...)
	}
	for _, p := range slices.Concat(runs, gcs) {
		p.wait()
		if p.killed() {
			s.kills[t]++
			s.total++
		}
	}
	for i, p := range runs {
		if p.killed() {
			continue
		}
		if err := s.verdict(p, i, []string{variant, other}[i]); err != nil {
			return err
		}
	}
	for _, p := range gcs {
		if p.err != nil && !p.killed() {
			return fmt.Errorf("a gc failed: %w\n%s", p.err, p.said())
		}
	}
	return nil
}
