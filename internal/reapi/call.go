package reapi

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// attempts is how often a call that meets faults is made.
	attempts = 3
	// mostResumed bounds how often a stream that gets somewhere is taken up.
	mostResumed = 100
	// firstPause is the wait after the first fault; it doubles, up to mostPause
	// where the server is busy.
	firstPause = 50 * time.Millisecond
	mostPause  = 2 * time.Second
	// stallLimit ends a call whose server answers questions but moves nothing.
	stallLimit = 2 * time.Minute
)

// ask makes a call without many bytes. It ends after the patience, all attempts
// together.
func (c *Client) ask(ctx context.Context, what string, f func(context.Context) error) error {
	inner, cancel := context.WithTimeout(ctx, c.o.Patience)
	defer cancel()
	return c.wrap(ctx, what, c.again(inner, func() error { return f(inner) }))
}

// again repeats f after faults, but not after a stall: the server has been asked
// and did not answer. f says by a faultAfterProgress that it has got
// somewhere since: those do not count. A server that is busy is waited for as
// long as the patience lasts.
func (c *Client) again(ctx context.Context, f func() error) error {
	pause := firstPause
	resumed := 0
	var waited time.Duration
	for n := 1; ; n++ {
		age := c.executions.bound()
		err := f()
		if IsBusy(err) {
			c.executions.narrow(age)
		}
		var stall *StallError
		if err == nil || !IsFault(err) || ctx.Err() != nil || errors.As(err, &stall) {
			return err
		}
		var p *faultAfterProgress
		if errors.As(err, &p) && resumed < mostResumed {
			n, pause, waited = 0, firstPause, 0
			resumed++
		}
		if IsBusy(err) && waited < c.o.Patience {
			n--
			pause = min(pause, mostPause)
			waited += pause
		}
		if n >= attempts {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return err
		case <-t.C:
		}
		pause *= 2
	}
}

// faultAfterProgress is a fault of a stream that had moved bytes.
type faultAfterProgress struct{ err error }

func (e *faultAfterProgress) Unwrap() error { return e.err }
func (e *faultAfterProgress) Error() string { return e.err.Error() }

// wrap says which server and what for. A call that ended because its caller
// gave up reports that.
func (c *Client) wrap(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &callError{c.o.Address, what, err}
}

type callError struct {
	address, what string
	err           error
}

func (e *callError) Unwrap() error { return e.err }

func (e *callError) Error() string {
	return fmt.Sprintf("remote %s: %s: %s", e.address, e.what, message(e.err))
}

// move makes a call that moves bytes. f calls alive whenever some have moved.
// While none do, the server is asked now and then whether it is there.
func (c *Client) move(ctx context.Context, what string, f func(ctx context.Context, alive func()) error) error {
	return c.wrap(ctx, what, c.again(ctx, func() error {
		inner, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		var last atomic.Int64
		alive := func() { last.Store(time.Now().UnixNano()) }
		alive()
		done := make(chan struct{})
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			c.watch(inner, what, &last, done, cancel)
		}()
		err := f(inner, alive)
		close(done)
		<-watched
		if err != nil && ctx.Err() == nil && inner.Err() != nil {
			return context.Cause(inner)
		}
		return err
	}))
}

// watch ends a call that has stalled, until done is closed.
func (c *Client) watch(ctx context.Context, what string, last *atomic.Int64, done <-chan struct{}, end context.CancelCauseFunc) {
	// Looking, waiting and asking together take less than the patience.
	p := c.o.Patience
	t := time.NewTicker(p / 8)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case <-t.C:
		}
		quiet := time.Since(time.Unix(0, last.Load()))
		switch {
		case quiet > stallLimit:
			end(&StallError{what, fmt.Errorf("nothing moved for %v", stallLimit)})
			return
		case quiet < p/3:
			continue
		}
		probe, cancel := context.WithTimeout(ctx, p/2)
		_, err := c.capabilities(probe)
		cancel()
		select {
		case <-done:
			return
		default:
		}
		if err != nil && ctx.Err() == nil && IsFault(err) && !IsBusy(err) {
			end(&StallError{what, err})
			return
		}
	}
}
