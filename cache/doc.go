// Package cache keeps the bytes that actions make and remembers which action
// made them, so that nothing is computed twice.
//
// # Terms
//
// A blob is bytes under their digest, the SHA-256 of exactly these bytes. An
// external blob is one whose bytes lie in a source file (path, offset,
// length) and are not copied. A tree is a small JSON manifest
// {"entries":[{"name","digest","size",…}…]} that names blobs, its leaves; it
// is a blob itself. An action is a unit of work under its key; its entry in
// the index says which trees it made, what it cost and which class each output
// has: durable (its blobs are kept), checkpoint (kept until somebody removes
// them) or transient (only the digests are remembered). A definition key maps
// to the last action key and only predicts. A run record lists the actions
// that one run used. A lease lists the digests that a living process relies on.
//
// # Layout
//
// One folder, shared by all pipelines of a user and by any number of
// processes:
//
//	blobs/ab/abcd…   bytes, read-only, named by digest
//	act/ab/abcd…     index entries, named by action key
//	def/ab/abcd…     definition key → action key
//	ext/ab/abcd…     where the bytes of an external blob lie
//	stat/ab/abcd…    digests of source files' ranges, by (device, inode)
//	memo/ab/abcd…    what an earlier run found on record, to skip looking again
//	taint/abcd…      actions that gave two different results
//	runs/            run records; *.open while the run is under way
//	pins/            what gc leaves alone until it is unpinned
//	leases/          one locked file a process, and the removal lock
//	locks/ab/abcd…   one locked file an action that is being computed
//	tmp/             files being written, named after their process's lease
//	trash/           blobs that gc took out, until its next cycle
//	quarantine/      bytes that did not match their digest
//	generation       changes with each removal, so that memos end
//	VERSION          the version of this layout
//
// # Invariants
//
// A file gets its final name only when it is whole: it is written in tmp/,
// its length is checked, it is synced, then renamed. The digest comes before
// the bytes, from whoever made them, or is taken while they are written. An
// index entry is written after the folders that hold its durable blobs' names
// have been synced, so that an entry never survives a power cut that its blobs
// did not. Small records (entries, run records, …) carry the SHA-256 of their
// own text; a record that does not match is as good as absent. Blobs are
// hashed on their first use in a process, the one that wrote them included,
// unless Options.Verify says otherwise. It is the file that is hashed: what went
// wrong with its bytes after their digest was taken, in memory, in a write or on
// the disk, is found alike. So damage costs a recomputation, never a wrong
// result.
//
// Nothing that a living process relies on is removed. A process adds a digest
// to its lease before it looks whether the blob exists, holding the removal
// lock shared; whoever removes holds it exclusively while reading the leases
// and removing. So either the remover sees the lease, or the process sees that
// the blob is gone. All methods that look for a blob or an entry do this by
// themselves.
//
// There is no global lock otherwise: writing a blob is idempotent, and two
// processes that want the same action meet at LockAction. The locks are
// flock(2) locks, which die with their process. On a network file system they
// cannot be relied on; Open says so.
//
// # What it does not know
//
// Tensors, kernels, pipelines, how keys are made or what metrics mean. Of a
// tree manifest it reads digests and sizes, of a run record its pipeline,
// time and roots.
//
// # Testing crash safety
//
// Every step that a crash could fall between passes a named point of package
// cache/fault; the environment variable COMPRESSC_FAULT arms them in any
// program that opens a store.
package cache
