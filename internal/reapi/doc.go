// Package reapi is a client of the Remote Execution API, version 2
// (github.com/bazelbuild/remote-apis): capabilities, content-addressable
// storage, the action cache and execution.
//
// # Terms
//
// A server keeps blobs under their digests (CAS), results of actions under the
// digests of the actions (AC), and may execute actions. A digest is a SHA-256
// with a size; no other function is spoken, since no other is common to
// servers. A fault is an error of the way to the server or of the server's
// state, which may go away by itself; see IsFault.
//
// # Invariants
//
// Bytes that a server sends are hashed before anybody sees them; others than
// asked for are a *CorruptError. A call that moves bytes may take as long as it
// makes progress: when it stalls, the server is asked for its capabilities over
// another connection, and only if that is not answered either within the
// patience of the options the call ends with a fault. Calls without bytes end
// after the patience. So a server that is gone, or lets packets vanish, is
// noticed within it, and a slow line is not taken for one.
//
// A stream that breaks is taken up where it broke.
//
// # What it does not know
//
// Actions of this program, trees, keys and the local store.
package reapi
