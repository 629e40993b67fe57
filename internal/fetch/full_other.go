//go:build !windows

package fetch

import "syscall"

func isDiskFull(n syscall.Errno) bool { return n == syscall.EDQUOT }
