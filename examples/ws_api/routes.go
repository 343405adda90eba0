package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

// changes is the topic that every new note is published to.
const changes = "notes"

// api serves notes in JSON.
type api struct {
	server *server.Server
	notes  *notes
}

// request is what comes over a WebSocket, and in the body of a POST.
type request struct {
	Text string `json:"text"`
}

const maxBody = 64 << 10 // bytes of a request

// failure is the answer to a request that failed.
type failure struct {
	Error string `json:"error"`
}

func routes(srv *server.Server, n *notes) {
	a := &api{srv, n}
	srv.Handle("GET /notes", http.HandlerFunc(a.list))
	srv.Handle("GET /notes/{id}", http.HandlerFunc(a.get))
	srv.Handle("POST /notes", http.HandlerFunc(a.post))
	srv.HandleWebSocket("GET /notes/watch", protocol.Events{OnOpen: a.watch, OnMessage: a.message})
	srv.Handle("GET /stats", http.HandlerFunc(a.stats))
}

func (a *api) list(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, a.notes.all()) }

func (a *api) get(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	found, ok := a.notes.find(id)
	if err != nil || !ok {
		answer(w, http.StatusNotFound, failure{"no such note"})
		return
	}
	answer(w, http.StatusOK, found)
}

func (a *api) post(w http.ResponseWriter, r *http.Request) {
	var asked request
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&asked)
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		answer(w, http.StatusRequestEntityTooLarge, failure{err.Error()})
		return
	} else if err != nil {
		answer(w, http.StatusBadRequest, failure{err.Error()})
		return
	}
	added, err := a.add(asked.Text)
	switch {
	case errors.Is(err, errFull):
		answer(w, http.StatusInsufficientStorage, failure{err.Error()})
	case err != nil:
		answer(w, http.StatusBadRequest, failure{err.Error()})
	default:
		w.Header().Set("Location", fmt.Sprintf("/notes/%d", added.ID))
		answer(w, http.StatusCreated, added)
	}
}

// add adds a note and tells everybody who watches.
func (a *api) add(text string) (note, error) {
	added, err := a.notes.add(text)
	if err != nil {
		return note{}, err
	}
	told, err := json.Marshal(added)
	if err != nil {
		return note{}, err
	}
	_, err = a.server.Publish(changes, protocol.OpcodeText, told)
	return added, err
}

// watch subscribes whoever has opened a WebSocket, and begins with all that is there.
func (a *api) watch(c *protocol.WSConnection, _ *http.Request) {
	if err := c.Subscribe(changes); err != nil {
		_ = c.CloseWith(protocol.CloseInternalServerErr, "")
		return
	}
	for _, n := range a.notes.all() {
		send(c, n)
	}
}

// message adds a note that comes over a WebSocket. Who has sent it hears of it like everybody else.
func (a *api) message(c *protocol.WSConnection, _ byte, data []byte) {
	var asked request
	if err := json.Unmarshal(data, &asked); err != nil {
		send(c, failure{err.Error()})
	} else if _, err := a.add(asked.Text); err != nil {
		send(c, failure{err.Error()})
	}
}

func (a *api) stats(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, a.server.GetControl().Stats())
}

// answer sends v as the body of an answer.
func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // fails when the client has gone
}

// send sends v over a WebSocket. One that reads too slowly for what it asked for loses the connection.
func send(c *protocol.WSConnection, v any) {
	if err := adapters.SendJSON(c, v); errors.Is(err, protocol.ErrBackpressure) {
		_ = c.CloseWith(protocol.ClosePolicyViolation, "too slow")
	}
}
