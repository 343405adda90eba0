// Package numa tells which processors belong to which memory node, and binds threads to processors.
package numa

import (
	"fmt"
	"strconv"
	"strings"
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

// NodeOf returns the memory node of a processor, or -1 when it is not known.
func NodeOf(cpu int) int {
	nodes, err := Nodes()
	if err != nil {
		return -1
	}
	for _, node := range nodes {
		cpus, err := CPUs(node)
		if err != nil {
			continue
		}
		for _, c := range cpus {
			if c == cpu {
				return node
			}
		}
	}
	return -1
}
