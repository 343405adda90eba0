package loop

import (
	"sync"
	"sync/atomic"

	"github.com/momentics/hioload-ws/csrc"
)

// table finds the Conn of a slot. Finding takes no lock; entering and removing do. It grows by chunks that never move.
type table struct {
	mu     sync.Mutex
	chunks []atomic.Pointer[chunk]

	// A slot may be given to a new Conn while the csrc.EvClosed of its last one still lies in the completion ring. The
	// old one waits here for it.
	displaced map[csrc.Handle]*Conn
}

const chunkSize = 1024

type chunk [chunkSize]atomic.Pointer[Conn]

func newTable(slots uint32) *table {
	return &table{
		chunks:    make([]atomic.Pointer[chunk], (slots+chunkSize-1)/chunkSize),
		displaced: make(map[csrc.Handle]*Conn),
	}
}

// enter makes c, whose handle is h, the Conn of its slot.
func (t *table) enter(h csrc.Handle, c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := &t.chunks[h.Index()/chunkSize]
	if at.Load() == nil {
		at.Store(new(chunk))
	}
	if old := at.Load()[h.Index()%chunkSize].Swap(c); old != nil {
		t.displaced[old.Handle()] = old
	}
}

// find returns the Conn of a handle, nil when there is none (any more).
func (t *table) find(h csrc.Handle) *Conn {
	chunk := t.chunks[h.Index()/chunkSize].Load()
	if chunk == nil {
		return nil
	}
	if c := chunk[h.Index()%chunkSize].Load(); c != nil && c.Handle() == h {
		return c
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.displaced[h]
}

// remove forgets the Conn of h.
func (t *table) remove(h csrc.Handle, c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.chunks[h.Index()/chunkSize].Load()[h.Index()%chunkSize].CompareAndSwap(c, nil) {
		delete(t.displaced, h)
	}
}

// each calls f with every Conn. Until it has returned none is removed, so each has its target. f must not wait.
func (t *table) each(f func(*Conn)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.displaced {
		f(c)
	}
	for i := range t.chunks {
		chunk := t.chunks[i].Load()
		if chunk == nil {
			continue
		}
		for j := range chunk {
			if c := chunk[j].Load(); c != nil {
				f(c)
			}
		}
	}
}

// all returns every Conn.
func (t *table) all() (conns []*Conn) {
	t.each(func(c *Conn) { conns = append(conns, c) })
	return conns
}

// Targets returns the targets of this moment's slots: of all that were attached and have not handled their csrc.EvClosed.
// Any goroutine.
func (l *Loop) Targets() (targets []Target) {
	l.table.each(func(c *Conn) { targets = append(targets, c.target) })
	return targets
}
