package cache

import (
	"io/fs"
	"syscall"
)

const canSyncDirs = true

// statOf returns what identifies a file's state.
func statOf(info fs.FileInfo) fileStat {
	st := fileStat{Size: info.Size(), Mtime: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		st.Dev, st.Ino, st.Ctime = uint64(sys.Dev), sys.Ino, sys.Ctimespec.Nano()
	}
	return st
}

// networkFS returns the name of the network file system that holds dir, or "".
func networkFS(dir string) string {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return ""
	}
	name := make([]byte, 0, len(st.Fstypename))
	for _, c := range st.Fstypename {
		if c == 0 {
			break
		}
		name = append(name, byte(c))
	}
	switch string(name) {
	case "nfs", "smbfs", "afpfs", "webdav":
		return string(name)
	}
	return ""
}

// freeBytes returns how many bytes an unprivileged user can still write on
// dir's file system, -1 if unknown.
func freeBytes(dir string) int64 {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return -1
	}
	return int64(st.Bavail) * int64(st.Bsize)
}

// diskBytes returns the size of dir's file system, -1 if unknown.
func diskBytes(dir string) int64 {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return -1
	}
	return int64(st.Blocks) * int64(st.Bsize)
}
