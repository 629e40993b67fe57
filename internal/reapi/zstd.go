package reapi

import (
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// coder makes the shared coders when one is first needed: they hold tables.
var coder = sync.OnceValues(func() (*zstd.Encoder, *zstd.Decoder) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic("reapi: " + err.Error())
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxMessage))
	if err != nil {
		panic("reapi: " + err.Error())
	}
	return e, d
})

func zstdBytes(data []byte) []byte {
	e, _ := coder()
	return e.EncodeAll(data, nil)
}

// unzstd decompresses what must be size bytes: a server cannot make it grow
// beyond the decoder's limit.
func unzstd(data []byte, size int64) ([]byte, error) {
	_, d := coder()
	out, err := d.DecodeAll(data, make([]byte, 0, min(size, maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return out, nil
}

// zstdWriter compresses to w. The same input gives the same output, so that an
// upload that broke can be taken up.
func zstdWriter(w io.Writer) (io.WriteCloser, error) {
	return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
}

// zstdReader decompresses r with little memory, whatever r says.
func zstdReader(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxMessage))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return d.IOReadCloser(), nil
}
