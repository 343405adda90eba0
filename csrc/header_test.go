package csrc

import (
	"bytes"
	"testing"
)

// The shortest form of each length, big-endian (RFC 6455 section 5.2).
func TestPutWSHeader(t *testing.T) {
	for n, want := range map[int][]byte{
		0:       {0x81, 0},
		125:     {0x81, 125},
		126:     {0x81, 126, 0, 126},
		65535:   {0x81, 126, 0xff, 0xff},
		65536:   {0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0},
		1 << 30: {0x81, 127, 0, 0, 0, 0, 0x40, 0, 0, 0},
	} {
		got := make([]byte, WSHeaderSize(n))
		PutWSHeader(got, WSFinal|WSText, n)
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes: % x, want % x", n, got, want)
		}
	}
}
