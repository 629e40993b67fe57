// Command soak kills compressc again and again, and damages its cache, and
// looks whether anything is ever wrong. From the module's root:
//
//	go run ./acceptance/soak -n 500 -seed 1
//
// # What it does
//
// A small pipeline (trained, pruned, quantised, compensated, measured and
// exported in a second) runs on one cache. A round brings the cache into a
// drawn state (empty, with a part of its entries gone, as the last round left
// it), starts a drawn scene (a run, a gc, both at once, two runs racing), and
// has its processes killed with SIGKILL, by themselves at a fault point
// (package cache/fault) or from outside between them. After that `cache check`
// must find nothing, and a run without faults must end with the digests and
// the files of an uninterrupted run on an empty cache.
//
// Between the kills come faults of other kinds: a full disk, a read-only
// folder, writes that store half or flip a bit, a clock that jumps, a bit
// flipped in a file of the cache. There the program must end with the right
// digests, or fail and say why; and the next run, after a repair where the
// damage is beyond a run's reach, must be right.
//
// The table at the end counts kills by scene and point. A cell that should
// have been hit and was not fails the soak, as does the first wrong result.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/compressc/compressc/acceptance"
)

func main() {
	log.SetFlags(log.Ltime)
	n := flag.Int("n", 500, "how many processes to kill")
	seed := flag.Uint64("seed", 1, "of what is drawn")
	dir := flag.String("dir", "", "the folder to work in; one in memory by default, where there is one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, *n, *seed); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string, n int, seed uint64) error {
	tmp, err := workFolder(dir)
	if err != nil {
		return err
	}
	program, err := acceptance.BuildProgram(ctx, ".", tmp)
	if err != nil {
		return err
	}
	s, err := newSoak(ctx, program, tmp, "LICENSE", seed)
	if err != nil {
		return err
	}
	s.logf = log.Printf
	err = s.run(ctx, n)
	fmt.Print(s.table())
	if err != nil {
		return fmt.Errorf("seed %d: %w (what is left is in %s)", seed, err, tmp)
	}
	return os.RemoveAll(tmp)
}

// workFolder makes a folder to work in. Thousands of syncs take long on a
// busy disk, and a killed process, unlike a power cut, does not need them.
func workFolder(dir string) (string, error) {
	if dir != "" {
		return os.MkdirTemp(dir, "compressc-soak")
	}
	if tmp, err := os.MkdirTemp("/dev/shm", "compressc-soak"); err == nil {
		return tmp, nil
	}
	return os.MkdirTemp("", "compressc-soak")
}
