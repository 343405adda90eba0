package numa

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"github.com/momentics/hioload-ws/api"
)

// Where the kernel shows memory nodes (Documentation/ABI/stable/sysfs-devices-node; absent in kernels without NUMA and in
// some containers) and processors (Documentation/admin-guide/cputopology.rst).
const (
	nodeFolder = "/sys/devices/system/node"
	cpuFolder  = "/sys/devices/system/cpu"
)

// Nodes returns the memory nodes that have processors or memory. A machine that shows none has node 0.
func Nodes() ([]int, error) {
	text, err := os.ReadFile(filepath.Join(nodeFolder, "online"))
	if errors.Is(err, fs.ErrNotExist) {
		return []int{0}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("numa: %w", err)
	}
	return ParseList(string(text))
}

// CPUs returns the processors of a memory node, in ascending order, whether the process may use them or not (Select).
// api.ErrNotFound when there is no such node; node 0 always exists.
func CPUs(node int) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(nodeFolder, "node"+strconv.Itoa(node), "cpulist"))
	if err == nil {
		return ParseList(string(text))
	}
	if node != 0 {
		return nil, fmt.Errorf("numa: node %d: %w", node, api.ErrNotFound)
	}
	text, err = os.ReadFile(filepath.Join(cpuFolder, "online"))
	if err == nil {
		return ParseList(string(text))
	}
	cpus := make([]int, runtime.NumCPU())
	for i := range cpus {
		cpus[i] = i
	}
	return cpus, nil
}

// siblings returns the processors that share a core with cpu.
func siblings(cpu int) []int {
	text, err := os.ReadFile(filepath.Join(cpuFolder, "cpu"+strconv.Itoa(cpu), "topology/thread_siblings_list"))
	if err != nil {
		return nil
	}
	list, _ := ParseList(string(text)) // nil if it is not one: cpu then has a core of its own
	return list
}

// atStart is what the process was given. Package variables are initialised on the main thread, which nothing in this
// process can have bound before; later a thread's own mask may be narrower, and nobody else's is known.
var atStart, errAtStart = Affinity(0)

// Allowed returns the processors that the process may use: those that it was started with (cgroup cpuset, taskset). The
// kernel answers as of that moment; what a cpuset has lost since is left out when threads are bound (SetAffinity).
func Allowed() (Mask, error) { return atStart, errAtStart }

// Affinity returns the processors that thread tid (0: the calling one) may run on.
func Affinity(tid int) (Mask, error) {
	var m Mask
	_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, uintptr(tid), unsafe.Sizeof(m),
		uintptr(unsafe.Pointer(&m)))
	if errno != 0 {
		return m, fmt.Errorf("numa: sched_getaffinity: %w", errno)
	}
	return m, nil
}

// SetAffinity restricts thread tid (0: the calling one) to the processors of m. The kernel leaves out those that the
// cpuset of the process does not allow; syscall.EINVAL when none is left, syscall.ESRCH when there is no such thread.
func SetAffinity(tid int, m *Mask) error {
	_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, uintptr(tid), unsafe.Sizeof(*m),
		uintptr(unsafe.Pointer(m)))
	switch errno {
	case 0:
		return nil
	case syscall.EINVAL:
		return fmt.Errorf("numa: sched_setaffinity to %s, of which this machine or the process's cpuset has none: %w",
			orNone(m), errno)
	default:
		return fmt.Errorf("numa: sched_setaffinity to %s: %w", orNone(m), errno)
	}
}

// Threads returns the ids of all threads of this process.
func Threads() ([]int, error) {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, fmt.Errorf("numa: %w", err)
	}
	var tids []int
	for _, entry := range entries {
		if tid, err := strconv.Atoi(entry.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids, nil
}

// ThreadID returns the id of the calling thread.
func ThreadID() int { return syscall.Gettid() }

// ThreadExists tells whether a thread of this process has that id.
func ThreadExists(tid int) bool {
	_, _, errno := syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(syscall.Getpid()), uintptr(tid), 0)
	return errno == 0
}

// Gone tells whether err says that a thread has ended.
func Gone(err error) bool { return errors.Is(err, syscall.ESRCH) }
