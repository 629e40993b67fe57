// Package dispatch has actions done by the workers of a Remote Execution server.
//
// # Terms
//
// A crew is one action or several that are done together, each reading what the
// ones before it made. It becomes one REAPI Action: its command is this program
// itself, which is among the inputs, with the argument "action"; its input root
// holds an order (order.json), the program, and a folder for each tree that is
// read. On the worker, Perform carries the order out and leaves report.json and
// a folder for each output. Leaves that an output has from an input are named in
// the report and not sent back.
//
// # Invariants
//
// What comes back is checked: every leaf that a report names is on the server,
// under its digest. The client computes the members' keys from the digests in
// the report, so that a worker cannot put a result under another key. A
// non-zero exit is never stored as a result, neither here nor by the server.
//
// A kernel's own failure is the last word about its action, as it would be
// here. Every other trouble, of the way, the server or the worker, is worth
// another attempt, and then doing the action here.
package dispatch
