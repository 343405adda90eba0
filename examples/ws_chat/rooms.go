package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

const (
	maxName = 32   // characters
	maxText = 1000 // characters
)

// message is what the page gets. Without a sender it is the room's own.
type message struct {
	From string `json:"from,omitempty"`
	Text string `json:"text"`
}

// member is who a connection belongs to: its value.
type member struct {
	name  string
	topic string // of the room
}

// rooms are topics of the server: everybody in a room subscribes to one.
type rooms struct{ server *server.Server }

func (r rooms) events() protocol.Events {
	return protocol.Events{OnOpen: r.enter, OnMessage: r.say, OnClose: r.leave}
}

// enter runs when somebody has come.
func (r rooms) enter(c *protocol.WSConnection, request *http.Request) {
	m := member{
		name: request.URL.Query().Get("name"),
		// Escaped, a room's name is one level of a topic and no wildcard.
		topic: "rooms/" + url.QueryEscape(request.PathValue("room")),
	}
	if m.name == "" || utf8.RuneCountInString(m.name) > maxName {
		_ = c.CloseWith(protocol.ClosePolicyViolation, fmt.Sprintf("a name has 1 to %d characters", maxName))
		return
	}
	if err := c.Subscribe(m.topic); err != nil {
		_ = c.CloseWith(protocol.ClosePolicyViolation, "no such room")
		return
	}
	c.SetValue(m)
	r.tell(m.topic, message{Text: m.name + " has come"})
}

// say runs for each message.
func (r rooms) say(c *protocol.WSConnection, opcode byte, data []byte) {
	m, entered := c.Value().(member)
	if !entered {
		return // it is being closed
	}
	if opcode != protocol.OpcodeText || utf8.RuneCount(data) > maxText {
		_ = c.CloseWith(protocol.ClosePolicyViolation, fmt.Sprintf("a message is text of at most %d characters", maxText))
		return
	}
	r.tell(m.topic, message{From: m.name, Text: string(data)})
}

// leave runs when a connection has ended, however that came.
func (r rooms) leave(c *protocol.WSConnection, _ int, _ string) {
	if m, entered := c.Value().(member); entered {
		r.tell(m.topic, message{Text: m.name + " has left"})
	}
}

// tell publishes to a room: encoded once, however many are in it.
func (r rooms) tell(topic string, m message) {
	text, err := json.Marshal(m)
	if err == nil {
		_, err = r.server.Publish(topic, protocol.OpcodeText, text)
	}
	if err != nil {
		fmt.Println("Not told:", err)
	}
}
