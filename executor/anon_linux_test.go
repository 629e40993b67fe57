package executor

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Pages of files do not count, others do.
func TestAnonBytes(t *testing.T) {
	const size, slack = 256 * mib, 64 * mib
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, size), 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	grows := func(fd, flags int) int64 {
		before := anonBytes()
		b, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(b)
		sum := byte(0)
		for i := 0; i < size; i += 4096 {
			if fd < 0 {
				b[i] = 1
			}
			sum += b[i]
		}
		if fd < 0 && sum != byte(size/4096%256) {
			t.Error("other bytes than were written")
		}
		return anonBytes() - before
	}
	if got := grows(-1, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS); got < size-slack || got > size+slack {
		t.Errorf("%d MiB of memory are counted as %d", size/mib, got/mib)
	}
	if got := grows(int(f.Fd()), unix.MAP_PRIVATE); got > slack {
		t.Errorf("a mapped file is counted as %d MiB", got/mib)
	}
}
