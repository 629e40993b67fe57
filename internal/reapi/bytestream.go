package reapi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	bspb "google.golang.org/genproto/googleapis/bytestream"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// chunk is how many bytes one message of a stream carries.
const chunk = 1 << 20

func (c *Client) resource(parts string) string {
	if c.instance == "" {
		return parts
	}
	return c.instance + "/" + parts
}

// ReadTo reads one blob as a stream. A stream that breaks is taken up where it
// broke. w has seen bytes of unknown origin until ReadTo returns without an
// error.
func (c *Client) ReadTo(ctx context.Context, d Digest, w io.Writer) error {
	kind := "blobs"
	if c.Capabilities().Zstd {
		kind = "compressed-blobs/zstd"
	}
	s := &readState{c: c, d: d, name: c.resource(fmt.Sprintf("%s/%s/%d", kind, d.Hash, d.Size)), w: w, h: sha256.New()}
	err := c.move(ctx, "reading blob "+d.String(), s.read)
	if err != nil {
		if code(err) == codes.NotFound {
			return fmt.Errorf("%w: %w", err, ErrNotFound)
		}
		return err
	}
	if got := (Digest{hex.EncodeToString(s.h.Sum(nil)), s.n}); got != d {
		return fmt.Errorf("remote %s: %w", c.o.Address, &CorruptError{d, got})
	}
	return nil
}

// readState is how far a blob has been read.
type readState struct {
	c    *Client
	d    Digest
	name string
	w    io.Writer
	h    hash.Hash
	n    int64
}

// errSink marks an error of the receiver's, which no second attempt helps.
type errSink struct{ error }

func (e errSink) Unwrap() error { return e.error }

// read makes one attempt.
func (s *readState) read(ctx context.Context, alive func()) error {
	before := s.n
	err := s.attempt(ctx, alive)
	if err != nil && s.n > before && IsFault(err) {
		err = &faultAfterProgress{err}
	}
	return err
}

