package protocol

import (
	"io"
	"testing"

	"github.com/momentics/hioload-ws/csrc"
)

// lone is a connection without a loop that no handler takes messages from.
func lone(limit int) *WSConnection {
	e := NewEndpoint(EndpointConfig{QueueLimit: limit})
	e.SetHandler(ignore, false)
	return &WSConnection{shard: &Shard{endpoint: e}}
}

func TestReadingStopsAtALimit(t *testing.T) {
	for _, test := range []struct {
		name            string
		limit, size     int
		fullAt, emptyAt int // items that stop reading, and that let it go on
	}{
		{"few messages", 10, 1, 10, 5},
		{"one message", 1, 1, 1, 0},
		{"many bytes", 1000, waitingBytes / 8, 8, 4},
		{"one message of many bytes", 1000, 2 * waitingBytes, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := lone(test.limit)
			x := c.extension()
			for round := 0; round < 3; round++ {
				for n := 1; n <= test.fullAt+2; n++ {
					x.addTask(c, item{size: test.size})
					if x.full != (n >= test.fullAt) {
						t.Fatalf("with %d waiting: full is %v", n, x.full)
					}
				}
				for n := test.fullAt + 1; n >= 0; n-- {
					x.nextTask(c)
					if x.full != (n > test.emptyAt) {
						t.Fatalf("with %d left: full is %v", n, x.full)
					}
				}
			}
		})
	}
}

func TestOneWorkerAtATime(t *testing.T) {
	c := lone(100)
	x := c.extension()
	if !x.addTask(c, item{}) || x.addTask(c, item{}) {
		t.Error("the first item asks for a worker, the second one does not")
	}
	for i := 0; i < 2; i++ {
		if _, ok := x.nextTask(c); !ok {
			t.Fatal("an item is missing")
		}
	}
	if x.addTask(c, item{}) {
		t.Error("the worker has not been told yet that nothing is left")
	}
	x.nextTask(c)
	if _, ok := x.nextTask(c); ok {
		t.Error("nothing is left")
	}
	if !x.addTask(c, item{}) {
		t.Error("after the worker has gone another one is needed")
	}
}

// What came before the end is returned before io.EOF is.
func TestReceiveToTheEnd(t *testing.T) {
	c := lone(100)
	x := c.extension()
	x.addMessage(c, item{kind: itemMessage})
	x.addMessage(c, item{kind: itemMessage})
	x.end(csrc.StreamStats{}, CloseNormalClosure, "")
	x.exhaust()
	messages, err := x.receive(c)
	if err != nil || len(messages) != 2 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	if _, err := x.receive(c); err != io.EOF {
		t.Errorf("got %v", err)
	}
}

// The close frame waits until whoever receives has come back for more.
func TestFarewellWaitsForTheReceiver(t *testing.T) {
	c := lone(100)
	x := c.extension()
	x.addMessage(c, item{kind: itemMessage})
	x.finish(c, CloseGoingAway)
	if _, err := x.receive(c); err != nil {
		t.Fatal(err)
	}
	if c.state.Load()&stateClosing != 0 {
		t.Error("closing while a message is being dealt with")
	}
	if _, err := x.receive(c); err != io.EOF {
		t.Errorf("got %v", err)
	}
	if c.state.Load()&stateClosing == 0 {
		t.Error("not closing although all is done")
	}
}
