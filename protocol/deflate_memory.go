package protocol

import "github.com/momentics/hioload-ws/csrc"

// plan is how the compression of one connection is to be made to fit into memory.
type plan struct {
	outBits  int  // window of what we send; only ever lowered
	outFresh bool // no context is taken over in what we send
	memLevel int  // of our compressor
	inBits   int  // window of what we receive
	inFixed  bool // the peer cannot limit its window
}

const maxMemLevel = 8 // zlib's default, and where more no longer helps

// fit lowers what p asks for until it takes at most limit bytes, 0: any number, and tells whether it does.
func (p *plan) fit(limit int) bool {
	p.memLevel = maxMemLevel
	if limit == 0 {
		return true
	}
	wished := *p
	for p.memory() > limit {
		if p.shrink() {
			continue
		}
		if p.outFresh {
			return false
		}
		// Fresh, our compressor is one that the loop's connections share, and may be as large as was wished for.
		*p = wished
		p.outFresh = true
	}
	return true
}

// shrink halves the largest part that can still be halved.
func (p *plan) shrink() bool {
	var largest *int
	size := 0
	for _, part := range []struct {
		at    *int
		least int
		bytes int
		fixed bool
	}{
		{&p.outBits, ownWindowBits, 1 << (p.outBits + 2), p.outFresh},
		{&p.memLevel, 1, 1 << (p.memLevel + 9), p.outFresh},
		{&p.inBits, ownWindowBits, 1 << p.inBits, p.inFixed},
	} {
		if !part.fixed && *part.at > part.least && part.bytes > size {
			largest, size = part.at, part.bytes
		}
	}
	if largest == nil {
		return false
	}
	*largest--
	return true
}

// memory is how many bytes compression takes for one connection, while a message is received at most. Without
// takeover, our compressor belongs to nobody for longer than a call.
func (p *plan) memory() int {
	config := csrc.DeflateConfig{
		MemLevel: int8(p.memLevel), OutBits: uint8(p.outBits), InBits: uint8(p.inBits),
		OutTakeover: !p.outFresh, InTakeover: true,
	}
	return int(config.Cost())
}

// leastMemory is what one connection takes at least.
func leastMemory() int {
	least := plan{outFresh: true, inBits: ownWindowBits}
	return least.memory()
}
