package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/compressc/compressc/internal/reapi"
	rw "github.com/compressc/compressc/internal/reapi/remoteworkers"
)

// Property is one that the worker says it has, "OSFamily" for one.
type Property struct{ Key, Value string }

// Bot takes leases from a server and executes their actions, one at a time.
type Bot struct {
	Client  *reapi.Client
	Sandbox *Sandbox
	// ID of this worker, unique on the server.
	ID         string
	Properties []Property
	// Log, when not nil, is told of each lease.
	Log func(format string, args ...any)
	// Beat is how often the server hears of a lease under way, and is asked
	// whether it is still wanted; 0 means two seconds.
	Beat time.Duration

	session *rw.BotSession
}

const (
	defaultBeat = 2 * time.Second
	// poll is how long the server may keep a question for work open.
	poll = 30 * time.Second
	// firstRetry is the wait after a call to the server has failed; it doubles up
	// to mostRetry.
	firstRetry = 200 * time.Millisecond
	mostRetry  = 15 * time.Second
	// busyRetry is the longest wait for a server that is there and has no room: it
	// takes workers that say nothing for dead.
	busyRetry = time.Second
)

func (b *Bot) logf(format string, args ...any) {
	if b.Log != nil {
		b.Log(format, args...)
	}
}

// working is a lease under way.
type working struct {
	lease  *rw.Lease
	cancel context.CancelFunc
	done   chan struct{} // closed when result and status are set
	result *anypb.Any
	status *status.Status
}

// Run takes leases until ctx ends; then a lease under way is given back. With
// draining closed it takes no more, and returns when the last one is done.
func (b *Bot) Run(ctx context.Context, draining <-chan struct{}) error {
	if b.Beat == 0 {
		b.Beat = defaultBeat
	}
	var w *working
	defer func() {
		if w != nil {
			w.cancel()
			<-w.done
		}
	}()
	retry := firstRetry
	for {
		stopping := false
		select {
		case <-draining:
			stopping = true
		default:
		}
		if stopping && w == nil || ctx.Err() != nil {
			b.leave(w)
			return nil
		}
		err := b.exchange(ctx, w, stopping, draining)
		if err != nil && ctx.Err() == nil {
			if draining != nil && stopping && w == nil {
				return nil
			}
			if !reapi.IsFault(err) && status.Code(err) != codes.Canceled {
				// The server may have been started anew and not know the session.
				b.session = nil
			}
			if reapi.IsRefusal(err) {
				return fmt.Errorf("the server does not lease to workers: %w", err)
			}
			b.logf("server: %v", err)
			if reapi.IsBusy(err) {
				retry = min(retry, busyRetry)
			}
			select {
			case <-ctx.Done():
			case <-time.After(retry):
			}
			retry = min(2*retry, mostRetry)
			continue
		}
		retry = firstRetry
		w = b.take(ctx, w)
	}
}

// leave tells the server that the worker ends, so that a lease under way is
// given to another one at once.
func (b *Bot) leave(w *working) {
	if b.session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.Client.Patience())
	defer cancel()
	s := proto.CloneOf(b.session)
	s.Status = rw.BotStatus_BOT_TERMINATING
	s.Leases = nil
	if _, err := rw.NewBotsClient(b.Client.Conn()).UpdateBotSession(ctx, &rw.UpdateBotSessionRequest{Name: s.Name, BotSession: s}); err != nil {
		b.logf("leaving: %v", err)
	}
}

