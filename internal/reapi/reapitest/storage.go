package reapitest

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"os"
	"strconv"
	"strings"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"github.com/klauspost/compress/zstd"
	bspb "google.golang.org/genproto/googleapis/bytestream"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/compressc/compressc/internal/reapi"
)

// Place implements worker.Store.
func (m memory) Place(ctx context.Context, files map[string]reapi.Digest) error {
	for path, d := range files {
		data, err := m.Read(ctx, d)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o555); err != nil {
			return err
		}
	}
	return nil
}

type cas struct {
	repb.UnimplementedContentAddressableStorageServer
	s *Server
}

func (c cas) FindMissingBlobs(_ context.Context, r *repb.FindMissingBlobsRequest) (*repb.FindMissingBlobsResponse, error) {
	answer := &repb.FindMissingBlobsResponse{}
	for _, p := range r.BlobDigests {
		d, err := reapi.FromProto(p)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		if d.Size > 0 && c.s.Blob(d) == nil {
			answer.MissingBlobDigests = append(answer.MissingBlobDigests, p)
		}
	}
	return answer, nil
}

// lie returns b, damaged if the server is to lie.
func (s *Server) lie(b []byte) []byte {
	if n := s.faults().Lie; n > 0 && int64(len(b)) > n {
		b = bytes.Clone(b)
		b[len(b)/2] ^= 1
	}
	return b
}

func (s *Server) limit() int64 {
	if n := s.faults().MaxBatch; n > 0 {
		return n
	}
	return 4 << 20
}

func (c cas) BatchReadBlobs(_ context.Context, r *repb.BatchReadBlobsRequest) (*repb.BatchReadBlobsResponse, error) {
	answer := &repb.BatchReadBlobsResponse{}
	var sum int64
	for _, p := range r.Digests {
		d, err := reapi.FromProto(p)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		one := &repb.BatchReadBlobsResponse_Response{Digest: p}
		if data := c.s.Blob(d); data == nil && d.Size > 0 {
			one.Status = &statuspb.Status{Code: int32(codes.NotFound)}
		} else {
			one.Data = c.s.lie(data)
			for _, z := range r.AcceptableCompressors {
				if z == repb.Compressor_ZSTD && c.s.faults().Zstd {
					one.Data, one.Compressor = pack(one.Data), z
				}
			}
		}
		sum += d.Size
		answer.Responses = append(answer.Responses, one)
	}
	if sum > c.s.limit() {
		return nil, status.Error(codes.InvalidArgument, "the batch is too large")
	}
	return answer, nil
}

func (c cas) BatchUpdateBlobs(_ context.Context, r *repb.BatchUpdateBlobsRequest) (*repb.BatchUpdateBlobsResponse, error) {
	answer := &repb.BatchUpdateBlobsResponse{}
	var sum int64
	for _, one := range r.Requests {
		data := one.Data
		sum += int64(len(data))
		if one.Compressor == repb.Compressor_ZSTD {
			var err error
			if data, err = unpack(data); err != nil {
				return nil, status.Error(codes.InvalidArgument, err.Error())
			}
		}
		st := &statuspb.Status{}
		if d, err := reapi.FromProto(one.Digest); err != nil || reapi.Sum(data) != d {
			st.Code, st.Message = int32(codes.InvalidArgument), "the digest is another"
		} else {
			c.s.Put(data)
		}
		answer.Responses = append(answer.Responses, &repb.BatchUpdateBlobsResponse_Response{Digest: one.Digest, Status: st})
	}
	if sum > c.s.limit() {
		return nil, status.Error(codes.InvalidArgument, "the batch is too large")
	}
	return answer, nil
}

func pack(b []byte) []byte {
	e, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return e.EncodeAll(b, nil)
}

func unpack(b []byte) ([]byte, error) {
	d, err := zstd.NewReader(nil)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.DecodeAll(b, nil)
}

type actionCache struct {
	repb.UnimplementedActionCacheServer
	s *Server
}

func (a actionCache) GetActionResult(_ context.Context, r *repb.GetActionResultRequest) (*repb.ActionResult, error) {
	d, err := reapi.FromProto(r.ActionDigest)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if res := a.s.acs[d]; res != nil {
		return res, nil
	}
	return nil, status.Error(codes.NotFound, "no such result")
}

func (a actionCache) UpdateActionResult(_ context.Context, r *repb.UpdateActionResultRequest) (*repb.ActionResult, error) {
	d, err := reapi.FromProto(r.ActionDigest)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if f := a.s.faults(); f.RefuseUpdates || f.NoUpdates {
		return nil, status.Error(codes.PermissionDenied, "only workers write results")
	}
	a.s.mu.Lock()
	a.s.acs[d] = r.ActionResult
	a.s.mu.Unlock()
	return r.ActionResult, nil
}

type byteStream struct {
	bspb.UnimplementedByteStreamServer
	s *Server
}

