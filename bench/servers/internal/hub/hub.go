// Package hub passes messages on to all members, the way the chat examples of gorilla/websocket and coder/websocket do:
// each member has a channel, and a goroutine that writes what comes out of it.
package hub

import "sync"

// queue is how many messages may wait for a member.
const queue = 256

// Hub is a set of members. Its zero value is empty; its methods are safe from any goroutine.
type Hub[M any] struct {
	mu      sync.Mutex
	members map[chan M]struct{}
}

// Join adds a member that writes messages with write, until leave is called. After write has failed they are dropped.
func (h *Hub[M]) Join(write func(M) error) (leave func()) {
	messages := make(chan M, queue)
	h.mu.Lock()
	if h.members == nil {
		h.members = map[chan M]struct{}{}
	}
	h.members[messages] = struct{}{}
	h.mu.Unlock()
	go func() {
		var err error
		for message := range messages {
			if err == nil {
				err = write(message)
			}
		}
	}()
	return func() {
		h.mu.Lock()
		delete(h.members, messages)
		h.mu.Unlock()
		close(messages)
	}
}

// Publish hands a message to all members. It waits for those with a full queue.
func (h *Hub[M]) Publish(message M) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for messages := range h.members {
		messages <- message
	}
}
