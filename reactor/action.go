package reactor

import "fmt"

// Action is what a [Protocol] answers: what is to happen with its connection next.
type Action int

const (
	Continue     Action = iota // wait for the same again: bytes to read, or room to write
	ReadPending                // wait for bytes: from now on DataReceived is called, and WriteReady is not
	WritePending               // wait for room: from now on WriteReady is called, and nothing is read
	Close                      // close the connection; what was written arrives, what is in a write buffer is lost
)

var actions = [...]string{"Continue", "ReadPending", "WritePending", "Close"}

func (a Action) String() string {
	if a < 0 || int(a) >= len(actions) {
		return fmt.Sprintf("Action(%d)", int(a))
	}
	return actions[a]
}
