package history

import (
	"os"
	"syscall"
	"unsafe"
)

const clockMonotonic = 1 // CLOCK_MONOTONIC of linux/time.h

// Now returns the time for records. On Linux it is the machine's CLOCK_MONOTONIC, so that
// the records of several processes can be compared. On other systems it counts from the
// start of the process, and the records of each process stand alone. Now returns real time
// even in a synctest bubble.
func Now() int64 {
	var ts syscall.Timespec
	// This is a raw system call each time, not time.Now and an offset that was taken once:
	// a process that was preempted while it took the offset would be wrong from then on.
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&ts)), 0)
	if errno != 0 {
		panic(os.NewSyscallError("history: clock_gettime", errno))
	}
	return ts.Nano()
}
