package executor

// Threads returns how many threads compute, the default filled in.
func (e *Executor) Threads() int { return e.o.Threads }

// Memory returns the memory budget in bytes, the default filled in.
func (e *Executor) Memory() int64 { return e.o.Memory }
