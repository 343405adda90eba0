package tcpio

// framer puts one connection's messages together.
type framer struct {
	framing Framing // nil: each piece is a message
	rest    []byte  // the beginning of a message
}

// keptBuffer is the size in bytes up to which a buffer is kept for the next message.
const keptBuffer = 64 << 10

// feed delivers the messages that are whole with data, until deliver wants no more or fails. data is not kept.
func (f *framer) feed(data []byte, deliver func(message []byte) (more bool, err error)) error {
	if f.framing == nil {
		_, err := deliver(data)
		return err
	}
	seen := len(f.rest)
	if seen > 0 {
		f.rest = append(f.rest, data...)
		data = f.rest
	}
	for len(data) > seen {
		size, message, err := f.framing.Next(data, seen)
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		if more, err := deliver(message); !more || err != nil {
			return err
		}
		data, seen = data[size:], 0
	}
	f.keep(data)
	return nil
}

// keep stores what is left over, which may lie in rest itself.
func (f *framer) keep(data []byte) {
	if cap(f.rest) > keptBuffer && len(data) <= keptBuffer {
		f.rest = append([]byte(nil), data...) // it has held a large message
		return
	}
	f.rest = append(f.rest[:0], data...)
}

// end delivers what the stream ends with.
func (f *framer) end(deliver func(message []byte) (more bool, err error)) error {
	if len(f.rest) == 0 {
		return nil
	}
	message, err := f.framing.Last(f.rest)
	if err == nil && message != nil {
		_, err = deliver(message)
	}
	f.rest = nil
	return err
}
