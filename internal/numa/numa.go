// Package numa tells which processors belong to which memory node and which of them this process may use, and binds
// threads to processors.
package numa

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/momentics/hioload-ws/api"
)

// ParseList reads a list of numbers as the kernel writes them: "0-3,8,10-11". Empty text is an empty list.
func ParseList(text string) ([]int, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	var list []int
	for _, part := range strings.Split(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, err := strconv.ParseUint(first, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("numa: list %q: %w", text, err)
		}
		to := from
		if isRange {
			if to, err = strconv.ParseUint(last, 10, 16); err != nil {
				return nil, fmt.Errorf("numa: list %q: %w", text, err)
			}
		}
		for n := from; n <= to; n++ {
			list = append(list, int(n))
		}
	}
	return list, nil
}

// FormatList writes ascending numbers as the kernel does, the reverse of ParseList.
func FormatList(list []int) string {
	var text []byte
	for i := 0; i < len(list); {
		last := i
		for last+1 < len(list) && list[last+1] == list[last]+1 {
			last++
		}
		if len(text) > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(list[i]), 10)
		if last > i {
			text = append(text, '-')
			text = strconv.AppendInt(text, int64(list[last]), 10)
		}
		i = last + 1
	}
	return string(text)
}

// NodeOf returns the memory node of a processor, or -1 when it is not known.
func NodeOf(cpu int) int {
	nodes, err := Nodes()
	if err != nil {
		return -1
	}
	for _, node := range nodes {
		if cpus, err := CPUs(node); err == nil && slices.Contains(cpus, cpu) {
			return node
		}
	}
	return -1
}

// Select returns the processors that "cpu, node" means: cpu alone, or with -1 those of the node, or with two of -1 all;
// of these, those that the process may use (Allowed). api.ErrNotFound when there is no such node;
// api.ErrInvalidArgument, with a text that names what is asked for and what is allowed, when nothing is left, or cpu
// belongs to another node.
func Select(cpu, node int) (Mask, error) {
	if cpu < -1 || node < -1 {
		return Mask{}, fmt.Errorf("numa: processor %d, node %d: %w", cpu, node, api.ErrInvalidArgument)
	}
	allowed, err := Allowed()
	if err != nil {
		return Mask{}, err
	}
	return choose(cpu, node, &allowed, CPUs)
}

// choose is Select on a machine whose nodes have the processors that on tells.
func choose(cpu, node int, allowed *Mask, on func(node int) ([]int, error)) (Mask, error) {
	chosen := *allowed
	if node >= 0 {
		cpus, err := on(node)
		if err != nil {
			return Mask{}, err
		}
		onNode, err := MaskOf(cpus)
		if err != nil {
			return Mask{}, err
		}
		if cpu >= 0 && !onNode.Has(cpu) {
			return Mask{}, fmt.Errorf("numa: processor %d is not on node %d, which has %s: %w", cpu, node,
				orNone(&onNode), api.ErrInvalidArgument)
		}
		chosen.Keep(&onNode)
		if chosen.IsEmpty() {
			return Mask{}, fmt.Errorf("numa: of node %d's processors (%s) none is among those that this process may use, %s: %w",
				node, orNone(&onNode), allowed, api.ErrInvalidArgument)
		}
	}
	if cpu < 0 {
		return chosen, nil
	}
	if !chosen.Has(cpu) {
		return Mask{}, fmt.Errorf("numa: processor %d is not among those that this process may use, %s: %w", cpu,
			allowed, api.ErrInvalidArgument)
	}
	return MaskOf([]int{cpu})
}

func orNone(m *Mask) string {
	if m.IsEmpty() {
		return "none"
	}
	return m.String()
}

// Spread returns the processors of a mask in the order in which threads should take them: one of each core first, then
// the cores' second hardware threads, and so on.
func Spread(m *Mask) []int { return spread(m.CPUs(), siblings) }

// spread is Spread on a machine whose cores siblings tells: the processors that share one with cpu, itself included.
func spread(cpus []int, siblings func(cpu int) []int) []int {
	rank := make(map[int]int, len(cpus)) // how many of its core come before a processor
	for _, cpu := range cpus {
		for _, sibling := range siblings(cpu) {
			if sibling < cpu && slices.Contains(cpus, sibling) {
				rank[cpu]++
			}
		}
	}
	ordered := slices.Clone(cpus)
	slices.SortStableFunc(ordered, func(a, b int) int { return rank[a] - rank[b] })
	return ordered
}
