// Package worker executes actions of the Remote Execution API: plain commands
// in a folder of their own, with their inputs laid out and their outputs
// collected. It also takes leases from a server that hands actions out over the
// Remote Workers API, as BuildGrid does.
//
// # Invariants
//
// A command sees its inputs read-only and nothing of another command's. What it
// leaves behind goes with its folder. A command ends with its lease: when the
// server takes the lease back, or no longer answers, its whole process group is
// killed. Outputs are uploaded before the result that names them is reported.
package worker
