package tcpio

import "sync/atomic"

// gate counts who is using a descriptor, so that it is closed when it has been shut and the last one has left, and no
// system call can meet a stranger under the same number. It begins with one user: the loop. The zero value is not
// ready; see open.
type gate struct {
	state atomic.Uint64 // number of users, and the two bits
}

const (
	gateShut     = 1 << 63 // nobody enters any more
	gateDraining = 1 << 62 // Shutdown has set where the input ends
	gateUsers    = gateDraining - 1
)

func (g *gate) open() { g.state.Store(1) }

// enter makes the caller a user until it calls leave. false: the gate is shut.
func (g *gate) enter() bool {
	for {
		state := g.state.Load()
		if state&gateShut != 0 {
			return false
		}
		if g.state.CompareAndSwap(state, state+1) {
			return true
		}
	}
}

// leave tells whether the caller was the last user of a gate that is shut.
func (g *gate) leave() (last bool) {
	state := g.state.Add(^uint64(0))
	return state&gateShut != 0 && state&gateUsers == 0
}

// shut tells whether the caller is the one who has shut it.
func (g *gate) shut() bool { return g.set(gateShut) }

// drain marks it.
func (g *gate) drain() { g.set(gateDraining) }

func (g *gate) isShut() bool { return g.state.Load()&gateShut != 0 }

func (g *gate) isDraining() bool { return g.state.Load()&gateDraining != 0 }

func (g *gate) set(bit uint64) bool {
	for {
		state := g.state.Load()
		if state&bit != 0 {
			return false
		}
		if g.state.CompareAndSwap(state, state|bit) {
			return true
		}
	}
}