// exchange tells the server how things stand and hears what it wants. With a
// lease under way it lasts one beat at most, or until the lease is done; without
// one, until there is work.
func (b *Bot) exchange(ctx context.Context, w *working, stopping bool, draining <-chan struct{}) error {
	if w != nil {
		t := time.NewTimer(b.Beat)
		select {
		case <-w.done:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
	inner, cancel := context.WithTimeout(ctx, poll)
	defer cancel()
	if w == nil && !stopping {
		go func() {
			select {
			case <-draining:
				cancel()
			case <-inner.Done():
			}
		}()
	}
	bots := rw.NewBotsClient(b.Client.Conn())
	if b.session == nil {
		s := &rw.BotSession{BotId: b.ID, Status: rw.BotStatus_OK, Worker: &rw.Worker{Devices: []*rw.Device{{Handle: "machine"}}}}
		for _, p := range b.Properties {
			s.Worker.Properties = append(s.Worker.Properties, &rw.Worker_Property{Key: p.Key, Value: p.Value})
			s.Worker.Devices[0].Properties = append(s.Worker.Devices[0].Properties, &rw.Device_Property{Key: p.Key, Value: p.Value})
		}
		s, err := bots.CreateBotSession(inner, &rw.CreateBotSessionRequest{Parent: b.Client.Instance(), BotSession: s})
		if err != nil {
			return err
		}
		b.session = s
		b.logf("session %s", s.Name)
		return nil
	}
	s := proto.CloneOf(b.session)
	if w != nil {
		select {
		case <-w.done:
			if stopping { // not before: a lease under way would be taken back
				s.Status = rw.BotStatus_BOT_TERMINATING
			}
			for _, l := range s.Leases {
				if l.Id == w.lease.Id {
					l.State, l.Result, l.Status = rw.LeaseState_COMPLETED, w.result, w.status.Proto()
				}
			}
		default:
		}
	}
	got, err := bots.UpdateBotSession(inner, &rw.UpdateBotSessionRequest{Name: s.Name, BotSession: s})
	if err != nil {
		return err
	}
	b.session = got
	return nil
}

// take looks at the leases that the server wants worked on, and returns the one
// under way.
func (b *Bot) take(ctx context.Context, w *working) *working {
	var keep []*rw.Lease
	wanted := false
	for _, l := range b.session.Leases {
		mine := w != nil && l.Id == w.lease.Id
		switch {
		case mine && l.State == rw.LeaseState_ACTIVE:
			wanted = true
			keep = append(keep, l)
		case mine, l.State == rw.LeaseState_COMPLETED, l.State == rw.LeaseState_CANCELLED:
			// The server has taken note of the end, or wants it.
		case w == nil && l.State == rw.LeaseState_PENDING, w == nil && l.State == rw.LeaseState_ACTIVE:
			l.State = rw.LeaseState_ACTIVE
			w = b.start(ctx, l)
			wanted = true
			keep = append(keep, l)
		default:
			keep = append(keep, l)
		}
	}
	b.session.Leases = keep
	if w == nil || wanted {
		return w
	}
	select {
	case <-w.done:
	default:
		b.logf("lease %s: taken back", w.lease.Id)
		w.cancel()
		<-w.done
	}
	w.cancel()
	return nil
}

// start begins the work on a lease.
func (b *Bot) start(ctx context.Context, l *rw.Lease) *working {
	ctx, cancel := context.WithCancel(ctx)
	w := &working{lease: l, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		begin := time.Now()
		r, err := b.execute(ctx, l)
		w.status = status.New(codes.OK, "")
		switch {
		case errors.Is(err, reapi.ErrNotFound):
			w.status = status.New(codes.FailedPrecondition, err.Error())
		case errors.Is(err, context.DeadlineExceeded):
			w.status = status.New(codes.DeadlineExceeded, "the action's time was up")
		case err != nil:
			w.status = status.New(codes.Internal, err.Error())
		default:
			if w.result, err = anypb.New(r); err != nil {
				w.status = status.New(codes.Internal, err.Error())
			}
		}
		b.logf("lease %s: %s after %v", l.Id, outcome(r, err), time.Since(begin).Round(time.Millisecond))
	}()
	return w
}

func outcome(r *repb.ActionResult, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("exit status %d", r.ExitCode)
}

// execute does the action that a lease is about: the action itself, or its
// digest.
func (b *Bot) execute(ctx context.Context, l *rw.Lease) (*repb.ActionResult, error) {
	a := &repb.Action{}
	if l.Payload.MessageIs(a) {
		if err := l.Payload.UnmarshalTo(a); err != nil {
			return nil, err
		}
		return b.Sandbox.Execute(ctx, a)
	}
	d := &repb.Digest{}
	if err := l.Payload.UnmarshalTo(d); err != nil {
		return nil, fmt.Errorf("the lease is about a %s", l.Payload.GetTypeUrl())
	}
	if err := b.Sandbox.message(ctx, d, a); err != nil {
		return nil, fmt.Errorf("the action: %w", err)
	}
	return b.Sandbox.Execute(ctx, a)
}
