// Package remote shares results with others over a server of the Remote
// Execution API: what is on record there need not be computed here, and what is
// computed here is put on record there.
//
// # Terms
//
// The semantic entry of an action is the result of a synthetic REAPI Action that
// no worker could run: its command is the key record, its input root is empty,
// its salt ours. So two clients agree on it whatever program, platform or
// execution made the result. Its output files are entry.json, which is the
// index entry, and one folder for each output whose bytes are kept, so that a
// server keeps them as long as the entry.
//
// # Invariants
//
// Bytes from the server are hashed before anybody sees them. That an entry is
// the right one for its key cannot be seen by looking: a server whose results
// are used is trusted for that (Use), or what it says is computed here all the
// same and compared (Verify), or its results are left alone (Off).
//
// No trouble with the server fails anything. A server that does not answer is
// left alone and asked in the background whether it is back; all waiting for it
// together takes about the client's patience. What goes wrong is said once.
//
// Entries are looked up with their trees; the leaves' bytes come when somebody
// reads them. What an entry promises was on the server a moment ago, no more: a
// blob that is gone by then is made again.
//
// Results are sent behind the run's back, blobs before the entry that names
// them. Flush waits for the rest.
package remote
