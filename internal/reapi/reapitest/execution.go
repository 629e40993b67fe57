package reapitest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/compressc/compressc/internal/reapi"
)

type execution struct {
	repb.UnimplementedExecutionServer
	s *Server
}

func (e execution) Execute(r *repb.ExecuteRequest, out repb.Execution_ExecuteServer) error {
	s := e.s
	if r.InstanceName != s.faults().Instance {
		return status.Errorf(codes.InvalidArgument, "no instance %q", r.InstanceName)
	}
	d, err := reapi.FromProto(r.ActionDigest)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	a := &repb.Action{}
	if err := proto.Unmarshal(s.Blob(d), a); err != nil || s.Blob(d) == nil {
		return status.Error(codes.FailedPrecondition, "the action is not here")
	}
	if bad := s.faults().RefusePlatform; bad != "" {
		for _, p := range a.GetPlatform().GetProperties() {
			if p.Name == bad {
				return status.Errorf(codes.FailedPrecondition, "unregistered platform property %s", bad)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	if s.ended() {
		s.mu.Unlock()
		cancel()
		return status.Error(codes.Unavailable, "the server ends")
	}
	s.seq++
	op := &operation{name: fmt.Sprint("operations/", s.seq), action: d, done: make(chan struct{}), cancel: cancel}
	s.ops[op.name] = op
	s.running.Add(1)
	s.mu.Unlock()
	go func() { defer s.running.Done(); s.execute(ctx, op, a) }()
	if late := s.faults().LateName; late > 0 {
		select {
		case <-out.Context().Done():
			return status.FromContextError(out.Context().Err()).Err()
		case <-time.After(late):
		}
	}
	return s.follow(op, out)
}

func (e execution) WaitExecution(r *repb.WaitExecutionRequest, out repb.Execution_WaitExecutionServer) error {
	s := e.s
	s.mu.Lock()
	op := s.ops[r.Name]
	forget := s.f.Forget
	s.mu.Unlock()
	if op == nil || forget {
		return status.Error(codes.NotFound, "no such operation")
	}
	return s.follow(op, out)
}

// follow tells a client of an operation until it is done.
func (s *Server) follow(op *operation, out interface {
	Send(*longrunningpb.Operation) error
	Context() context.Context
}) error {
	md, err := anypb.New(&repb.ExecuteOperationMetadata{Stage: repb.ExecutionStage_EXECUTING, ActionDigest: op.action.Proto()})
	if err != nil {
		return err
	}
	if err := out.Send(&longrunningpb.Operation{Name: op.name, Metadata: md}); err != nil {
		return err
	}
	if s.take(&s.f.DropExecute) {
		return status.Error(codes.Unavailable, "the line broke")
	}
	select {
	case <-out.Context().Done():
		// It goes on: the client may come back for it, or cancel it.
		return status.FromContextError(out.Context().Err()).Err()
	case <-s.hole:
		return status.Error(codes.Unavailable, "the server ends")
	case <-op.done:
	}
	resp, err := anypb.New(op.resp)
	if err != nil {
		return err
	}
	return out.Send(&longrunningpb.Operation{Name: op.name, Metadata: md, Done: true, Result: &longrunningpb.Operation_Response{Response: resp}})
}

func (s *Server) execute(ctx context.Context, op *operation, a *repb.Action) {
	defer close(op.done)
	op.resp = &repb.ExecuteResponse{}
	if s.take(&s.f.KillWorker) {
		op.resp.Status = status.New(codes.Unavailable, "the worker died").Proto()
		return
	}
	r, err := s.sandbox.Execute(ctx, a)
	switch {
	case errors.Is(err, reapi.ErrNotFound):
		op.resp.Status = status.New(codes.FailedPrecondition, err.Error()).Proto()
		return
	case err != nil:
		op.resp.Status = status.New(codes.Internal, err.Error()).Proto()
		return
	}
	if s.take(&s.f.LoseOutputs) {
		for _, o := range r.OutputFiles {
			d, err := reapi.FromProto(o.Digest)
			s.Remove(func(x reapi.Digest, _ []byte) bool { return err == nil && x == d })
		}
	}
	op.resp.Result = r
	if r.ExitCode == 0 && !a.DoNotCache {
		s.mu.Lock()
		s.acs[op.action] = r
		s.mu.Unlock()
	}
}

type operations struct {
	longrunningpb.UnimplementedOperationsServer
	s *Server
}

func (o operations) CancelOperation(_ context.Context, r *longrunningpb.CancelOperationRequest) (*emptypb.Empty, error) {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	op := o.s.ops[r.Name]
	if op == nil {
		return nil, status.Error(codes.NotFound, "no such operation")
	}
	op.cancel()
	return &emptypb.Empty{}, nil
}
