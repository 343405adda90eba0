//go:build linux

package differential

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

var (
	cases = flag.Int("cases", 5000, "how many random streams TestRandomStreams tries")
	seed  = flag.Uint64("seed", 1, "what it starts with")
)

// compare gives a stream in pieces to both servers. It returns what ours made of it, and an error that tells how gorilla's
// differs.
func compare(in [][]byte, joined bool) (*outcome, error) {
	stream := bytes.Join(in, nil)
	ours, err := withOurs(in, joined)
	if err != nil {
		return nil, err
	}
	d, disputed := findDispute(stream)
	common := stream
	if disputed {
		common = stream[:d.at+2]
	}
	gorilla, err := withGorilla(cutLike(in, common))
	if err != nil {
		return nil, err
	}
	if disputed && gorilla.sent == 0 {
		gorilla.sent, gorilla.code, gorilla.reason = d.sent, d.code, d.reason
	}
	if differences := ours.differences(gorilla); differences != "" {
		err = fmt.Errorf("%sin %d pieces, joined with the handshake: %v, stream of %d bytes:\n%x", differences, len(in),
			joined, len(stream), stream[:min(len(stream), 2000)])
	}
	return ours, err
}

// cutLike cuts b, the beginning of in, as in is cut.
func cutLike(in [][]byte, b []byte) (out [][]byte) {
	for _, piece := range in {
		n := min(len(piece), len(b))
		out, b = append(out, slices.Clone(b[:n])), b[n:]
	}
	return out
}

// Streams of frames, most of them good, give the same messages, pongs and end on both sides, however they are cut.
func TestRandomStreams(t *testing.T) {
	messages, pongs, ends := 0, 0, map[int]int{}
	for i := range *cases {
		s := script{decide: random(rand.New(rand.NewPCG(*seed, uint64(i))))}
		in := s.cut(s.stream(1 + s.decide(12)))
		o, err := compare(in, s.chance(20))
		if err != nil {
			t.Fatalf("case %d of -seed %d: %v", i, *seed, err)
		}
		messages, pongs = messages+len(o.messages), pongs+len(o.pongs)
		ends[o.sent]++
	}
	t.Logf("%d messages, %d pongs, close frames sent by status code (0: none): %v", messages, pongs, ends)
	for _, code := range []int{0, 1000, protocolError, noStatus, notUTF8, tooBig, 3000} {
		if *cases >= 1000 && ends[code] == 0 {
			t.Errorf("no stream ended with %d: they do not try all there is", code)
		}
	}
}

// FuzzFrames changes the decisions by which streams are made.
func FuzzFrames(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 40 {
		decisions := make([]byte, 4*n)
		for i := range decisions {
			decisions[i] = byte(r.Uint32())
		}
		f.Add(decisions)
	}
	f.Fuzz(func(t *testing.T, decisions []byte) {
		s := script{decide: fuzzed(decisions)}
		stream := s.stream(s.decide(12))
		if _, err := compare(s.cut(stream), s.chance(20)); err != nil {
			t.Fatal(err)
		}
	})
}

// disputed are streams with frames that findDispute knows, and what we make of each.
var disputed = map[string]outcome{
	"\x82\xFE\x00\x7D\x00\x00\x00\x00":             {sent: protocolError, code: abnormal}, // 16 bits for 125
	"\x82\xFF" + eight(65535) + "\x00\x00\x00\x00": {sent: protocolError, code: abnormal}, // 64 bits for 65,535
	"\x82\xFF" + eight(1<<63) + "\x00\x00\x00\x00": {sent: protocolError, code: abnormal}, // the top bit
	"\xB2\xFF" + eight(1<<63):                      {sent: protocolError, code: abnormal}, // ... and reserved bits
	"\x82\xFF" + eight(1<<63) + "\x00":             {code: abnormal},                      // ... with the mask missing
	"\x88\x81\x00\x00\x00\x00\x03":                 {sent: protocolError, code: abnormal}, // half a code
	"\x88\x83\x00\x00\x00\x00\x03\xE8\xFF":         {sent: notUTF8, code: abnormal},
	"\x88\x84\x00\x00\x00\x00\x03\xF6ok":           {sent: 1014, code: 1014, reason: "ok"},
}

func eight(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

func TestDisputed(t *testing.T) {
	for stream, want := range disputed {
		o, err := compare([][]byte{[]byte(stream)}, false)
		if err != nil {
			t.Error(err)
		} else if differences := o.differences(&want); differences != "" {
			t.Errorf("%x: %s", stream, differences)
		}
		if _, found := findDispute([]byte(stream)); !found {
			t.Errorf("%x is not disputed", stream)
		}
	}
}

// FuzzBytes changes the bytes themselves, and how they are cut: each byte of cuts is the length of a piece, less one.
func FuzzBytes(f *testing.F) {
	for stream := range disputed {
		f.Add([]byte(stream), []byte{}, false)
	}
	for i := range uint64(40) {
		s := script{decide: random(rand.New(rand.NewPCG(3, i)))}
		if stream := s.stream(1 + s.decide(4)); len(stream) < 1000 {
			f.Add(stream, []byte{byte(i), 0, 1, 2, 5}, i%2 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, stream, cuts []byte, joined bool) {
		var in [][]byte
		for _, n := range cuts {
			if int(n) < len(stream) {
				in, stream = append(in, stream[:int(n)+1]), stream[int(n)+1:]
			}
		}
		if _, err := compare(append(in, stream), joined); err != nil {
			t.Fatal(err)
		}
	})
}
