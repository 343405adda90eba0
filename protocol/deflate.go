package protocol

import (
	"fmt"
	"math"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/csrc"
)

// deflateName is the registered name of the extension (RFC 7692 section 8.1).
const deflateName = "permessage-deflate"

// Compression asks for permessage-deflate (RFC 7692): messages are compressed where both sides agree on it. The zero
// value is useful. The server's direction is what the server sends, the client's what the client sends.
type Compression struct {
	// Level is from 1, the fastest, to 9, the smallest; 0: 6.
	Level int

	// Threshold is from how many bytes on a message that is sent is compressed; shorter ones go as they are, for which
	// deflate does little. 0: 128 where the context is taken over, else 512.
	Threshold int

	// ServerBits and ClientBits are the base-2 logarithm of the size of each direction's window, from 9 to 15; 0: 15. A
	// client may not know how to limit its own (RFC 7692 section 7.1.2.2); ClientBits of a server is then without
	// effect.
	ServerBits, ClientBits int

	// ServerNoContextTakeover and ClientNoContextTakeover have each message of a direction compressed for itself:
	// larger, but between messages neither side keeps a window for that direction.
	ServerNoContextTakeover, ClientNoContextTakeover bool

	// MaxMemory is how many bytes compression may take for one connection, that of a compressor only where its
	// context is taken over: without, the connections of a loop share them. To stay below it, windows and tables
	// become smaller, then context takeover of what we send is given up. If the peer does not go along, a server
	// leaves the connection uncompressed and a client refuses it. 0: no limit.
	MaxMemory int
}

// Deflate is what both sides have agreed on, as one of them sees it: out is what it sends, in what it receives.
type Deflate struct {
	Level                   int // 1 to 9
	MemLevel                int // 1 to 8: the size of zlib's hash table and literal buffer
	Threshold               int // bytes
	OutBits, InBits         int // windows, 9 to 15
	OutTakeover, InTakeover bool
}

// config is d for the C core.
func (d *Deflate) config() *csrc.DeflateConfig {
	return &csrc.DeflateConfig{
		Level: int8(d.Level), MemLevel: int8(d.MemLevel), OutBits: uint8(d.OutBits), InBits: uint8(d.InBits),
		OutTakeover: d.OutTakeover, InTakeover: d.InTakeover, Threshold: uint32(min(uint64(d.Threshold), math.MaxUint32)),
	}
}

const (
	minWindowBits = 8 // RFC 7692 sections 7.1.2.1 and 7.1.2.2
	maxWindowBits = 15
	// ownWindowBits is the smallest window that zlib can compress for: with 8 bits it refuses (raw), or takes 9.
	ownWindowBits = 9

	defaultLevel      = 6
	takeoverMinimum   = 128 // default of Threshold
	standaloneMinimum = 512
)

// Validate tells which field is out of its bounds; errors match api.ErrInvalidArgument. A nil c is fine.
func (c *Compression) Validate() error {
	if c == nil {
		return nil
	}
	for _, f := range []struct {
		name        string
		value, a, b int
	}{
		{"Level", c.Level, 1, 9},
		{"ServerBits", c.ServerBits, ownWindowBits, maxWindowBits},
		{"ClientBits", c.ClientBits, ownWindowBits, maxWindowBits},
	} {
		if f.value != 0 && (f.value < f.a || f.value > f.b) {
			return badCompression("%s is %d, not 0 or from %d to %d", f.name, f.value, f.a, f.b)
		}
	}
	if c.Threshold < 0 {
		return badCompression("Threshold is %d", c.Threshold)
	}
	if least := leastMemory(); c.MaxMemory != 0 && c.MaxMemory < least {
		return badCompression("MaxMemory is %d bytes, but a connection needs %d at least", c.MaxMemory, least)
	}
	return nil
}

func badCompression(format string, args ...any) error {
	return fmt.Errorf("protocol: Compression.%s: %w", fmt.Sprintf(format, args...), api.ErrInvalidArgument)
}

// NegotiateDeflate answers a client's Sec-WebSocket-Extensions, the lines of which are in header. It takes the first
// offer of permessage-deflate that c allows and returns the value of the answer's header with what was agreed on; ""
// and nil when there is none, or c is nil: then the header is to be left out and nothing is compressed. An error says
// that the client's header is malformed and the handshake has to be refused (RFC 6455 section 9.1).
func NegotiateDeflate(header []string, c *Compression) (response string, d *Deflate, err error) {
	if c == nil {
		return "", nil, nil
	}
	offers, err := parseExtensions(header)
	if err != nil {
		return "", nil, err
	}
	for _, offer := range offers { // in the client's order of preference (RFC 6455 section 9.1)
		if offer.name != deflateName {
			continue
		}
		// What is wrong with an offer, or cannot be had, declines it (RFC 7692 sections 5.1 and 7.1).
		asked, err := parseDeflate(offer.params, true)
		if err != nil {
			continue
		}
		if response, d := c.answer(asked); d != nil {
			return response, d, nil
		}
	}
	return "", nil, nil
}

