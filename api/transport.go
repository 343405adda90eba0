package api

// Transport moves messages in batches.
type Transport interface {
	// Send sends each slice as one message. The bytes may be reused when it returns. When it fails, the messages before
	// the one that failed are on their way.
	Send(buffers [][]byte) error
	// Recv waits for at least one message and returns all that are there, copied. io.EOF after the last one.
	Recv() ([][]byte, error)
	// Close ends the connection in good order. Closing twice is harmless.
	Close() error
	// Features tells what this transport really does.
	Features() TransportFeatures
}

// TransportFeatures tells what a transport does.
type TransportFeatures struct {
	ZeroCopy  bool     // bytes that lie in a slab block are sent without a copy
	Batch     bool     // several messages are written with one system call
	NUMAAware bool     // memory is taken from the node of the thread that uses it
	TLS       bool     // bytes are encrypted
	OS        []string // operating systems it works on, as in runtime.GOOS
}
