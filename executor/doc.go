// Package executor brings outputs of an action graph about, doing as little as
// it can: what the store knows is not computed again.
//
// # Terms
//
// A run is demand driven: from its targets it walks back to the sources. An
// action is looked up once the digests of all its inputs are known; a hit gives
// the digests of its outputs and no bytes. A miss becomes a job: its inputs are
// materialised, its kernel runs, its outputs are published. An output is
// durable (its blobs are in the store), a checkpoint (likewise, until the node
// it belongs to is complete or a later checkpoint has taken its place) or
// transient (its bytes live while an action that will need them is pending, on
// the heap or spilled to a file). Bytes that are needed and are nowhere are
// made again by rewinding: the action that made them runs once more and must
// reproduce the digest it is on record with.
//
// # Invariants
//
// What an action gives depends neither on the number of threads, nor on the
// order in which the executor runs actions, nor on what was cached. A failed or
// cancelled action publishes nothing in the index; blobs it has already written
// are garbage that nobody names. An index entry is written after the blobs it
// promises. An action whose inputs have been computed begins at once, before
// those are on record; it is settled after them, and fails with them if the
// disk refuses them. So syncs are off the path of a chain of actions, and those
// of neighbours share the file system's commits. An action that was published is
// never computed again for its digests, by this process or by one that comes
// after a crash. Bytes that turn out to be missing or damaged while a kernel
// reads them are made again and the kernel starts anew.
//
// A leaf is hashed when it is put, which gives its name, and once more as it lies
// in the store, by the first who reads it there. One that was read on its way
// there has had a reader who did not look: it is hashed as soon as it has
// arrived, and what was made from it is not put on record before. So a kernel
// that writes to a leaf it has put makes a damaged blob or an error, and never a
// wrong entry.
//
// One goroutine, the coordinator of a pass, owns the state of nodes, outputs
// and jobs; kernels, lookups and publication run in goroutines of their own
// and report to it. Only the memory (memory.go), the set of blobs known to
// exist and the events are shared, each behind its own lock.
//
// # Memory
//
// The budget covers live transient bytes, what running actions are expected to
// take, and leaves of actions that have ended on their way to the store. Leaves
// leave a builder as soon as they are put: durable ones go to the store from
// there, so an output is never in memory as a whole unless it is transient or
// one leaf, as tables of embeddings are. A transient output is let go when the
// last kernel that reads it has ended, not when that one's results are durable:
// how much is live does not depend on the disk. Above the budget, the transient
// leaf that is needed latest is spilled to an unlinked file and mapped back,
// where it counts as page cache.
//
// # Comparing
//
// A rewind must give the recorded digest; if it does not, the store marks the
// action and nobody believes it from then on. So that this is noticed of actions
// too whose bytes nobody wants, a sample of what a run has found on record is run
// again at its end and compared (sample.go); nothing of that is stored.
//
// # Elsewhere
//
// With a remote (package cache/remote), a lookup that misses asks it; its
// entries come without bytes, which are fetched when a job or a reader finds
// them nowhere here, before anything is made again. With a dispatcher (package
// dispatch), a job whose inputs are here or there is sent instead of queued,
// with those nodes that nothing but it keeps from beginning, if there is just
// one each time: so nobody waits longer. Bytes are made again here. Whatever
// goes wrong elsewhere ends in doing the work here; only a kernel's own failure
// is final.
//
// # What it does not know
//
// Pipelines, models, the language, and which blocks there are: nodes are names.
package executor
