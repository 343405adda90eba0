package reactor

import "sync"

// Token names a socket of a Loop, for ever: no other socket of the loop ever has the same, whatever becomes of its
// descriptor's number. 0 names none.
type Token uint64

// registry knows the sockets of a loop by their names and their descriptors. Events do not pass here: they find their
// socket by its slot.
type registry struct {
	mu     sync.Mutex
	last   Token
	byName map[Token]*Socket
	byFD   map[int]*Socket
}

func (r *registry) init() {
	r.byName = make(map[Token]*Socket)
	r.byFD = make(map[int]*Socket)
}

// enter gives s its name. ErrRegistered when its descriptor belongs to another socket of the loop.
func (r *registry) enter(s *Socket) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.fd >= 0 {
		if r.byFD[s.fd] != nil {
			return ErrRegistered
		}
		r.byFD[s.fd] = s
	}
	r.last++
	s.token = r.last
	r.byName[s.token] = s
	return nil
}

// change gives s, which has none, a descriptor; or takes it away, if fd is negative, before it is closed.
func (r *registry) change(s *Socket, fd int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fd >= 0 {
		r.byFD[fd] = s
	} else if r.byFD[s.fd] == s {
		delete(r.byFD, s.fd)
	}
	s.fd = fd
}

// leave forgets s, before its descriptor is closed or given away: then the number may come back at once.
func (r *registry) leave(s *Socket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byName, s.token)
	if r.byFD[s.fd] == s {
		delete(r.byFD, s.fd)
	}
}

// named returns the socket of that name, nil when there is none.
func (r *registry) named(t Token) *Socket {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byName[t]
}

func (r *registry) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byName)
}
