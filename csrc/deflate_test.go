package csrc

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
)

// inflate expands the payload of a message as RFC 7692 section 7.2.2 says. The final block is for package flate alone,
// which wants one.
func inflate(t *testing.T, payload []byte) []byte {
	t.Helper()
	tail := strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")
	data, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(payload), tail)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDeflateOnce(t *testing.T) {
	slab := newSlab(t, 0)
	for _, size := range []int{0, 1, 5, 200, 5000, 1 << 20} {
		want := bytes.Repeat([]byte("abcdefg "), size/8+1)[:size]
		for level := int8(0); level <= 9; level++ {
			block, payload, err := DeflateOnce(slab, &DeflateConfig{Level: level, OutBits: 9 + uint8(level)%7}, want)
			if err != nil {
				t.Fatal(err)
			}
			if &block.Bytes()[DeflateHeadroom] != &payload[0] {
				t.Error("the payload does not lie behind its headroom")
			}
			if got := inflate(t, payload); !bytes.Equal(got, want) {
				t.Errorf("%d bytes at level %d came back as %d", size, level, len(got))
			}
			if size > 1000 && len(payload) > size/20 {
				t.Errorf("%d bytes at level %d were compressed to %d", size, level, len(payload))
			}
			block.Unref()
		}
	}
}

func TestDeflateOnceWithoutMemory(t *testing.T) {
	slab := newSlab(t, 9<<20) // enough for its own tables
	var taken []*Block
	for b := slab.Get(64<<10, -1); b != nil; b = slab.Get(64<<10, -1) {
		taken = append(taken, b)
	}
	if _, _, err := DeflateOnce(slab, &DeflateConfig{}, []byte("x")); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("%v", err)
	}
	for _, b := range taken {
		b.Unref()
	}
}

func TestDeflateConfig(t *testing.T) {
	for _, c := range []struct {
		config DeflateConfig
		valid  bool
		cost   uint64 // about
	}{
		{DeflateConfig{}, true, 0},
		{DeflateConfig{OutTakeover: true}, true, 256 << 10},
		{DeflateConfig{InTakeover: true}, true, 40 << 10},
		{DeflateConfig{OutBits: 9, InBits: 8, MemLevel: 1, OutTakeover: true, InTakeover: true, Level: 9}, true, 20 << 10},
		{DeflateConfig{OutBits: 8}, false, 0},
		{DeflateConfig{InBits: 7}, false, 0},
		{DeflateConfig{InBits: 16}, false, 0},
		{DeflateConfig{Level: 10}, false, 0},
		{DeflateConfig{Level: -1}, false, 0},
		{DeflateConfig{MemLevel: 10}, false, 0},
	} {
		if c.config.Valid() != c.valid {
			t.Errorf("%+v: valid: %v", c.config, !c.valid)
		}
		if cost := c.config.Cost(); c.valid && (cost < c.cost || cost > c.cost*3/2+1000) {
			t.Errorf("%+v costs %d bytes", c.config, cost)
		}
	}
}
