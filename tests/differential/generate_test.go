package differential

import (
	"encoding/binary"
	"math/rand/v2"
)

// script makes a client's bytes out of random decisions: mostly frames as they should be, now and then one that is not. The
// decisions come from a generator, or from a fuzzer's input, whose changes then change frames and not mere bytes.
type script struct {
	decide  func(below int) int
	out     []byte
	opcode  byte // of the message under way; 0: none
	started bool // text under way ends in mid-character
}

// random decides by a generator.
func random(r *rand.Rand) func(below int) int { return r.IntN }

// fuzzed decides by bytes; 0 when they are used up.
func fuzzed(b []byte) func(below int) int {
	return func(below int) int {
		n := 0
		for limit := 1; limit < below && len(b) > 0; limit <<= 8 {
			n, b = n<<8|int(b[0]), b[1:]
		}
		return n % below
	}
}

func (s *script) chance(percent int) bool { return s.decide(100) >= 100-percent }

// stream returns the bytes of up to n frames.
func (s *script) stream(n int) []byte {
	for range n {
		if s.chance(30) {
			s.control()
		} else {
			s.data()
		}
	}
	if s.chance(20) && len(s.out) > 0 {
		s.out = s.out[:s.decide(len(s.out))]
	}
	if s.chance(10) && len(s.out) > 0 {
		s.out[s.decide(len(s.out))] ^= 1 << s.decide(8)
	}
	return s.out
}

func (s *script) data() {
	first := byte(0)
	if s.opcode == 0 {
		s.opcode = byte(1 + s.decide(2))
		first = s.opcode
	}
	text := s.opcode == 1
	if !s.chance(40) {
		first |= 0x80
		s.opcode = 0
	}
	s.frame(first, s.payload(s.size(), text))
}

// size is the length of a payload: around the places where its form changes, or small; seldom large.
func (s *script) size() int {
	switch s.decide(16) {
	case 0:
		return 0
	case 1:
		return 124 + s.decide(5)
	case 2:
		return 65534 + s.decide(4)
	case 3:
		return 4000 + s.decide(200)
	case 4:
		return maxMessage - 2 + s.decide(4)
	case 5, 6:
		return s.decide(3000)
	}
	return s.decide(60)
}

// payload returns n bytes, or about as many of text, part of which may end, or go wrong, in the middle of a character.
func (s *script) payload(n int, text bool) []byte {
	b := make([]byte, 0, n)
	if !text {
		for len(b) < n {
			b = binary.LittleEndian.AppendUint32(b, uint32(s.decide(1<<16))*2654435761)
		}
		return b[:n]
	}
	alphabet := []string{"a", "Z", "\x00", "é", "€", "\U0001F600", "\u07FF", "\uFFFD", "\U0010FFFF", "plain text, long enough "}
	if s.started {
		b = append(b, "\x82\xAC"...)
		s.started = false
	}
	for len(b) < n {
		b = append(b, alphabet[s.decide(len(alphabet))]...)
	}
	switch s.decide(24) {
	case 0:
		bad := []string{"\xFF", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80", "\xF0\x80"}
		b = append(b, bad[s.decide(len(bad))]...)
	case 1, 2, 3:
		if s.opcode != 0 { // its rest comes with the next frame
			b = append(b, 0xE2)
			s.started = true
		}
	}
	return b
}

func (s *script) control() {
	switch s.decide(8) {
	case 0:
		s.frame(0x88, s.closeBody())
	case 1, 2:
		s.frame(0x8A, s.payload(s.decide(130), false))
	default:
		s.frame(0x89, s.payload(s.decide(126), false))
	}
}

// closeBody is the body of a close frame.
func (s *script) closeBody() []byte {
	codes := []int{999, 1000, 1001, 1003, 1004, 1005, 1006, 1007, 1011, 1012, 1014, 1015, 1016, 2999, 3000, 4999, 5000, 65535}
	switch s.decide(6) {
	case 0:
		return nil
	case 1:
		return []byte{3}
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(codes[s.decide(len(codes))]))
	opcode := s.opcode
	s.opcode = 0 // the reason ends here
	b = append(b, s.payload(s.decide(100), true)...)
	s.opcode = opcode
	return b
}

// frame appends a frame, seldom one that breaks a rule of section 5.2.
func (s *script) frame(first byte, payload []byte) {
	length := uint64(len(payload))
	form := 0
	switch {
	case length >= 1<<16:
		form = 2
	case length >= 126:
		form = 1
	}
	masked := byte(0x80)
	switch s.decide(60) {
	case 0:
		first ^= 0x10 << s.decide(3)
	case 1:
		first = first&0xF0 | byte(s.decide(16))
	case 2:
		first ^= 0x80
	case 3:
		masked = 0
	case 4:
		form = s.decide(3)
	case 5:
		length, form = 1<<(16+s.decide(48))-uint64(s.decide(2)), 2
	}
	s.out = append(s.out, first)
	switch form {
	case 0:
		s.out = append(s.out, masked|byte(length&0x7F))
	case 1:
		s.out = binary.BigEndian.AppendUint16(append(s.out, masked|126), uint16(length))
	case 2:
		s.out = binary.BigEndian.AppendUint64(append(s.out, masked|127), length)
	}
	if masked == 0 {
		s.out = append(s.out, payload...)
		return
	}
	mask := binary.LittleEndian.AppendUint32(nil, uint32(s.decide(1<<16))*0x9E3779B1)
	s.out = append(s.out, mask...)
	s.out = append(s.out, unmasked(mask, payload)...)
}

// cut splits a stream as decided.
func (s *script) cut(b []byte) (in [][]byte) {
	for n := s.decide(12); n > 0 && len(b) > 0; n-- {
		most := len(b)
		if s.chance(60) {
			most = min(most, 16)
		}
		size := 1 + s.decide(most)
		in, b = append(in, b[:size]), b[size:]
	}
	return append(in, b)
}
