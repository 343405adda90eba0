package loop

import (
	"errors"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/momentics/hioload-ws/csrc"
)

// This file is the owner's end of the submission ring and of the staging area, and the way in for everybody else.

const (
	// copyMax is the payload size in bytes up to which copying is cheaper than counting references.
	copyMax = 2048

	// stageShare is the part of the staging area, 1/stageShare, up to which a payload is worth a flush when the area is
	// full. A larger one gets a block of its own.
	stageShare = 8
)

// prepare makes room for one operation, behind all letters posted until now: that is what puts the owner's operations
// and everybody else's into one order.
func (l *Loop) prepare() error {
	const need = 2 // letters and the operation
	if l.tail-atomic.LoadUint32(&l.shared.SQ.Head) > uint32(len(l.ops)-need) {
		if err := l.enter(0, csrc.EnterPerform); err != nil {
			return err
		}
	}
	// The load sees every letter whose post has returned before this operation was asked for; the exchange takes the
	// letters over from those who posted them.
	if atomic.LoadPointer(&l.shared.Mailbox.Letters) != nil {
		letters := atomic.SwapPointer(&l.shared.Mailbox.Letters, nil)
		l.append(csrc.Op{Code: csrc.OpLetters, Data: letters})
	}
	return nil
}

// perform has everything done that was queued or posted until now.
func (l *Loop) perform() error {
	if err := l.prepare(); err != nil || l.tail == atomic.LoadUint32(&l.shared.SQ.Head) && !l.unsent {
		return err
	}
	return l.flush()
}

// next is the entry of the ring that prepare has made room for. What is put there counts once tail has passed it.
func (l *Loop) next() *csrc.Op { return &l.ops[int(l.tail)&(len(l.ops)-1)] }

// last is the entry that was queued last.
func (l *Loop) last() *csrc.Op { return &l.ops[int(l.tail-1)&(len(l.ops)-1)] }

// append adds an operation, for which there is room.
func (l *Loop) append(op csrc.Op) {
	*l.next() = op
	l.tail++
}

// flush has the operations performed that are queued so far, and their output sent. Events and their bytes stay as they
// are.
func (l *Loop) flush() error { return l.enter(0, csrc.EnterFlush) }

// stage copies p to the staging area, `headroom` bytes from its end, and returns where it lies. nil: the area is full.
func (l *Loop) stage(p []byte, headroom int) unsafe.Pointer {
	block := l.shared.Stage
	if block == nil || uint64(headroom+len(p)) > block.Size()-l.shared.StageUsed {
		return nil
	}
	at := unsafe.Add(block.Data(), l.shared.StageUsed+uint64(headroom))
	copy(unsafe.Slice((*byte)(at), len(p)), p)
	l.shared.StageUsed += uint64(headroom + len(p))
	return at
}

// place puts p, Go memory or not, where an operation that is about to be queued may refer to it, and fills in the
// operation's Data, Len, Block and Flags: without a copy when p lies in the block of the event being handled, else in
// the staging area, else in a block of its own. headroom bytes before it are kept free for a header.
func (l *Loop) place(op *csrc.Op, p []byte, headroom int) error {
	op.Len = uint64(len(p))
	if len(p) > copyMax {
		if block := l.delivering(p); block != nil {
			op.Data, op.Block, op.Flags = unsafe.Pointer(unsafe.SliceData(p)), block, csrc.Keep
			return nil
		}
	}
	at := l.stage(p, headroom)
	if at == nil && uint64(headroom+len(p)) <= l.stageMax {
		if err := l.flush(); err != nil {
			return err
		}
		at = l.stage(p, headroom)
	}
	if at == nil {
		return l.give(op, p)
	}
	op.Data = at
	if headroom > 0 {
		op.Flags = csrc.Headroom
	}
	return nil
}

// delivering returns the block of the event being handled if p lies in it.
func (l *Loop) delivering(p []byte) *csrc.Block {
	if l.current == nil || l.current.Block == nil {
		return nil
	}
	block := l.current.Block
	offset := uintptr(unsafe.Pointer(unsafe.SliceData(p))) - uintptr(block.Data()) // wraps when p lies before it
	if uint64(offset) > block.Size() || uint64(len(p)) > block.Size()-uint64(offset) {
		return nil
	}
	return block
}

// give copies p to a block of its own that the operation passes on to the core.
func (l *Loop) give(op *csrc.Op, p []byte) error {
	block := l.pool.slab.Get(len(p), -1)
	if block == nil {
		l.pool.relieve()
		return ErrNoMemory
	}
	copy(block.Bytes(), p)
	op.Data, op.Block, op.Flags = block.Data(), block, csrc.Give
	return nil
}

// submit queues an operation without bytes, or posts it.
func (l *Loop) submit(op csrc.Op) error {
	if !l.OnLoop() {
		return l.post(op, nil)
	}
	if l.closing.Load() {
		return ErrClosed
	}
	if err := l.prepare(); err != nil {
		return err
	}
	l.append(op)
	return nil
}

// submitBytes is submit for an operation that carries p.
func (l *Loop) submitBytes(op csrc.Op, p []byte, headroom int) error {
	if !l.OnLoop() {
		return l.post(op, p)
	}
	if l.closing.Load() {
		return ErrClosed
	}
	if err := l.prepare(); err != nil {
		return err
	}
	if err := l.place(&op, p, headroom); err != nil {
		return err
	}
	l.append(op)
	return nil
}

// post sends an operation to the loop from another goroutine.
func (l *Loop) post(op csrc.Op, p []byte) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closing.Load() {
		return ErrClosed
	}
	return l.mail(op, p)
}

// mail is post for a caller who has mu read-locked and has seen that the loop is not closing.
func (l *Loop) mail(op csrc.Op, p []byte) error {
	err := l.core.Post(&op, p)
	if errors.Is(err, syscall.ENOMEM) {
		l.pool.relieve()
		return ErrNoMemory
	}
	return err
}