// answer accepts a client's offer; nil: it declines it.
func (c *Compression) answer(asked deflateParams) (response string, d *Deflate) {
	if asked.serverBits == minWindowBits {
		return "", nil
	}
	p := plan{
		outBits:  smaller(c.ServerBits, asked.serverBits),
		outFresh: c.ServerNoContextTakeover || asked.serverFresh, // RFC 7692 section 7.1.1.1
		inBits:   maxWindowBits,
		inFixed:  asked.clientBits == 0, // only who offers the parameter may be answered it (section 7.1.2.2)
	}
	if !p.inFixed {
		p.inBits = smaller(c.ClientBits, asked.clientBits)
	}
	if !p.fit(c.MaxMemory) {
		return "", nil
	}
	inFresh := c.ClientNoContextTakeover || asked.clientFresh // section 7.1.1.2
	agreed := deflateParams{serverFresh: p.outFresh, clientFresh: inFresh}
	// An offer of server_max_window_bits is accepted by repeating it, the same or smaller; it may be answered without
	// having been offered, too (section 7.1.2.1).
	if p.outBits < maxWindowBits || asked.serverBits != 0 {
		agreed.serverBits = p.outBits
	}
	if !p.inFixed && p.inBits < maxWindowBits {
		agreed.clientBits = p.inBits
	}
	return agreed.String(), c.agree(&p, p.outBits, p.inBits, !p.outFresh, !inFresh)
}

// OfferDeflate returns a client's value for Sec-WebSocket-Extensions, "" when c is nil. c has to be valid.
func OfferDeflate(c *Compression) string {
	if c == nil {
		return ""
	}
	p := c.clientPlan()
	offer := deflateParams{
		clientFresh: p.outFresh,
		serverFresh: c.ServerNoContextTakeover,
		clientBits:  anyBits, // we know how to limit ours (RFC 7692 section 7.1.2.2)
	}
	if p.outBits < maxWindowBits {
		offer.clientBits = p.outBits
	}
	if p.inBits < maxWindowBits {
		offer.serverBits = p.inBits
	}
	return offer.String()
}

// clientPlan is what a client with c offers.
func (c *Compression) clientPlan() plan {
	p := plan{
		outBits:  smaller(c.ClientBits, 0),
		outFresh: c.ClientNoContextTakeover,
		inBits:   smaller(c.ServerBits, 0),
	}
	p.fit(c.MaxMemory) // Validate has seen to it that something does
	return p
}

// AcceptDeflate checks a server's Sec-WebSocket-Extensions, the lines of which are in header, against what
// OfferDeflate has offered for the same c. nil without an error: nothing is to be compressed. An error says that the
// connection has to be failed: the header is malformed, or names an extension or an answer that was not offered (RFC
// 6455 section 4.1, RFC 7692 section 7.1). It matches api.ErrInvalidArgument.
func AcceptDeflate(header []string, c *Compression) (*Deflate, error) {
	answers, err := parseExtensions(header)
	if err != nil || len(answers) == 0 {
		return nil, err
	}
	for i, answer := range answers {
		switch {
		case c == nil || answer.name != deflateName:
			return nil, badAnswer("the server answers %.40q, which was not offered", answer.name)
		case i > 0:
			return nil, badAnswer("the server answers %s twice", deflateName)
		}
	}
	agreed, err := parseDeflate(answers[0].params, false)
	if err != nil {
		return nil, badAnswer("%w", err)
	}
	return c.accept(agreed)
}

// accept checks a server's answer.
func (c *Compression) accept(agreed deflateParams) (*Deflate, error) {
	p := c.clientPlan()
	switch {
	case c.ServerNoContextTakeover && !agreed.serverFresh: // accepting an offer with it repeats it (7.1.1.1)
		return nil, badAnswer("%s was offered and is missing in the answer", serverFreshName)
	case p.inBits < maxWindowBits && agreed.serverBits == 0: // likewise (7.1.2.1)
		return nil, badAnswer("%s=%d was offered and is missing in the answer", serverBitsName, p.inBits)
	case agreed.serverBits > p.inBits: // the same or smaller (7.1.2.1)
		return nil, badAnswer("%s is %d, and %d was offered", serverBitsName, agreed.serverBits, p.inBits)
	case agreed.clientBits > p.outBits: // the same or smaller (7.1.2.2)
		return nil, badAnswer("%s is %d, and %d was offered", clientBitsName, agreed.clientBits, p.outBits)
	case agreed.clientBits == minWindowBits: // a configuration that we do not support (7.1)
		return nil, badAnswer("%s is %d, and %d is the least we can do", clientBitsName, minWindowBits, ownWindowBits)
	}
	outBits, inBits := smaller(p.outBits, agreed.clientBits), smaller(agreed.serverBits, 0)
	return c.agree(&p, outBits, inBits, !p.outFresh && !agreed.clientFresh, !agreed.serverFresh), nil
}

func badAnswer(format string, args ...any) error {
	return fmt.Errorf("protocol: Sec-WebSocket-Extensions: %w: %w", fmt.Errorf(format, args...), api.ErrInvalidArgument)
}

// agree returns the outcome of a negotiation.
func (c *Compression) agree(p *plan, outBits, inBits int, outTakeover, inTakeover bool) *Deflate {
	d := &Deflate{
		Level: c.Level, MemLevel: p.memLevel, Threshold: c.Threshold,
		OutBits: outBits,
		// Compressors that call 9 bits 8 are about, zlib's older ones among them.
		InBits:      max(inBits, ownWindowBits),
		OutTakeover: outTakeover, InTakeover: inTakeover,
	}
	if d.Level == 0 {
		d.Level = defaultLevel
	}
	if d.Threshold == 0 && outTakeover {
		d.Threshold = takeoverMinimum
	} else if d.Threshold == 0 {
		d.Threshold = standaloneMinimum
	}
	return d
}

// smaller returns the smaller of two windows, of which 0, and anyBits, are the largest.
func smaller(a, b int) int {
	bits := maxWindowBits
	for _, n := range [...]int{a, b} {
		if n > 0 {
			bits = min(bits, n)
		}
	}
	return bits
}