// blobName parses ".../blobs/HASH/SIZE" and ".../compressed-blobs/zstd/HASH/SIZE".
func (s *Server) blobName(name string) (d reapi.Digest, zip bool, err error) {
	bad := status.Errorf(codes.InvalidArgument, "resource name %q", name)
	if in := s.faults().Instance; in != "" {
		rest, ok := strings.CutPrefix(name, in+"/")
		if !ok {
			return d, false, bad
		}
		name = rest
	}
	parts := strings.Split(name, "/")
	if parts[0] == "uploads" {
		if len(parts) < 2 || len(parts[1]) != 36 {
			return d, false, bad
		}
		parts = parts[2:]
	}
	if len(parts) == 4 && parts[0] == "compressed-blobs" && parts[1] == "zstd" && s.faults().Zstd {
		zip, parts = true, parts[1:]
	} else if len(parts) != 3 || parts[0] != "blobs" {
		return d, false, bad
	}
	n, err := strconv.ParseInt(parts[2], 10, 64)
	if raw, herr := hex.DecodeString(parts[1]); err != nil || herr != nil || len(raw) != 32 {
		return d, false, bad
	}
	return reapi.Digest{Hash: parts[1], Size: n}, zip, nil
}

func (b byteStream) Read(r *bspb.ReadRequest, out bspb.ByteStream_ReadServer) error {
	d, zip, err := b.s.blobName(r.ResourceName)
	if err != nil {
		return err
	}
	data := b.s.Blob(d)
	if data == nil {
		return status.Error(codes.NotFound, "no such blob")
	}
	if r.ReadOffset > int64(len(data)) {
		return status.Error(codes.OutOfRange, "beyond the end")
	}
	data = b.s.lie(data)[r.ReadOffset:]
	if zip {
		data = pack(data)
	}
	drop := int64(-1)
	if b.s.take(&b.s.f.DropRead) {
		drop = b.s.faults().DropAfter
	}
	for sent := int64(0); len(data) > 0; {
		n := min(len(data), 64<<10)
		if err := out.Send(&bspb.ReadResponse{Data: data[:n]}); err != nil {
			return err
		}
		data, sent = data[n:], sent+int64(n)
		if drop >= 0 && sent >= drop {
			return status.Error(codes.Unavailable, "the line broke")
		}
	}
	return nil
}

func (b byteStream) Write(in bspb.ByteStream_WriteServer) error {
	name := ""
	drop := int64(-1)
	if b.s.take(&b.s.f.DropWrite) {
		drop = b.s.faults().DropAfter
	}
	for {
		m, err := in.Recv()
		if err == io.EOF {
			return status.Error(codes.InvalidArgument, "the write was not finished")
		}
		if err != nil {
			return err
		}
		if name == "" {
			name = m.ResourceName
		}
		d, zip, err := b.s.blobName(name)
		if err != nil {
			return err
		}
		if b.s.Blob(d) != nil {
			n := d.Size
			if zip {
				n = -1
			}
			return in.SendAndClose(&bspb.WriteResponse{CommittedSize: n})
		}
		b.s.mu.Lock()
		have := b.s.ups[name]
		if m.WriteOffset != int64(len(have)) {
			b.s.mu.Unlock()
			return status.Errorf(codes.InvalidArgument, "offset %d, expected %d", m.WriteOffset, len(have))
		}
		have = append(have, m.Data...)
		b.s.ups[name] = have
		b.s.mu.Unlock()
		if drop >= 0 && int64(len(have)) >= drop {
			return status.Error(codes.Unavailable, "the line broke")
		}
		if !m.FinishWrite {
			continue
		}
		data := have
		if zip {
			if data, err = unpack(have); err != nil {
				return status.Error(codes.InvalidArgument, err.Error())
			}
		}
		if reapi.Sum(data) != d {
			return status.Error(codes.InvalidArgument, "the digest is another")
		}
		b.s.Put(data)
		return in.SendAndClose(&bspb.WriteResponse{CommittedSize: int64(len(have))})
	}
}

func (b byteStream) QueryWriteStatus(_ context.Context, r *bspb.QueryWriteStatusRequest) (*bspb.QueryWriteStatusResponse, error) {
	if b.s.faults().NoWriteStatus {
		return nil, status.Error(codes.Unimplemented, "no")
	}
	d, _, err := b.s.blobName(r.ResourceName)
	if err != nil {
		return nil, err
	}
	if data := b.s.Blob(d); data != nil {
		return &bspb.QueryWriteStatusResponse{CommittedSize: d.Size, Complete: true}, nil
	}
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	have, ok := b.s.ups[r.ResourceName]
	if !ok {
		return nil, status.Error(codes.NotFound, "no such upload")
	}
	return &bspb.QueryWriteStatusResponse{CommittedSize: int64(len(have))}, nil
}