func (s *readState) attempt(ctx context.Context, alive func()) error {
	// With compression, too, the offset counts bytes of the blob itself.
	stream, err := bspb.NewByteStreamClient(s.c.data).Read(ctx, &bspb.ReadRequest{ResourceName: s.name, ReadOffset: s.n})
	if err != nil {
		return err
	}
	wire := &streamReader{recv: stream.Recv, alive: alive}
	var src io.Reader = wire
	if s.c.Capabilities().Zstd {
		z, err := zstdReader(src)
		if err != nil {
			return err
		}
		defer z.Close()
		src = z
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := src.Read(buf)
		if s.n+int64(n) > s.d.Size {
			return fmt.Errorf("more than the blob's %d bytes came", s.d.Size)
		}
		if n > 0 {
			s.h.Write(buf[:n])
			s.n += int64(n)
			if _, werr := s.w.Write(buf[:n]); werr != nil {
				return errSink{werr}
			}
		}
		if err != nil && err != io.EOF && wire.err != nil {
			err = wire.err // the decoder's words for it say less
		}
		switch {
		case err == io.EOF && s.n < s.d.Size:
			return status.Errorf(codes.Unavailable, "the stream ended after %d of %d bytes", s.n, s.d.Size)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// streamReader is a ByteStream as a Reader.
type streamReader struct {
	recv  func() (*bspb.ReadResponse, error)
	alive func()
	rest  []byte
	err   error
}

func (r *streamReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		m, err := r.recv()
		if err != nil {
			r.err = err
			return 0, err
		}
		r.alive()
		r.rest = m.Data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// write uploads one blob as a stream.
func (c *Client) write(ctx context.Context, b Blob) error {
	s := &writeState{c: c, b: b}
	s.rename()
	return c.move(ctx, "storing blob "+b.Digest.String(), s.write)
}

// writeState is how far a blob has been sent.
type writeState struct {
	c    *Client
	b    Blob
	name string
	// sent is set once something may have arrived under name.
	sent bool
	most int64 // what the server had at most
}

// rename starts an upload under a name of its own.
func (s *writeState) rename() {
	var id [16]byte
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	kind := "blobs"
	if s.c.Capabilities().Zstd {
		kind = "compressed-blobs/zstd"
	}
	s.name = s.c.resource(fmt.Sprintf("uploads/%x-%x-%x-%x-%x/%s/%s/%d", id[:4], id[4:6], id[6:8], id[8:10], id[10:], kind, s.b.Hash, s.b.Size))
	s.sent, s.most = false, 0
}

// write makes one attempt.
func (s *writeState) write(ctx context.Context, alive func()) error {
	var from int64
	if s.sent {
		st, err := bspb.NewByteStreamClient(s.c.data).QueryWriteStatus(ctx, &bspb.QueryWriteStatusRequest{ResourceName: s.name})
		switch {
		case err != nil && (code(err) == codes.NotFound || code(err) == codes.Unimplemented):
			s.rename()
		case err != nil:
			return err
		case st.Complete:
			return nil
		default:
			from = st.CommittedSize
		}
	}
	progress := from > s.most
	s.most = max(s.most, from)
	err := s.attempt(ctx, alive, from)
	if err != nil && progress && IsFault(err) {
		err = &faultAfterProgress{err}
	}
	return err
}

// errEnough ends the sending of a blob that the server has meanwhile.
var errEnough = errors.New("the server has the blob")

func (s *writeState) attempt(ctx context.Context, alive func(), from int64) error {
	data, release, err := s.b.Open()
	if err != nil {
		return errSink{err}
	}
	defer release()
	stream, err := bspb.NewByteStreamClient(s.c.data).Write(ctx)
	if err != nil {
		return err
	}
	s.sent = true
	w := &streamWriter{name: s.name, skip: from, offset: from, send: func(r *bspb.WriteRequest) error {
		err := stream.Send(r)
		if err == io.EOF {
			return errEnough // or an error, which the answer tells
		}
		alive()
		return err
	}}
	if s.c.Capabilities().Zstd {
		err = w.compressed(data)
	} else {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.finish()
	}
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	answer, err := stream.CloseAndRecv()
	if err != nil {
		if code(err) == codes.AlreadyExists {
			return nil
		}
		return err
	}
	// −1, or the blob's own size, says that the server had a compressed blob
	// already.
	if n := answer.CommittedSize; n != w.offset && n != s.b.Size && n != -1 {
		return status.Errorf(codes.Unavailable, "the server has %d of %d bytes", n, w.offset)
	}
	return nil
}

// streamWriter cuts what is written into messages, leaving out the first skip
// bytes.
type streamWriter struct {
	name   string
	send   func(*bspb.WriteRequest) error
	skip   int64
	offset int64 // of the next message
	buf    []byte
	named  bool
}

func (w *streamWriter) Write(p []byte) (int, error) {
	n := len(p)
	drop := min(w.skip, int64(len(p)))
	w.skip -= drop
	p = p[drop:]
	for len(p) > 0 {
		if w.buf == nil {
			w.buf = make([]byte, 0, chunk)
		}
		k := min(len(p), chunk-len(w.buf))
		w.buf = append(w.buf, p[:k]...)
		p = p[k:]
		// A full chunk waits for the next byte: the last one says that it is.
		if len(w.buf) == chunk && len(p) > 0 {
			if err := w.flush(false); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (w *streamWriter) flush(last bool) error {
	r := &bspb.WriteRequest{WriteOffset: w.offset, Data: w.buf, FinishWrite: last}
	if !w.named {
		r.ResourceName, w.named = w.name, true
	}
	w.offset += int64(len(w.buf))
	w.buf = nil // gRPC may still hold the message
	return w.send(r)
}

func (w *streamWriter) finish() error { return w.flush(true) }

func (w *streamWriter) compressed(data []byte) error {
	z, err := zstdWriter(w)
	if err != nil {
		return err
	}
	if _, err := z.Write(data); err != nil {
		return errors.Join(err, z.Close())
	}
	return z.Close()
}
