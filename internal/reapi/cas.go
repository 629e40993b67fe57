package reapi

import (
	"context"
	"fmt"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// missingAtOnce bounds the digests of one question.
	missingAtOnce = 4000
	// streams is how many calls move bytes at a time.
	streams = 4
	// perBlob is what a blob takes in a batch besides its bytes.
	perBlob = 256
)

// Missing returns those of the blobs that the server lacks.
func (c *Client) Missing(ctx context.Context, ds []Digest) ([]Digest, error) {
	var missing []Digest
	for len(ds) > 0 {
		part := ds[:min(len(ds), missingAtOnce)]
		ds = ds[len(part):]
		req := &repb.FindMissingBlobsRequest{InstanceName: c.instance}
		for _, d := range part {
			req.BlobDigests = append(req.BlobDigests, d.Proto())
		}
		var answer *repb.FindMissingBlobsResponse
		err := c.ask(ctx, "looking for blobs", func(ctx context.Context) (err error) {
			answer, err = repb.NewContentAddressableStorageClient(c.calls).FindMissingBlobs(ctx, req)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, p := range answer.MissingBlobDigests {
			d, err := FromProto(p)
			if err != nil {
				return nil, fmt.Errorf("remote %s: looking for blobs: %w", c.o.Address, err)
			}
			missing = append(missing, d)
		}
	}
	return missing, nil
}

// batchRoom is how many bytes fit one batch.
func (c *Client) batchRoom() int64 { return max(1, c.Capabilities().MaxBatch-batchOverhead) }

// Batchable reports whether a blob is small enough to travel with others.
func (c *Client) Batchable(d Digest) bool { return d.Size+perBlob <= c.batchRoom() }

// batches groups digests that fit one call each. All must be Batchable.
func batches[T any](c *Client, items []T, size func(T) int64) [][]T {
	var out [][]T
	var room int64
	for _, it := range items {
		n := size(it) + perBlob
		if len(out) == 0 || n > room {
			out, room = append(out, nil), c.batchRoom()
		}
		room -= n
		out[len(out)-1] = append(out[len(out)-1], it)
	}
	return out
}

// ReadBatch reads small blobs, each Batchable. got is called with each blob that
// the server has, verified, one at a time; others are passed over. Bytes are the
// receiver's.
func (c *Client) ReadBatch(ctx context.Context, ds []Digest, got func(Digest, []byte) error) error {
	for _, part := range batches(c, ds, func(d Digest) int64 { return d.Size }) {
		req := &repb.BatchReadBlobsRequest{InstanceName: c.instance}
		if c.Capabilities().Zstd {
			req.AcceptableCompressors = []repb.Compressor_Value{repb.Compressor_IDENTITY, repb.Compressor_ZSTD}
		}
		want := map[Digest]bool{}
		for _, d := range part {
			if !want[d] {
				want[d] = true
				req.Digests = append(req.Digests, d.Proto())
			}
		}
		var answer *repb.BatchReadBlobsResponse
		err := c.move(ctx, "reading blobs", func(ctx context.Context, _ func()) (err error) {
			answer, err = repb.NewContentAddressableStorageClient(c.data).BatchReadBlobs(ctx, req)
			return err
		})
		if err != nil {
			return err
		}
		for _, r := range answer.Responses {
			d, err := FromProto(r.Digest)
			switch {
			case err != nil || !want[d]:
				continue // it was not asked for
			case codes.Code(r.Status.GetCode()) == codes.NotFound:
				continue
			case r.Status.GetCode() != 0:
				return c.wrap(ctx, "reading blob "+d.String(), status.ErrorProto(r.Status))
			}
			data := r.Data
			if r.Compressor == repb.Compressor_ZSTD {
				if data, err = unzstd(data, d.Size); err != nil {
					return fmt.Errorf("remote %s: blob %v: %w", c.o.Address, d, err)
				}
			}
			if have := Sum(data); have != d {
				return fmt.Errorf("remote %s: %w", c.o.Address, &CorruptError{d, have})
			}
			delete(want, d)
			if err := got(d, data); err != nil {
				return err
			}
		}
	}
	return nil
}

// Read reads one blob into memory. The error has ErrNotFound in its chain if the
// server lacks it.
func (c *Client) Read(ctx context.Context, d Digest) ([]byte, error) {
	if !c.Batchable(d) {
		var b buffer
		err := c.ReadTo(ctx, d, &b)
		return b, err
	}
	var data []byte
	found := false
	err := c.ReadBatch(ctx, []Digest{d}, func(_ Digest, b []byte) error {
		data, found = b, true
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("remote %s: blob %v: %w", c.o.Address, d, ErrNotFound)
	}
	return data, err
}

type buffer []byte

func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// Blob is something to upload. Open may be called more than once; release ends
// the validity of data.
type Blob struct {
	Digest
	Open func() (data []byte, release func(), err error)
}

// Bytes returns a blob that is in memory.
func Bytes(data []byte) Blob {
	return Blob{Sum(data), func() ([]byte, func(), error) { return data, func() {}, nil }}
}

// Upload stores blobs, small ones together, large ones as streams.
func (c *Client) Upload(ctx context.Context, blobs []Blob) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(streams)
	var small []Blob
	for _, b := range blobs {
		if c.Batchable(b.Digest) {
			small = append(small, b)
			continue
		}
		g.Go(func() error { return c.write(ctx, b) })
	}
	for _, part := range batches(c, small, func(b Blob) int64 { return b.Size }) {
		g.Go(func() error { return c.updateBatch(ctx, part) })
	}
	return g.Wait()
}

func (c *Client) updateBatch(ctx context.Context, blobs []Blob) error {
	req := &repb.BatchUpdateBlobsRequest{InstanceName: c.instance}
	for _, b := range blobs {
		data, release, err := b.Open()
		if err != nil {
			return err
		}
		defer release()
		r := &repb.BatchUpdateBlobsRequest_Request{Digest: b.Proto(), Data: data}
		// Compressing what is tiny costs more than it saves.
		if c.Capabilities().Zstd && b.Size >= 1<<10 {
			if z := zstdBytes(data); len(z) < len(data) {
				r.Data, r.Compressor = z, repb.Compressor_ZSTD
			}
		}
		req.Requests = append(req.Requests, r)
	}
	return c.move(ctx, "storing blobs", func(ctx context.Context, _ func()) error {
		answer, err := repb.NewContentAddressableStorageClient(c.data).BatchUpdateBlobs(ctx, req)
		if err != nil {
			return err
		}
		for _, r := range answer.Responses {
			if r.Status.GetCode() != 0 {
				return fmt.Errorf("blob %.12s: %w", r.Digest.GetHash(), status.ErrorProto(r.Status))
			}
		}
		return nil
	})
}
