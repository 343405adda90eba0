package protocol

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

// memory is how many bytes compression takes for one connection.
func (p *plan) memory() int {
	n := inflateMemory(p.inBits)
	if !p.outFresh {
		n += deflateMemory(p.outBits, p.memLevel)
	}
	return n
}

// leastMemory is what one connection takes at least.
func leastMemory() int { return inflateMemory(ownWindowBits) }

// deflateMemory and inflateMemory are what zlib takes, as its manual (zconf.h) has it, with the small objects.
func deflateMemory(bits, memLevel int) int { return 1<<(bits+2) + 1<<(memLevel+9) + 6<<10 }
func inflateMemory(bits int) int           { return 1<<bits + 10<<10 }
