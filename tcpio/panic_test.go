package tcpio

import (
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
)

// Whatever a callback does, it costs its connection, is reported, and the loop and the others live.
func TestCallbacksThatDoNotReturn(t *testing.T) {
	bug := errors.New("a bug of the user's")
	ways := map[string]func(){"panics": func() { panic(bug) }, "exits": runtime.Goexit}
	for way, fall := range ways {
		// fail falls for a connection that says so.
		fail := func(first byte) {
			if first == '!' {
				fall()
			}
		}
		read := func(conn net.Conn) error {
			buf := make([]byte, 1)
			if _, err := conn.Read(buf); err != nil {
				return err
			}
			fail(buf[0])
			_, err := conn.Write(buf)
			return err
		}
		data := func(conn net.Conn, data []byte) error {
			fail(data[0])
			_, err := conn.Write(data)
			return err
		}
		wrap := func(conn net.Conn) (net.Conn, error) { return conn, nil }
		for name, options := range map[string]ListenerOptions{
			"OnConnEvent":          {OnConnEvent: read},
			"OnData":               {OnData: data},
			"OnConnEvent and Wrap": {OnConnEvent: read, Wrap: wrap},
			"OnData and Wrap":      {OnData: data, Wrap: wrap},
		} {
			t.Run(way+" in "+name, func(t *testing.T) {
				var log journal
				options.Logger = log.logger()
				s := serve(t, options)
				good, bad := s.dial(), s.dial()
				send(t, good, "1")
				expect(t, good, "1")
				send(t, bad, "!")
				if _, err := bad.Read(make([]byte, 1)); err == nil {
					t.Error("the connection lives")
				}
				var panicked *PanicError
				err := s.failed()
				if !errors.As(err, &panicked) || !strings.Contains(string(panicked.Stack), "panic_test.go") {
					t.Errorf("OnErrorEvent was told %v", err)
				}
				if way == "panics" {
					is(t, err, bug)
				}
				if closed := wait(t, "OnClose", s.closes); !errors.As(closed, &panicked) {
					t.Errorf("OnClose was told %v", closed)
				}
				send(t, good, "2")
				expect(t, good, "2")
				if n := s.Stats().Panics; n != 1 {
					t.Errorf("%d panics were counted", n)
				}
				if !strings.Contains(log.String(), "a callback panicked") {
					t.Errorf("the log says %q", log.String())
				}
				if len(s.errs) > 0 {
					t.Errorf("OnErrorEvent was also told %v", <-s.errs)
				}
			})
		}
	}
}

func TestOtherCallbacksThatPanic(t *testing.T) {
	wrap := func(conn net.Conn) (net.Conn, error) { return conn, nil }
	for name, options := range map[string]ListenerOptions{
		"OnOpen":               {OnConnEvent: echo, OnOpen: func(net.Conn) error { panic("OnOpen") }},
		"OnOpen and OnData":    {OnData: echoData, OnOpen: func(net.Conn) error { panic("OnOpen") }},
		"OnOpen and Wrap":      {OnData: echoData, OnOpen: func(net.Conn) error { panic("OnOpen") }, Wrap: wrap},
		"OnClose":              {OnConnEvent: echo, OnClose: func(net.Conn, error) { panic("OnClose") }},
		"OnClose and OnData":   {OnData: echoData, OnClose: func(net.Conn, error) { panic("OnClose") }},
		"OnClose and Wrap":     {OnData: echoData, OnClose: func(net.Conn, error) { panic("OnClose") }, Wrap: wrap},
		"OnErrorEvent":         {OnConnEvent: echo, OnErrorEvent: func(error) { panic("OnErrorEvent") }},
		"OnErrorEvent, exits":  {OnConnEvent: echo, OnErrorEvent: func(error) { runtime.Goexit() }},
		"OnClose, exits":       {OnConnEvent: echo, OnClose: func(net.Conn, error) { runtime.Goexit() }},
		"OnEnd":                {OnData: echoData, OnEnd: func(net.Conn) error { panic("OnEnd") }},
		"OnEnd and Wrap":       {OnData: echoData, OnEnd: func(net.Conn) error { panic("OnEnd") }, Wrap: wrap},
		"Wrap":                 {OnData: echoData, Wrap: func(net.Conn) (net.Conn, error) { panic("Wrap") }},
		"Wrap, Close":          {OnData: echoData, Wrap: func(c net.Conn) (net.Conn, error) { return panicky{c}, nil }},
		"Wrap, Read":           {OnConnEvent: echo, Wrap: unreadable},
		"Wrap, Read, OnData":   {OnData: echoData, Wrap: unreadable},
		"Wrap, Read, nothing":  {Wrap: unreadable},
		"Wrap, Read, exits":    {OnConnEvent: echo, Wrap: mute},
		"Wrap, exits":          {OnData: echoData, Wrap: exiting},
		"OnClose, Wrap, exits": {OnData: echoData, OnClose: func(net.Conn, error) { runtime.Goexit() }, Wrap: wrap},
	} {
		t.Run(name, func(t *testing.T) {
			var log journal
			options.Logger = log.logger()
			s := serve(t, options)
			before := descriptors(t)
			for range 3 { // the loop goes on
				client := s.dial()
				client.CloseWrite()
				client.Read(make([]byte, 1))
				client.Close()
			}
			until(t, "the connections are gone", func() bool {
				st := s.Stats()
				return st.Accepted == 3 && st.Conns == 0 && st.Panics == 3
			})
			if !strings.Contains(log.String(), "a callback panicked") {
				t.Errorf("the log says %q", log.String())
			}
			until(t, "no descriptor is left", func() bool { return descriptors(t) <= before })
		})
	}
}

// panicky is a layer that cannot be closed.
type panicky struct{ net.Conn }

func (p panicky) Close() error { panic("Close") }

// broken is a layer that cannot be read.
type broken struct {
	net.Conn
	fall func()
}

func (b broken) Read([]byte) (int, error) {
	b.fall()
	return 0, nil
}

// unreadable is a Wrap whose Read panics.
func unreadable(conn net.Conn) (net.Conn, error) { return broken{conn, func() { panic("Read") }}, nil }

// mute is a Wrap whose Read ends its goroutine.
func mute(conn net.Conn) (net.Conn, error) { return broken{conn, runtime.Goexit}, nil }

// exiting is a Wrap that ends its goroutine.
func exiting(net.Conn) (net.Conn, error) {
	runtime.Goexit()
	return nil, nil
}
