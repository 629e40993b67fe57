package reapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Stage is where an execution stands: "QUEUED", "EXECUTING".
type Stage func(stage string)

// Execute has an action executed and returns what came out, whatever the exit
// code. A stream that breaks is waited for again, and an execution that the
// server no longer knows is started again. fresh forbids the server to answer
// from its cache. When ctx ends, the server is told that nobody waits any more.
// An error in whose chain is a fault may go away; others are the server's last
// word, such as that no worker has the platform that was asked for. While the
// server has no room for more, executions wait here.
func (c *Client) Execute(ctx context.Context, action Digest, fresh bool, stage Stage) (*repb.ExecuteResponse, error) {
	x := &running{c: c, action: action, fresh: fresh, stage: stage}
	err := c.again(ctx, func() error { return x.attempt(ctx) })
	if ctx.Err() != nil {
		x.cancel()
	}
	if err == nil {
		if err = status.ErrorProto(x.answer.GetStatus()); err == nil && x.answer.GetResult() == nil {
			err = errors.New("the answer holds no result")
		}
	}
	return x.answer, c.wrap(ctx, "executing", err)
}

// running is an execution under way.
type running struct {
	c      *Client
	action Digest
	fresh  bool
	stage  Stage
	name   string // of the operation, once known
	answer *repb.ExecuteResponse
}

// attempt follows the execution while the window has room for it.
func (x *running) attempt(ctx context.Context) error {
	if err := x.c.executions.enter(ctx); err != nil {
		return err
	}
	err := x.follow(ctx)
	x.c.executions.leave(!IsBusy(err))
	return err
}

func (x *running) follow(ctx context.Context) error {
	// The stream outlives ctx until the operation's name has come: without it the
	// server could not be told that nobody waits, and would go on.
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	named := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		select {
		case <-named:
		case <-inner.Done():
		case <-time.After(min(nameWithin, x.c.o.Patience)):
		}
		cancel(context.Cause(ctx))
	})()
	stopWatch := x.watch(inner, cancel)
	defer stopWatch()
	cl := repb.NewExecutionClient(x.c.calls)
	var stream grpc.ServerStreamingClient[longrunningpb.Operation]
	var err error
	waiting := x.name != ""
	if waiting {
		close(named)
	}
	if waiting {
		stream, err = cl.WaitExecution(inner, &repb.WaitExecutionRequest{Name: x.name})
	} else {
		stream, err = cl.Execute(inner, &repb.ExecuteRequest{InstanceName: x.c.instance, ActionDigest: x.action.Proto(), SkipCacheLookup: x.fresh})
	}
	heard := false
	for err == nil {
		var op *longrunningpb.Operation
		if op, err = stream.Recv(); err == nil {
			var done bool
			done, err = x.take(op)
			if !heard && !waiting {
				close(named)
			}
			heard = true
			if done {
				return nil
			}
		}
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case inner.Err() != nil:
		err = context.Cause(inner)
	case err == io.EOF:
		err = status.Error(codes.Unavailable, "the stream ended before the execution did")
	case waiting && !heard && !IsFault(err):
		// The server has forgotten it: it may have been started anew.
		x.name = ""
		err = status.Error(codes.Unavailable, "the server does not know the execution any more: "+message(err))
	}
	if heard && IsFault(err) {
		return &faultAfterProgress{err}
	}
	return err
}

// take looks at one message of the stream.
func (x *running) take(op *longrunningpb.Operation) (done bool, err error) {
	if op.Name != "" {
		x.name = op.Name
	}
	var md repb.ExecuteOperationMetadata
	if op.Metadata != nil && op.Metadata.UnmarshalTo(&md) == nil && x.stage != nil {
		x.stage(md.Stage.String())
	}
	if !op.Done {
		return false, nil
	}
	if e := op.GetError(); e != nil {
		return false, status.ErrorProto(e)
	}
	answer := &repb.ExecuteResponse{}
	if err := op.GetResponse().UnmarshalTo(answer); err != nil {
		return false, fmt.Errorf("the answer does not parse: %w", err)
	}
	x.answer = answer
	return true, nil
}

// nameWithin is how long the name of an execution is waited for that nobody wants
// any more.
const nameWithin = 5 * time.Second

// watchEvery is how often the server is asked whether it is there while an
// execution, which may say nothing for hours, is under way.
const watchEvery = 5 * time.Second

func (x *running) watch(ctx context.Context, end context.CancelCauseFunc) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(watchEvery)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-t.C:
			}
			probe, cancel := context.WithTimeout(ctx, x.c.o.Patience)
			_, err := x.c.capabilities(probe)
			cancel()
			switch {
			case err == nil || ctx.Err() != nil || !IsFault(err):
			case IsBusy(err):
				// Those that follow executions leave no room for anything else, the
				// workers' calls among it: there are too many of them.
				end(err)
				return
			default:
				end(&StallError{"executing", err})
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// cancel tells the server that nobody waits for the execution. Servers need not
// offer that.
func (x *running) cancel() {
	if x.name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), x.c.o.Patience)
	defer cancel()
	// Whether it was heard makes no difference here.
	_, _ = longrunningpb.NewOperationsClient(x.c.calls).CancelOperation(ctx, &longrunningpb.CancelOperationRequest{Name: x.name})
}
