package bench

import (
	"fmt"
	"io"
	"os"
)

// diskSize is enough for a disk to reach its speed, little enough for a laptop's
// flash.
const diskSize = 64 << 20

// diskFile is the file that disk figures are taken with.
type diskFile struct {
	f      *os.File
	buffer []byte
}

func newDiskFile(dir string) (*diskFile, error) {
	f, err := os.CreateTemp(dir, "bench-*.tmp")
	if err != nil {
		return nil, fmt.Errorf("a file to measure the disk with: %w", err)
	}
	d := &diskFile{f: f, buffer: make([]byte, 1<<20)}
	// Bytes that no file system compresses.
	state := uint64(1)
	for i := range d.buffer {
		state = state*6364136223846793005 + 1442695040888963407
		d.buffer[i] = byte(state >> 56)
	}
	return d, nil
}

func (d *diskFile) close() {
	d.f.Close()
	os.Remove(d.f.Name())
}

func (d *diskFile) pieces() []piece {
	rewind := func() error {
		_, err := d.f.Seek(0, io.SeekStart)
		return err
	}
	return []piece{
		{DiskWrite, "64 MiB to the cache's disk, flushed", "GB/s", diskSize, func() error {
			if err := d.f.Truncate(0); err != nil {
				return err
			}
			return rewind()
		}, func() error {
			for range diskSize / len(d.buffer) {
				if _, err := d.f.Write(d.buffer); err != nil {
					return err
				}
			}
			return d.f.Sync()
		}},
		{DiskRead, "64 MiB from it", "GB/s", diskSize, func() error {
			forget(d.f)
			return rewind()
		}, func() error {
			for range diskSize / len(d.buffer) {
				if _, err := io.ReadFull(d.f, d.buffer); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}
