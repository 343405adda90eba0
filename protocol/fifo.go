package protocol

import (
	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/loop"
)

// item is something that happened to a connection and waits to be dealt with.
type item struct {
	kind   itemKind
	buffer *loop.Buffer // itemMessage
	block  *csrc.Block  // itemMessage: what its bytes lie in, with a reference that outlives the handler; or nil
	size   int          // itemMessage: its bytes
	more   bool         // itemMessage: it is a piece of a message, not the last
	opcode byte         // itemMessage
}

type itemKind uint8

const (
	itemOpen    itemKind = iota // the handshake is done
	itemMessage                 // a message has come
	itemDrain                   // there is room again for what is sent
	itemEnd                     // the peer sends no more
	itemQuiet                   // all that came before a shutdown has been received
	itemClosed                  // the connection is over
)

// fifo is a queue of items that gives its memory back when it is empty and was large.
type fifo struct {
	items []item
	head  int // items[:head] has been taken
	bytes int // sum of the sizes
}

// fifoKeep is the capacity that an empty fifo keeps for its next items.
const fifoKeep = 64

func (q *fifo) len() int { return len(q.items) - q.head }

func (q *fifo) push(it item) {
	q.bytes += it.size
	if len(q.items) == cap(q.items) && q.head > len(q.items)/2 { // room enough, but at the wrong end
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, it)
}

// pop takes the oldest item; there must be one.
func (q *fifo) pop() item {
	it := q.items[q.head]
	q.bytes -= it.size
	q.items[q.head] = item{} // keep nothing alive that has left
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
		if cap(q.items) > fifoKeep {
			q.items = nil
		}
	}
	return it
}
