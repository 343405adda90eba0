package server

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// deflater is one direction of permessage-deflate: it compresses messages one after the other, with the context taken over.
type deflater struct {
	out bytes.Buffer
	w   *flate.Writer
}

// message compresses a payload (RFC 7692 section 7.2.1).
func (d *deflater) message(payload []byte) []byte {
	if d.w == nil {
		d.w, _ = flate.NewWriter(&d.out, 9) // a level that there is
	}
	d.out.Reset()
	d.w.Write(payload)
	d.w.Flush()
	return bytes.Clone(bytes.TrimSuffix(d.out.Bytes(), []byte("\x00\x00\xff\xff")))
}

// inflater is the other end: it decompresses messages one after the other.
type inflater struct {
	fresh   bool   // the context is not taken over
	window  []byte // what has come last
	came    int    // compressed bytes of the last message
	counted int    // messages
}

// message decompresses a payload (RFC 7692 section 7.2.2).
func (d *inflater) message(payload []byte) ([]byte, error) {
	d.came = len(payload)
	d.counted++
	if d.fresh {
		d.window = nil
	}
	// An empty block behind the last one, and a final one so that the reader sees an end.
	whole := io.MultiReader(bytes.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))
	message, err := io.ReadAll(flate.NewReaderDict(whole, d.window))
	d.window = append(d.window, message...)
	d.window = d.window[max(0, len(d.window)-32768):]
	return message, err
}

// dialDeflate opens a WebSocket with what extension offers, which the server has to answer with answer.
func dialDeflate(t testing.TB, s *Server, offer, answer string) (*client, *inflater) {
	t.Helper()
	c, got := dialOffering(t, s.Addr(), offer)
	if got != answer {
		t.Fatalf("%q was answered with %q, want %q", offer, got, answer)
	}
	in := new(inflater)
	if answer != "" {
		in.fresh = strings.Contains(answer, "server_no_context_takeover")
		c.inflate = in.message
	}
	return c, in
}

// compressing is a configuration with permessage-deflate, for messages of any size.
func compressing() *Config {
	cfg := local()
	cfg.Compression = &protocol.Compression{Threshold: 1}
	return cfg
}

