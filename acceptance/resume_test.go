//go:build unix

package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/compressc/compressc/internal/record"
)

// moment says when a run is killed.
type moment struct {
	// fault is a fault for COMPRESSC_FAULT: the program kills itself at that
	// point, half of the bytes written where it writes.
	fault string
	// kernel kills from outside once an action of it has started, or, with
	// step, has told of that much progress; after a further delay.
	kernel string
	step   int
	delay  time.Duration
}

func (m moment) String() string {
	if m.fault != "" {
		return m.fault
	}
	return fmt.Sprintf("%s step %d + %v", m.kernel, m.step, m.delay)
}

// moments draws a series of kills in the order in which a run comes by them, so
// that each is met.
func moments(rng *rand.Rand) []moment {
	fault := func(point string, most int) moment {
		return moment{fault: point + ":" + strconv.Itoa(1+rng.IntN(most)) + ":kill"}
	}
	at := func(kernel string, steps int, most time.Duration) moment {
		m := moment{kernel: kernel, delay: time.Duration(rng.Int64N(int64(most)))}
		if steps > 0 {
			m.step = 1 + rng.IntN(steps)
		}
		return m
	}
	return []moment{
		fault("write", 20),                       // a blob's bytes
		at("train.chunk", 4, 4*time.Millisecond), // gradients being accumulated
		fault("index", 3),                        // an index entry
		at("train.chunk", 2, 8*time.Millisecond),
		fault("rename", 30),
		at("prune.sparsegpt", 0, 3*time.Millisecond),
		fault("sync", 12),
		at("quantize.gptq", 0, 2*time.Millisecond), // columns being swept
		fault("index", 4),
		at("quantize.gptq", 0, time.Millisecond),
		at("compensate.decompose", 0, 3*time.Millisecond),
		fault("write", 12),
	}
}

// life is one process of a run that is killed again and again.
type life struct {
	record *record.Record // of the life that reached the end
	ran    []string       // actions it computed for the first time
	// middle is the action under way, and known to be, when it was killed.
	middle string
}

// live runs the program until it ends or the moment kills it.
func live(t testing.TB, p *Program, o RunOptions, m *moment) life {
	t.Helper()
	if m != nil && m.fault != "" {
		o.Env = []string{"COMPRESSC_FAULT=" + m.fault}
	}
	cmd := p.Command(context.Background(), o)
	var out bytes.Buffer
	cmd.Stdout = &out
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var l life
	var said bytes.Buffer
	struck, aim := false, ""
	sc := bufio.NewScanner(pipe)
	for sc.Scan() {
		var e Event
		if json.Unmarshal(sc.Bytes(), &e) != nil {
			said.Write(append(sc.Bytes(), '\n'))
			continue
		}
		if e.ran() {
			l.ran = append(l.ran, e.action())
			if e.action() == aim {
				aim = "" // it was over before the signal came
			}
		}
		if m == nil || m.kernel != e.Kernel || e.Rewind || struck {
			continue
		}
		// Progress that comes quicker than it can be told is told in part.
		if m.step == 0 && e.Type == "action_started" || m.step > 0 && e.Type == "action_progress" && e.Done >= m.step {
			struck, aim = true, e.action()
			time.Sleep(m.delay)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = cmd.Wait()
	switch {
	case err == nil:
		if l.record, err = decodeRecord(out.Bytes()); err != nil {
			t.Fatal(err)
		}
	case Killed(err):
		l.middle = aim
	default:
		t.Fatalf("%v: the program failed by itself: %v\n%s", m, err, bytes.TrimSpace(said.Bytes()))
	}
	return l
}

// A run that is killed at any moment goes on from what it had finished: the
// digests at the end are those of an uninterrupted run, and no action that was
// finished is computed again.
func TestKilledRunGoesOn(t *testing.T) {
	p := program(t)
	dir := writePipeline(t, toyText(t, "[4, 8]"))
	whole := live(t, p, RunOptions{Pipeline: dir, CacheDir: t.TempDir()}, nil)
	want := Digests(whole.record)
	// A block's statistics and its outputs are two actions of one name.
	once := map[string]int{}
	for _, a := range whole.ran {
		once[a]++
	}

	seed := uint64(20261124)
	if s := os.Getenv("COMPRESSC_ACCEPTANCE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	// Processes are not of one speed, so a life may get past its moment and end
	// its series early; another series makes up for it.
	least, most := 10, 3
	if long() {
		least, most = 60, 15
	}
	kills, series := 0, 0
	middles := map[string]int{}
	for n := 0; n < most && kills < least; n++ {
		series++
		rng := rand.New(rand.NewPCG(seed, uint64(n)))
		cacheDir := t.TempDir()
		done, finished := map[string]int{}, 0
		var last life
		todo := moments(rng)
		for i := 0; ; i++ {
			var m *moment
			if i < len(todo) {
				m = &todo[i]
			}
			last = live(t, p, RunOptions{Pipeline: dir, CacheDir: cacheDir, Threads: 1 + rng.IntN(3)}, m)
			for _, a := range last.ran {
				done[a]++
				finished++
				if done[a] > once[a] {
					t.Errorf("series %d: life %d computed %s, which had been finished before", n, i, a)
				}
			}
			if last.record != nil {
				if m != nil {
					t.Logf("series %d: life %d reached the end before %v", n, i, m)
				}
				break
			}
			kills++
			for _, k := range []string{"train.chunk", "quantize.gptq", "prune.sparsegpt", "compensate.decompose"} {
				if last.middle != "" && m.kernel == k {
					middles[k]++
				}
			}
			t.Logf("series %d: life %d: killed at %v, %d actions done; in the middle of %q", n, i, m, finished, last.middle)
		}
		sameDigests(t, Digests(last.record), want)
	}
	t.Logf("%d kills in %d series (seed %d), in the middle of: %v", kills, series, seed, middles)
	if kills < least {
		t.Errorf("%d kills; expected at least %d", kills, least)
	}
	for _, k := range []string{"train.chunk", "quantize.gptq"} {
		if middles[k] == 0 {
			t.Errorf("no kill in the middle of %s", k)
		}
	}
}
