//go:build unix

package kerneltest

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Guarded returns n elements that end at a page without access: a read or write
// past them kills the test, which neither vet nor the race detector would notice
// in assembler.
func Guarded[T float32 | float64 | uint32 | uint64 | byte](t *testing.T, n int) []T {
	t.Helper()
	var z T
	page := unix.Getpagesize()
	size := (n*int(unsafe.Sizeof(z)) + page - 1) / page * page
	mem, err := unix.Mmap(-1, 0, size+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(mem); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mprotect(mem[size:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	s := unsafe.Slice((*T)(unsafe.Pointer(&mem[0])), size/int(unsafe.Sizeof(z)))
	return s[len(s)-n:]
}
