package numa

import (
	"fmt"
	"math/bits"

	"github.com/momentics/hioload-ws/api"
)

// Mask is a set of processors, as sched_setaffinity(2) takes it: bit n of the whole is processor n. Masks are equal (==)
// when their processors are.
type Mask [maxCPUs / 64]uint64

// maxCPUs is the most processors that a Linux kernel can be built for (CONFIG_NR_CPUS): one that has more than the mask
// has bits would refuse it.
const maxCPUs = 8192

// MaskOf returns the set of the given processors. A number that no mask holds is an api.ErrInvalidArgument.
func MaskOf(cpus []int) (Mask, error) {
	var m Mask
	for _, cpu := range cpus {
		if cpu < 0 || cpu >= maxCPUs {
			return m, fmt.Errorf("numa: processor %d: %w", cpu, api.ErrInvalidArgument)
		}
		m[cpu/64] |= 1 << (cpu % 64)
	}
	return m, nil
}

// CPUs returns the processors in the set, in ascending order.
func (m *Mask) CPUs() []int {
	var list []int
	for i, word := range m {
		for ; word != 0; word &= word - 1 {
			list = append(list, i*64+bits.TrailingZeros64(word))
		}
	}
	return list
}

// Has tells whether a processor is in the set.
func (m *Mask) Has(cpu int) bool {
	return cpu >= 0 && cpu < maxCPUs && m[cpu/64]&(1<<(cpu%64)) != 0
}

// IsEmpty tells whether no processor is in the set.
func (m *Mask) IsEmpty() bool { return *m == Mask{} }

// Add adds the processors of other.
func (m *Mask) Add(other *Mask) {
	for i, word := range other {
		m[i] |= word
	}
}

// Keep takes out the processors that are not in other.
func (m *Mask) Keep(other *Mask) {
	for i, word := range other {
		m[i] &= word
	}
}

// String lists the processors as the kernel does: "0-3,8".
func (m *Mask) String() string { return FormatList(m.CPUs()) }
