package main

import (
	"errors"
	"slices"
	"sync"
	"unicode/utf8"
)

// note is one of the notes.
type note struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
}

// Bounds.
const (
	maxNotes = 10000
	maxText  = 1000 // characters
)

var (
	errText = errors.New("a note has 1 to 1000 characters")
	errFull = errors.New("there are too many notes")
)

// notes are kept in memory. The zero value has none. All methods are safe from any goroutine.
type notes struct {
	mu   sync.Mutex
	last int
	list []note // in ascending order of ID
}

func (n *notes) add(text string) (note, error) {
	if text == "" || utf8.RuneCountInString(text) > maxText {
		return note{}, errText
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.list) == maxNotes {
		return note{}, errFull
	}
	n.last++
	added := note{ID: n.last, Text: text}
	n.list = append(n.list, added)
	return added, nil
}

// all returns a copy.
func (n *notes) all() []note {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]note{}, n.list...)
}

// find returns a copy of one note.
func (n *notes) find(id int) (found note, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, ok := slices.BinarySearchFunc(n.list, id, func(a note, id int) int { return a.ID - id })
	if !ok {
		return note{}, false
	}
	return n.list[at], true
}
