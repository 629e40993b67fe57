package reapi

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrNotFound is in the chain of errors about a blob that the server lacks.
var ErrNotFound = errors.New("the server does not have it")

// CorruptError says that a server sent other bytes than it was asked for.
type CorruptError struct {
	Want Digest
	Got  Digest
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("the server sent bytes of digest %v for blob %v", e.Got, e.Want)
}

// StallError says that a server stopped answering.
type StallError struct {
	What string
	Err  error // what became of the question whether it is there
}

func (e *StallError) Unwrap() error { return e.Err }

func (e *StallError) Error() string { return fmt.Sprintf("%s: no answer: %v", e.What, e.Err) }

// IsFault reports whether err may go away when the call is made again: the
// server was not reached, did not answer in time, or was busy.
func IsFault(err error) bool {
	var stall *StallError
	if errors.As(err, &stall) {
		return true
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	switch code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted, codes.Internal, codes.Unknown, codes.ResourceExhausted:
		return true
	}
	return false
}

// IsBusy reports whether the server is there but had no room for the call.
func IsBusy(err error) bool { return code(err) == codes.ResourceExhausted }

// IsRefusal reports whether the server said that it does not do this at all,
// or not for this client.
func IsRefusal(err error) bool {
	switch code(err) {
	case codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented:
		return true
	}
	return false
}

// IsPrecondition reports whether the server said that something is not as it
// would have to be: a blob is not there, or no worker is like that.
func IsPrecondition(err error) bool {
	switch code(err) {
	case codes.FailedPrecondition, codes.InvalidArgument:
		return true
	}
	return false
}

// code returns the gRPC code in err's chain, OK if there is none.
func code(err error) codes.Code {
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus().Code()
	}
	return codes.OK
}

// message returns what the server said, without gRPC's own words around it.
func message(err error) string {
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return fmt.Sprintf("%s (%s)", s.GRPCStatus().Message(), s.GRPCStatus().Code())
	}
	return err.Error()
}
