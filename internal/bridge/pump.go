package bridge

import (
	"io"
	"sync"
)

const (
	idleBuffer = 512      // bytes that a direction keeps while nothing moves
	busyBuffer = 16 << 10 // those it borrows while much does: a TLS record
)

var busyBuffers = sync.Pool{New: func() any { return new([busyBuffer]byte) }}

// pump writes to w what it reads from r until one of them fails. The error of reading is io.EOF at the end.
func pump(w io.Writer, r io.Reader) (readErr, writeErr error) {
	var own [idleBuffer]byte
	var lent *[busyBuffer]byte
	buffer := own[:]
	defer func() { giveBack(lent) }()
	for {
		n, err := r.Read(buffer)
		if n > 0 {
			if _, failed := w.Write(buffer[:n]); failed != nil {
				return nil, failed
			}
		}
		if err != nil {
			return err, nil
		}
		switch {
		case n < len(buffer): // probably all there was: idle connections shall be small
			giveBack(lent)
			lent, buffer = nil, own[:]
		case lent == nil:
			lent = busyBuffers.Get().(*[busyBuffer]byte)
			buffer = lent[:]
		}
	}
}

func giveBack(buffer *[busyBuffer]byte) {
	if buffer != nil {
		busyBuffers.Put(buffer)
	}
}
