package protocol

import (
	"runtime"

	"github.com/momentics/hioload-ws/api"
)

// transport is a connection as an api.Transport.
type transport struct{ c *WSConnection }

func (t transport) Send(buffers [][]byte) error {
	for _, b := range buffers {
		if err := t.c.SendFrame(&WSFrame{IsFinal: true, Opcode: OpcodeBinary, Payload: b}); err != nil {
			return err
		}
	}
	return nil
}

func (t transport) Recv() ([][]byte, error) {
	messages, err := t.c.RecvZeroCopy()
	if err != nil {
		return nil, err
	}
	copies := make([][]byte, len(messages))
	for i, m := range messages {
		copies[i] = m.Copy()
		m.Release()
	}
	return copies, nil
}

func (t transport) Close() error { return t.c.Close() }

func (transport) Features() api.TransportFeatures {
	return api.TransportFeatures{ZeroCopy: true, Batch: true, OS: []string{runtime.GOOS}}
}
