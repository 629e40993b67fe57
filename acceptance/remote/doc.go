// Package remote runs the quickstart against a real remote execution server,
// BuildGrid, with this program's own workers. Its tests set the server up by
// themselves; they need Python 3.11 with pip's registry, and PostgreSQL, and
// skip unless COMPRESSC_BUILDGRID is set: to a folder in which BuildGrid is, or
// is to be, installed.
//
//	COMPRESSC_BUILDGRID=/var/tmp/buildgrid go test -v ./acceptance/remote
//
// What a server does wrong is tested elsewhere, with one that does it on demand
// (internal/reapi/reapitest).
package remote
