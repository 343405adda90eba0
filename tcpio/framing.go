package tcpio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// Framing finds messages in a stream of bytes, and turns messages into such bytes. It is shared by all connections, so
// it has no state of its own.
type Framing interface {
	// Next looks for the first message in data, which begins where the last one has ended. seen is how many of its
	// bytes were there at the last call, so that they need not be searched again. size is how many bytes the message
	// takes with all that belongs to its frame, 0 when there is none yet; message is a part of data. An error, of a
	// message that is too long say, closes the connection: who returns none for ever makes it buffer without bound.
	Next(data []byte, seen int) (size int, message []byte, err error)

	// Last returns what the stream has ended with, data, as a message; nil when it is not to be delivered. An error
	// says that the stream has ended in mid-message.
	Last(data []byte) (message []byte, err error)

	// Append appends a message with its frame to b.
	Append(b, message []byte) ([]byte, error)
}

// Lines is the Framing of text lines. A message is a line without its "\n" or "\r\n"; the last one may lack it. Append
// adds "\n".
type Lines struct {
	Max int // bytes of a line; 0: 64 KiB
}

const defaultMaxLine = 64 << 10

func (f Lines) max() int {
	if f.Max == 0 {
		return defaultMaxLine
	}
	return f.Max
}

func (f Lines) check() error {
	if f.Max < 0 {
		return fmt.Errorf("Framing: Lines.Max is %d, less than 0", f.Max)
	}
	return nil
}

// Next implements Framing.
func (f Lines) Next(data []byte, seen int) (int, []byte, error) {
	at := bytes.IndexByte(data[seen:], '\n')
	line := data
	if at >= 0 {
		line = data[:seen+at]
	}
	if trimmed := bytes.TrimSuffix(line, []byte{'\r'}); len(trimmed) > f.max() {
		return 0, nil, fmt.Errorf("%w: a line of more than %d bytes", ErrMessageTooLong, f.max())
	} else if at >= 0 {
		return len(line) + 1, trimmed, nil
	}
	return 0, nil, nil
}

// Last implements Framing.
func (f Lines) Last(data []byte) ([]byte, error) { return bytes.TrimSuffix(data, []byte{'\r'}), nil }

// Append implements Framing. A message that contains "\n" is refused.
func (f Lines) Append(b, message []byte) ([]byte, error) {
	if at := bytes.IndexByte(message, '\n'); at >= 0 {
		return b, fmt.Errorf("tcpio: a line with a newline at byte %d would be two", at)
	}
	if len(message) > f.max() {
		return b, fmt.Errorf("%w: a line of %d bytes, more than %d", ErrMessageTooLong, len(message), f.max())
	}
	return append(append(b, message...), '\n'), nil
}

// LengthPrefix is the Framing of messages that have their length in front.
type LengthPrefix struct {
	Bytes        int  // of the length: 1, 2, 4 or 8; 0: 4
	LittleEndian bool // the least significant byte of it comes first
	Max          int  // bytes of a message; 0: 1 MiB
}

const (
	defaultPrefix     = 4
	defaultMaxMessage = 1 << 20
)

func (f LengthPrefix) size() int {
	if f.Bytes == 0 {
		return defaultPrefix
	}
	return f.Bytes
}

func (f LengthPrefix) max() uint64 {
	if f.Max == 0 {
		return defaultMaxMessage
	}
	return uint64(f.Max)
}

func (f LengthPrefix) check() error {
	switch f.Bytes {
	case 0, 1, 2, 4, 8:
	default:
		return fmt.Errorf("Framing: LengthPrefix.Bytes is %d, not 1, 2, 4 or 8", f.Bytes)
	}
	if f.Max < 0 {
		return fmt.Errorf("Framing: LengthPrefix.Max is %d, less than 0", f.Max)
	}
	return nil
}

// Next implements Framing.
func (f LengthPrefix) Next(data []byte, _ int) (int, []byte, error) {
	prefix := f.size()
	if len(data) < prefix {
		return 0, nil, nil
	}
	length := f.length(data[:prefix])
	switch {
	case length > f.max():
		return 0, nil, fmt.Errorf("%w: %d bytes are announced, more than %d", ErrMessageTooLong, length, f.max())
	case uint64(len(data)-prefix) < length:
		return 0, nil, nil
	}
	size := prefix + int(length)
	return size, data[prefix:size:size], nil
}

// Last implements Framing: nothing may be left.
func (f LengthPrefix) Last(data []byte) ([]byte, error) {
	return nil, fmt.Errorf("tcpio: the stream ends after %d bytes of a message: %w", len(data), io.ErrUnexpectedEOF)
}

// Append implements Framing.
func (f LengthPrefix) Append(b, message []byte) ([]byte, error) {
	most := f.max()
	if prefix := f.size(); prefix < 8 {
		most = min(most, 1<<(8*prefix)-1)
	}
	if uint64(len(message)) > most {
		return b, fmt.Errorf("%w: %d bytes, more than %d", ErrMessageTooLong, len(message), most)
	}
	return append(f.appendLength(b, uint64(len(message))), message...), nil
}

func (f LengthPrefix) length(b []byte) (n uint64) {
	var whole [8]byte
	if f.LittleEndian {
		copy(whole[:], b)
		return binary.LittleEndian.Uint64(whole[:])
	}
	copy(whole[8-len(b):], b)
	return binary.BigEndian.Uint64(whole[:])
}

func (f LengthPrefix) appendLength(b []byte, n uint64) []byte {
	var whole [8]byte
	if f.LittleEndian {
		binary.LittleEndian.PutUint64(whole[:], n)
		return append(b, whole[:f.size()]...)
	}
	binary.BigEndian.PutUint64(whole[:], n)
	return append(b, whole[8-f.size():]...)
}

var frames = sync.Pool{New: func() any { return new([]byte) }}

// WriteMessage writes a message to w, with its frame and with one call of Write. An error of the Framing comes before
// anything is written.
func WriteMessage(w io.Writer, f Framing, message []byte) error {
	buf := frames.Get().(*[]byte)
	defer frames.Put(buf)
	frame, err := f.Append((*buf)[:0], message)
	if cap(frame) <= keptBuffer {
		*buf = frame
	}
	if err == nil {
		_, err = w.Write(frame)
	}
	return err
}
