package reactor

// lowQueue holds the sockets of low priority that have something to do, first come, first served. It belongs to whoever
// drives the loop.
//
// A socket that has to wait there longer than until the end of its turn is taken out of what the core waits for: the
// hundreds that may be waiting cost each turn nothing. One that is served in the same turn costs no call at all.
type lowQueue struct {
	budget      int // sockets served per turn
	first, last *Socket
	heard       *Socket // the first that the core still reports
}

// push has events of s wait. s is not in the queue.
func (q *lowQueue) push(s *Socket, events uint8) {
	s.late = events
	if q.first == nil {
		q.first = s
	} else {
		q.last.next = s
	}
	q.last = s
	if q.heard == nil {
		q.heard = s
	}
}

// pop returns the next socket and its events; nil when none waits.
func (q *lowQueue) pop() (*Socket, uint8) {
	s := q.first
	if s == nil {
		return nil, 0
	}
	if q.heard == s {
		q.heard = s.next
	}
	q.first, s.next = s.next, nil
	if q.first == nil {
		q.last = nil
	}
	events := s.late
	s.late = 0
	return s, events
}

// serve gives the first in the queue their share of the turn, and mutes those that have to wait.
func (q *lowQueue) serve() {
	for served := 0; served < q.budget; {
		s, events := q.pop()
		if s == nil {
			return
		}
		if s.state.Load() != stateIdle {
			continue // over and done with
		}
		served++
		s.deliver(events, true)
		s.ask()
	}
	for ; q.heard != nil; q.heard = q.heard.next {
		q.heard.ask()
	}
}

func (q *lowQueue) empty() bool { return q.first == nil }
