//go:build !linux && !darwin

package cache

import "io/fs"

// Folders cannot be synced on Windows; NTFS journals names by itself.
const canSyncDirs = false

// statOf returns what identifies a file's state. Without a device and inode
// number the digests of source files are never remembered.
func statOf(info fs.FileInfo) fileStat {
	return fileStat{Size: info.Size(), Mtime: info.ModTime().UnixNano()}
}

// networkFS returns "": it is not known here.
func networkFS(string) string { return "" }

// freeBytes returns -1: it is not known here.
func freeBytes(string) int64 { return -1 }

// diskBytes returns -1: it is not known here.
func diskBytes(string) int64 { return -1 }
