package csrc

/*
#include "hl_deflate.h"
*/
import "C"

import (
	"syscall"
	"unsafe"
)

// DeflateConfig is what two endpoints have agreed upon for permessage-deflate (RFC 7692 section 7.1), and how ours
// compresses (hl_deflate_config). The zero value is zlib's default level with the largest windows and no takeover.
type DeflateConfig struct {
	Level       int8   // zlib's: 1 (fast) to 9 (small); 0: 6
	MemLevel    int8   // zlib's: 1 to 9; 0: 8
	OutBits     uint8  // of the window of what we send: 9 to 15; 0: 15
	InBits      uint8  // of the window of what we receive: 8 to 15; 0: 15
	OutTakeover bool   // our messages may refer to earlier ones
	InTakeover  bool   // the peer's may
	Threshold   uint32 // bytes; shorter messages are sent as they are
}

// DeflateHeadroom is the number of bytes in front of what [DeflateOnce] makes that are free for a frame's header.
const DeflateHeadroom = C.HL_WS_MAX_HEADER

// Valid reports whether all of c is within its bounds.
func (c *DeflateConfig) Valid() bool {
	config := c.c()
	return C.hl_deflate_config_valid(&config) != 0
}

// Cost is the number of bytes of C memory that a connection with a valid config keeps at most between messages: those
// that context takeover takes, and a little for itself.
func (c *DeflateConfig) Cost() uint64 {
	config := c.c()
	return uint64(C.hl_deflate_cost(&config))
}

// Append appends the config to b as OpUpgrade takes it.
func (c *DeflateConfig) Append(b []byte) []byte {
	config := c.c()
	return append(b, unsafe.Slice((*byte)(unsafe.Pointer(&config)), unsafe.Sizeof(config))...)
}

func (c *DeflateConfig) c() C.hl_deflate_config {
	config := C.hl_deflate_config{
		level:     C.int8_t(c.Level),
		mem_level: C.int8_t(c.MemLevel),
		out_bits:  C.uint8_t(c.OutBits),
		in_bits:   C.uint8_t(c.InBits),
		threshold: C.uint32_t(c.Threshold),
	}
	if c.OutTakeover {
		config.out_takeover = 1
	}
	if c.InTakeover {
		config.in_takeover = 1
	}
	return config
}

// DeflateOnce compresses a whole message without any context, for any number of peers whose windows for what we send
// have at least cfg.OutBits. The payload lies in the block, which has one reference, the caller's, with
// [DeflateHeadroom] bytes before it that are free. cfg is valid. The error is ENOMEM. Any goroutine.
func DeflateOnce(slab *Slab, cfg *DeflateConfig, data []byte) (*Block, []byte, error) {
	config := cfg.c()
	var out C.hl_deflate_out
	p := (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(data)))
	if C.hl_deflate_once(slab.c, &config, p, C.size_t(len(data)), DeflateHeadroom, &out) < 0 {
		return nil, nil, check("hl_deflate_once", -int(syscall.ENOMEM))
	}
	block := (*Block)(unsafe.Pointer(out.block))
	return block, block.Bytes()[DeflateHeadroom:out.len], nil
}
