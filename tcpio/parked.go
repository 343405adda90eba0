package tcpio

import "sync"

// parked are the connections that somebody waits on. Close and Shutdown turn to them directly: the loop cannot, when it
// is its callback that waits.
type parked struct {
	mu    sync.Mutex
	conns map[*Conn]int // how many wait
	stop  func(*Conn)   // what ends a wait; nil: nothing
	last  bool          // ... for good: nothing replaces it
}

func (p *parked) add(c *Conn) {
	p.mu.Lock()
	if p.conns == nil {
		p.conns = make(map[*Conn]int)
	}
	p.conns[c]++
	stop := p.stop
	p.mu.Unlock()
	if stop != nil {
		stop(c)
	}
}

func (p *parked) remove(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[c]--; p.conns[c] == 0 {
		delete(p.conns, c)
	}
}

// end has stop called for all of them, now and later, unless the last word was said before.
func (p *parked) end(stop func(*Conn), last bool) {
	p.mu.Lock()
	if p.last {
		p.mu.Unlock()
		return
	}
	p.stop, p.last = stop, last
	waiting := make([]*Conn, 0, len(p.conns))
	for c := range p.conns {
		waiting = append(waiting, c)
	}
	p.mu.Unlock()
	for _, c := range waiting {
		stop(c)
	}
}
