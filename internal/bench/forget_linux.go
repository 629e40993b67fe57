package bench

import (
	"os"

	"golang.org/x/sys/unix"
)

// forget asks the system to drop its copy of the file, so that it is read from
// the disk. A system that does not only makes the figure too good.
func forget(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
