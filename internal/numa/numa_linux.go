package numa

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/momentics/hioload-ws/api"
)

// nodeFolder is where the kernel shows memory nodes (Documentation/ABI/stable/sysfs-devices-node). It is absent in
// kernels without NUMA and in some containers.
const nodeFolder = "/sys/devices/system/node"

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

// CPUs returns the processors of a memory node, in ascending order. api.ErrNotFound when there is no such node; node 0
// always exists.
func CPUs(node int) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(nodeFolder, "node"+strconv.Itoa(node), "cpulist"))
	if err == nil {
		return ParseList(string(text))
	}
	if node != 0 {
		return nil, fmt.Errorf("numa: node %d: %w", node, api.ErrNotFound)
	}
	cpus := make([]int, runtime.NumCPU())
	for i := range cpus {
		cpus[i] = i
	}
	return cpus, nil
}

// Mask is a set of processors, as sched_setaffinity(2) takes it: bit n of the whole is processor n.
type Mask [16]uint64 // CPU_SETSIZE, 1024 processors

// MaskOf returns the set of the given processors. A number outside the mask is an error.
func MaskOf(cpus []int) (Mask, error) {
	var m Mask
	for _, cpu := range cpus {
		if cpu < 0 || cpu >= len(m)*64 {
			return m, fmt.Errorf("numa: processor %d: %w", cpu, api.ErrInvalidArgument)
		}
		m[cpu/64] |= 1 << (cpu % 64)
	}
	return m, nil
}

// CPUs returns the processors in the set, in ascending order.
func (m *Mask) CPUs() []int {
	var list []int
	for cpu := 0; cpu < len(m)*64; cpu++ {
		if m[cpu/64]&(1<<(cpu%64)) != 0 {
			list = append(list, cpu)
		}
	}
	return list
}

// Add adds the processors of other.
func (m *Mask) Add(other *Mask) {
	for i, word := range other {
		m[i] |= word
	}
}

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
// cpuset of the process does not allow, and answers EINVAL when none is left.
func SetAffinity(tid int, m *Mask) error {
	_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, uintptr(tid), unsafe.Sizeof(*m),
		uintptr(unsafe.Pointer(m)))
	if errno != 0 {
		return fmt.Errorf("numa: sched_setaffinity to %v: %w", m.CPUs(), errno)
	}
	return nil
}

// Threads returns the ids of all threads of this process.
func Threads() ([]int, error) {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, fmt.Errorf("numa: %w", err)
	}
	var tids []int
	for _, entry := range entries {
		if tid, err := strconv.Atoi(strings.TrimSpace(entry.Name())); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids, nil
}

// ThreadID returns the id of the calling thread.
func ThreadID() int { return syscall.Gettid() }
