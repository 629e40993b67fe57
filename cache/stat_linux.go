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
		st.Dev, st.Ino, st.Ctime = uint64(sys.Dev), sys.Ino, sys.Ctim.Nano()
	}
	return st
}

// networkFS returns the name of the network file system that holds dir, or "".
func networkFS(dir string) string {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return ""
	}
	// Magic numbers of statfs(2).
	switch uint32(st.Type) {
	case 0x6969:
		return "NFS"
	case 0x517b, 0xfe534d42, 0xff534d42:
		return "SMB"
	case 0x5346414f:
		return "AFS"
	case 0x01021997:
		return "9P"
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
	return int64(st.Bavail) * st.Bsize
}

// diskBytes returns the size of dir's file system, -1 if unknown.
func diskBytes(dir string) int64 {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return -1
	}
	return int64(st.Blocks) * st.Bsize
}