// This table goes through RFC 7692 as TestRFC6455Frames does through RFC 6455.
func TestRFC7692Frames(t *testing.T) {
	const (
		more, txt, bin = protocol.OpcodeContinuation, protocol.OpcodeText, protocol.OpcodeBinary
		rsv1           = 0x40
	)
	whole := func(opcode byte, payload string) []byte { return encode(true, opcode, []byte(payload)) }
	part := func(opcode byte, payload string) []byte { return encode(false, opcode, []byte(payload)) }
	after := func(frames ...[]byte) []byte { return bytes.Join(frames, nil) }
	deflated := func(payload string) string { return string(new(deflater).message([]byte(payload))) }
	text := func(payloads ...string) (frames []frame) {
		for _, payload := range payloads {
			frames = append(frames, frame{true, txt, []byte(payload)})
		}
		return frames
	}
	rows := []exchange{
		{"6", "a message may come as it is", whole(txt, "Hello"), text("Hello"), 0},
		{"6", "RSV2 still has no meaning", whole(txt|0x20, "x"), nil, 1002},
		{"6", "control frames are not compressed", whole(protocol.OpcodePing|rsv1, ""), nil, 1002},
		{"6", "nor is a close frame", whole(protocol.OpcodeClose|rsv1, ""), nil, 1002},
		{"6", "RSV1 is on the first fragment", after(part(txt, "Hel"), whole(more|rsv1, "lo")), nil, 1002},
		{"6", "and there only", after(part(txt|rsv1, "\xf2\x48\xcd"), whole(more|rsv1, "\xc9\xc9\x07\x00")), nil, 1002},
		{"7.2.3.1", "the example", whole(txt|rsv1, "\xf2\x48\xcd\xc9\xc9\x07\x00"), text("Hello"), 0},
		{"7.2.3.1", "in fragments", after(part(txt|rsv1, "\xf2\x48\xcd"), whole(more, "\xc9\xc9\x07\x00")), text("Hello"), 0},
		{"7.2.3.1", "a ping between them", after(part(txt|rsv1, "\xf2\x48\xcd"), whole(protocol.OpcodePing, "p"),
			whole(more, "\xc9\xc9\x07\x00")), []frame{{true, protocol.OpcodePong, []byte("p")}, text("Hello")[0]}, 0},
		{"7.2.3.2", "the window is shared", after(whole(txt|rsv1, "\xf2\x48\xcd\xc9\xc9\x07\x00"),
			whole(txt|rsv1, "\xf2\x00\x11\x00\x00")), text("Hello", "Hello"), 0},
		{"7.2.3.2", "across one that came as it is", after(whole(txt|rsv1, "\xf2\x48\xcd\xc9\xc9\x07\x00"), whole(txt, "x"),
			whole(txt|rsv1, "\xf2\x00\x11\x00\x00")), text("Hello", "x", "Hello"), 0},
		{"7.2.3.3", "a block without compression", whole(txt|rsv1, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"),
			text("Hello"), 0},
		{"7.2.3.4", "a block with BFINAL", whole(txt|rsv1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), text("Hello"), 0},
		{"7.2.3.5", "two blocks", whole(txt|rsv1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), text("Hello"), 0},
		{"7.2.3.6", "an empty message", whole(txt|rsv1, "\x00"), text(""), 0},
		{"7.2.1", "in fragments of one byte", func() (b []byte) {
			payload := deflated("κόσμε κόσμε κόσμε")
			b = part(txt|rsv1, payload[:1])
			for i := 1; i < len(payload); i++ {
				b = append(b, part(more, payload[i:i+1])...)
			}
			return append(b, whole(more, "")...)
		}(), text("κόσμε κόσμε κόσμε"), 0},
		{"7.2.2", "a block of no known kind", whole(txt|rsv1, "\xff\xff\xff\xff"), nil, 1007},
		{"7.2.2", "a distance beyond all that came", whole(txt|rsv1, "\xf2\x00\x11\x00\x00"), nil, 1007},
		{"7.2.2", "a message that stops within a block", whole(txt|rsv1, "\xf2\x48\xcd"), nil, 1007},
		{"7.2.2", "noticed in an unfinished message", part(txt|rsv1, "\xff\xff\xff\xff"), nil, 1007},
		{"RFC 6455, 8.1", "text is UTF-8 when decompressed", whole(txt|rsv1, deflated("a\xff")), nil, 1007},
		{"RFC 6455, 8.1", "to its end", whole(txt|rsv1, deflated("a\xe2\x82")), nil, 1007},
		{"RFC 6455, 8.1", "binary need not be", whole(bin|rsv1, deflated("a\xff")),
			[]frame{{true, bin, []byte("a\xff")}}, 0},
		{"8", "what grows beyond the limit", whole(bin|rsv1, deflated(strings.Repeat("\x00", 16<<20+1))), nil, 1009},
	}
	s := start(t, compressing(), api.HandlerFunc(echo))
	for _, row := range rows {
		t.Run(row.section+" "+row.rule, func(t *testing.T) {
			c, in := dialDeflate(t, s, "permessage-deflate", "permessage-deflate")
			c.write(row.send)
			messages := 0
			for _, want := range row.want {
				c.expect(want.opcode, want.payload)
				if want.opcode == txt || want.opcode == bin {
					messages++
				}
			}
			if in.counted > messages {
				t.Errorf("%d frames were compressed of %d messages", in.counted, messages)
			}
			if row.close == 0 {
				c.goodbye()
				return
			}
			c.expectClose(uint16(row.close))
			c.expectEnd()
		})
	}
}

// RFC 7692 section 7.1: what is agreed upon is answered, and done. Section 7.1.1 on context takeover, which shows in the
// size of a message that comes a second time, and 7.1.2 on windows.
func TestRFC7692Negotiation(t *testing.T) {
	const plain = "permessage-deflate"
	s := start(t, compressing(), api.HandlerFunc(echo))
	for _, row := range []struct {
		section       string
		offer, answer string
	}{
		{"5.1 an unknown extension", "x-else; a=b, " + plain, plain},
		{"5.1 the first that can be had", plain + "; server_max_window_bits=8, " + plain + "; server_max_window_bits=9",
			plain + "; server_max_window_bits=9"},
		{"7.1 an unknown parameter", plain + "; x", ""},
		{"7.1 a parameter twice", plain + "; server_no_context_takeover; server_no_context_takeover", ""},
		{"7.1.1.1", plain + "; server_no_context_takeover", plain + "; server_no_context_takeover"},
		{"7.1.1.1 no value", plain + "; server_no_context_takeover=1", ""},
		{"7.1.1.2", plain + "; client_no_context_takeover", plain + "; client_no_context_takeover"},
		{"7.1.2.1", plain + "; server_max_window_bits=10", plain + "; server_max_window_bits=10"},
		{"7.1.2.1 a value", plain + "; server_max_window_bits", ""},
		{"7.1.2.1 not below 8", plain + "; server_max_window_bits=7", ""},
		{"7.1.2.1 nor above 15", plain + "; server_max_window_bits=16", ""},
		{"7.1.2.1 nor with a zero in front", plain + "; server_max_window_bits=010", ""},
		{"7.1.2.2", plain + "; client_max_window_bits=10", plain + "; client_max_window_bits=10"},
		{"7.1.2.2 a hint", plain + "; client_max_window_bits", plain},
	} {
		t.Run(row.section, func(t *testing.T) {
			c, in := dialDeflate(t, s, row.offer, row.answer)
			noise := make([]byte, 200)
			rand.New(rand.NewSource(1)).Read(noise)
			out := new(deflater)
			for i := 0; i < 3; i++ {
				switch {
				case row.answer == "":
					c.send(protocol.OpcodeBinary, noise)
				default:
					if strings.Contains(row.answer, "client_no_context_takeover") {
						out = new(deflater)
					}
					c.send(protocol.OpcodeBinary|0x40, out.message(noise))
				}
				c.expect(protocol.OpcodeBinary, noise)
			}
			if want := map[bool]int{true: 3}[row.answer != ""]; in.counted != want {
				t.Fatalf("%d of 3 messages were compressed, want %d", in.counted, want)
			}
			if row.answer != "" && in.fresh == (in.came < 100) {
				t.Errorf("a message takes %d bytes the third time", in.came)
			}
			c.goodbye()
		})
	}
	t.Run("9.1 of RFC 6455: what is no list of extensions", func(t *testing.T) {
		for _, bad := range []string{";", "a;", "a;=b", `a;b="c`, "a b", plain + "; x=\"\x01\""} {
			c := connect(t, s.Addr())
			c.write([]byte(offering(bad)))
			if response, _ := c.response(); response.StatusCode != 400 {
				t.Errorf("%q: %s", bad, response.Status)
			}
		}
	})
}

// Messages of all sizes, compressed both ways, come back as they were; the compressors are those of the standard library.
func TestDeflateSizes(t *testing.T) {
	for _, mode := range modes {
		for _, parameters := range []string{"", "; server_no_context_takeover; client_no_context_takeover"} {
			t.Run(fmt.Sprintf("%s%s", mode.name, parameters), func(t *testing.T) {
				s := start(t, compressing(), api.HandlerFunc(echo), mode.options...)
				offer := "permessage-deflate" + parameters
				c, in := dialDeflate(t, s, offer, offer)
				out := new(deflater)
				for n, size := range []int{1, 125, 126, 65535, 65536, 1 << 20, 10_000_000} {
					payload := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
					if parameters != "" {
						out = new(deflater)
					}
					c.send(protocol.OpcodeText|0x40, out.message(payload))
					c.expect(protocol.OpcodeText, payload)
					if in.counted != n+1 || size > 1000 && in.came > size/10 {
						t.Errorf("%d bytes came as %d, %d messages were compressed", size, in.came, in.counted)
					}
				}
				c.goodbye()
			})
		}
	}
}
