package executor

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// statm is the kernel's page counts of this process, open for good: it is read
// many times a second.
var statm = sync.OnceValue(func() *os.File {
	f, err := os.Open("/proc/self/statm")
	if err != nil {
		return nil
	}
	return f
})

// anonBytes returns the process's anonymous resident memory, RssAnon. Mapped
// files, which the system can drop, are not in it.
func anonBytes() int64 {
	// "size resident shared …" in pages; what is shared are pages of files.
	var buf [128]byte
	n, _ := statm().ReadAt(buf[:], 0) // less than the buffer: io.EOF
	f := bytes.Fields(buf[:n])
	if len(f) < 3 {
		return runtimeBytes()
	}
	resident, err := strconv.ParseInt(string(f[1]), 10, 64)
	shared, err2 := strconv.ParseInt(string(f[2]), 10, 64)
	if err != nil || err2 != nil {
		return runtimeBytes()
	}
	return (resident - shared) * int64(os.Getpagesize())
}

// machineMemory returns the memory this process may have: the machine's, or
// less where a control group says so.
func machineMemory() int64 {
	var info unix.Sysinfo_t
	total := int64(fallbackMemory)
	if unix.Sysinfo(&info) == nil {
		total = int64(info.Totalram) * int64(info.Unit)
	}
	for _, file := range cgroupLimits() {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// "max" does not parse: no limit.
		if n, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64); err == nil && n > 0 && n < total {
			total = n
		}
	}
	return total
}

// cgroupLimits lists the files that may limit this process's memory, in
// version 2 those of all groups from its own up to the root.
func cgroupLimits() []string {
	files := []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return files
	}
	for line := range bytes.SplitSeq(data, []byte{'\n'}) {
		parts := bytes.SplitN(line, []byte{':'}, 3)
		if len(parts) != 3 {
			continue
		}
		for group := path.Clean("/" + string(parts[2])); group != "/"; group = path.Dir(group) {
			switch string(parts[1]) {
			case "":
				files = append(files, path.Join("/sys/fs/cgroup", group, "memory.max"))
			case "memory":
				files = append(files, path.Join("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"))
			}
		}
	}
	return files
}
