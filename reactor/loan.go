package reactor

import "bytes"

// loanSize is how many bytes a loop lends.
const loanSize = 64 << 10

// loan is memory that a loop lends to the write buffer of one connection at a time. Most answers leave at once, so no
// connection has to keep, or to allocate for each message, what holds a large one. One that could not send everything
// keeps the memory until it has, and the next to borrow gets other. It belongs to whoever drives the loop.
type loan struct {
	memory []byte
	out    bool // it has not come back
}

// lend gives b memory.
func (n *loan) lend(b *bytes.Buffer) {
	if n.memory == nil || n.out {
		n.memory = make([]byte, loanSize)
	}
	n.out = true
	*b = *bytes.NewBuffer(n.memory[:0])
}

// back takes the memory back from b, which is empty, and tells whether b had it.
func (n *loan) back(b *bytes.Buffer) bool {
	if !n.out {
		return false
	}
	b.Reset()
	if m := b.AvailableBuffer(); cap(m) == 0 || &m[:1][0] != &n.memory[0] {
		return false
	}
	n.out = false
	*b = bytes.Buffer{}
	return true
}
