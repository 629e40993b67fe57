//go:build unix

package worker

import (
	"os/exec"
	"syscall"
)

// ownGroup has the command end with everything that it has started.
func ownGroup(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
}
