package protocol

// Opcodes of WebSocket frames (RFC 6455 section 5.2).
const (
	OpcodeContinuation = 0x0
	OpcodeText         = 0x1
	OpcodeBinary       = 0x2
	OpcodeClose        = 0x8
	OpcodePing         = 0x9
	OpcodePong         = 0xA
)

// Sizes in bytes (RFC 6455 sections 5.2 and 5.5).
const (
	MaxControlPayloadLen = 125
	MaxFrameHeaderLen    = 14
)

// Status codes of close frames (RFC 6455 section 7.4.1). CloseNoStatusReceived and CloseAbnormalClosure never appear in
// a frame: they tell how a connection ended.
const (
	CloseNormalClosure           = 1000
	CloseGoingAway               = 1001
	CloseProtocolError           = 1002
	CloseUnsupportedData         = 1003
	CloseNoStatusReceived        = 1005
	CloseAbnormalClosure         = 1006
	CloseInvalidFramePayloadData = 1007
	ClosePolicyViolation         = 1008
	CloseMessageTooBig           = 1009
	CloseMandatoryExtension      = 1010
	CloseInternalServerErr       = 1011
)
