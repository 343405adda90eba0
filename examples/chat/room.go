package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/momentics/hioload-ws/tcpio"
)

// room is where everybody is. It belongs to the callbacks of one loop.
type room struct {
	log     *log.Logger
	members map[string]*member // by name in lower case: those who have one
	pause   time.Duration      // between two lines of one member, on average
}

// member is a client: the Value of its connection.
type member struct {
	conn   *tcpio.Stream
	name   string      // "": not given yet
	paid   time.Time   // up to when its share is used up
	resume *time.Timer // has it read again; nil: it never had to wait
}

const (
	maxName = 20 // characters
	burst   = 10 // lines that a member may say at once
)

func newRoom(rate int, logger *log.Logger) *room {
	return &room{log: logger, members: make(map[string]*member), pause: time.Second / time.Duration(rate)}
}

// enter greets a new client.
func (r *room) enter(conn net.Conn) error {
	m := &member{conn: conn.(*tcpio.Stream)}
	m.conn.SetValue(m)
	return tell(m.conn, "* Welcome. What is your name?")
}

// hear takes a line from a client: its name, a command, or what it says to all.
func (r *room) hear(m *member, line []byte) error {
	if err := r.slow(m); err != nil {
		return err
	}
	text := printable(line)
	switch {
	case len(line) > maxLine:
		return tell(m.conn, fmt.Sprintf("* That was not sent: it has %d bytes, more than %d", len(line), maxLine))
	case m.name == "":
		return r.introduce(m, strings.TrimSpace(text))
	case text == "":
		return nil
	case text == "/who":
		return tell(m.conn, "* Here: "+r.names())
	case text == "/quit":
		return r.end(m, false)
	case strings.HasPrefix(text, "/"):
		return tell(m.conn, "* Commands are /who and /quit")
	}
	r.say(m, m.name+": "+text)
	return nil
}

// slow makes a member that says more than its share wait: what it sends stays with the kernel meanwhile, and then with
// the sender.
func (r *room) slow(m *member) error {
	now := time.Now()
	if earliest := now.Add(-burst * r.pause); m.paid.Before(earliest) {
		m.paid = earliest
	}
	m.paid = m.paid.Add(r.pause)
	ahead := m.paid.Sub(now)
	if ahead <= 0 {
		return nil
	}
	if m.resume == nil {
		m.resume = time.AfterFunc(ahead, func() { m.conn.SetReading(true) }) // fails when the connection is closed
	} else {
		m.resume.Reset(ahead)
	}
	return m.conn.SetReading(false)
}

// introduce gives a client its name.
func (r *room) introduce(m *member, name string) error {
	if !nameable(name) {
		return tell(m.conn, fmt.Sprintf("* A name has up to %d letters, digits, - or _. What is yours?", maxName))
	}
	key := strings.ToLower(name)
	if r.members[key] != nil {
		return tell(m.conn, "* "+name+" is here already. What is your name?")
	}
	m.name = name
	r.members[key] = m
	r.log.Printf("%s joined from %v", name, m.conn.RemoteAddr())
	r.say(m, "* "+name+" has joined")
	return tell(m.conn, "* Here: "+r.names())
}

// end closes the connection of a client that sends no more, or is not heard any more because the chat ends. What was
// said to it is sent before.
func (r *room) end(m *member, chatEnds bool) error {
	if !chatEnds {
		r.leave(m, "")
	} else if err := tell(m.conn, "* The chat is over"); err != nil {
		return err
	}
	return m.conn.Close()
}

// lost is the end of a connection, because of err if that is not nil.
func (r *room) lost(m *member, err error) {
	switch {
	case errors.Is(err, tcpio.ErrMessageTooLong):
		r.leave(m, ": line too long")
	case errors.Is(err, tcpio.ErrQueueFull), errors.Is(err, tcpio.ErrWriteTimeout):
		r.leave(m, ": reads too slowly")
	case err != nil:
		r.leave(m, ": connection lost")
	default:
		r.leave(m, "")
	}
}

// leave takes a member out of the room, unless that has been done.
func (r *room) leave(m *member, why string) {
	key := strings.ToLower(m.name)
	if r.members[key] != m {
		return
	}
	delete(r.members, key)
	notice := m.name + " has left" + why
	r.log.Print(notice)
	r.say(m, "* "+notice)
}

// say tells all members but one. Nobody waits for a member that does not read: when too much waits for it, it has to
// leave.
func (r *room) say(from *member, text string) {
	var slow []*member
	for _, m := range r.members {
		if m == from {
			continue
		}
		if err := tell(m.conn, text); errors.Is(err, tcpio.ErrQueueFull) {
			slow = append(slow, m)
		}
	}
	for _, m := range slow {
		m.conn.Abort() // what waits for it is lost
		r.leave(m, ": reads too slowly")
	}
}

func (r *room) names() string {
	var names []string
	for _, m := range r.members {
		names = append(names, m.name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// of is the member whose connection it is.
func of(conn net.Conn) *member { return conn.(*tcpio.Stream).Value().(*member) }

// tell writes a line.
func tell(conn *tcpio.Stream, text string) error {
	return tcpio.WriteMessage(conn, tcpio.Lines{}, []byte(text))
}
