package fetch

import (
	"syscall"

	"golang.org/x/sys/windows"
)

func isDiskFull(n syscall.Errno) bool {
	return n == windows.ERROR_DISK_FULL || n == windows.ERROR_HANDLE_DISK_FULL
}
