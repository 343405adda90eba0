package tcpio

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestOptionsAreChecked(t *testing.T) {
	event := func(net.Conn) error { return nil }
	data := func(net.Conn, []byte) error { return nil }
	wrap := func(conn net.Conn) (net.Conn, error) { return conn, nil }
	for want, options := range map[string]*ListenerOptions{
		"nil options":                           nil,
		"IdleTimeout is -1s":                    {IdleTimeout: -time.Second},
		"ReadTimeout is -1s":                    {ReadTimeout: -time.Second},
		"WriteTimeout is -1s":                   {WriteTimeout: -time.Second},
		"HandshakeTimeout is -1s":               {HandshakeTimeout: -time.Second},
		"CloseTimeout is -1s":                   {CloseTimeout: -time.Second},
		"Loops is -1":                           {Loops: -1},
		"Loops is 5000, not between 1 and 1024": {Loops: 5000},
		"MaxConns is -1":                        {MaxConns: -1},
		"ReadBuffer is 511":                     {ReadBuffer: 511},
		"ReadBuffer is 4194305":                 {ReadBuffer: 4<<20 + 1},
		"WriteBuffer is -1":                     {WriteBuffer: -1},
		"MaxUnsent is -1":                       {MaxUnsent: -1},
		"MaxUnsent is 2047":                     {OnData: data, MaxUnsent: 2047},
		"MaxUnsent is 4096, not more than":      {OnData: data, MaxUnsent: 4096, WriteBuffer: 4096},
		"not more than WriteBuffer, 8192":       {OnData: data, MaxUnsent: 4096, WriteBuffer: 8192},
		"67108864, not more than WriteBuffer":   {OnData: data, WriteBuffer: 64 << 20},
		"both OnConnEvent and OnData":           {OnConnEvent: event, OnData: data},
		"there is a Framing without OnData":     {Framing: Lines{}, OnConnEvent: event},
		"OnEnd is set without OnData":           {OnEnd: event, OnConnEvent: event},
		"OnDrain, ReadBuffer":                   {OnDrain: event, OnConnEvent: event},
		"ReadBuffer, WriteBuffer":               {ReadBuffer: 1024, OnConnEvent: event},
		"WriteBuffer and MaxUnsent":             {WriteBuffer: 1024, OnConnEvent: event},
		"MaxUnsent are for a Stream":            {MaxUnsent: 1024, OnConnEvent: event},
		"are for a Stream: OnData without Wrap": {OnDrain: event, OnData: data, Wrap: wrap},
		"KeepAlive is 9h6m8s, more than 9h6m7s": {KeepAlive: 32768 * time.Second},
		"no Addr to listen on":                  {OnData: data},
		"EdgeTriggered is set, but":             {EdgeTriggered: true, OnData: data},
		"EdgeTriggered is set, but it is":       {EdgeTriggered: true, OnConnEvent: event, Wrap: wrap},
		"Lines.Max is -1":                       {OnData: data, Framing: Lines{Max: -1}},
		"LengthPrefix.Max is -1":                {OnData: data, Framing: LengthPrefix{Max: -1}},
		"LengthPrefix.Bytes is 3":               {OnData: data, Framing: LengthPrefix{Bytes: 3}},
		`no such Backend: "kqueue"`:             {Backend: "kqueue"},
		"missing port in address":               {Addr: "localhost"},
		"address 70000: invalid port":           {Addr: "127.0.0.1:70000"},
	} {
		_, err := Listen(options)
		if err == nil || !strings.HasPrefix(err.Error(), "tcpio: Listen: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, and should say %q", err, want)
		}
	}
}

// Whatever MaxUnsent is, reading pauses before Write fails.
func TestWriteBufferIsLessThanMaxUnsent(t *testing.T) {
	for unsent, want := range map[int]int{0: 1 << 20, 2048: 1024, 1 << 20: 1 << 19, 1 << 30: 1 << 20} {
		o := ListenerOptions{Addr: ":0", OnData: func(net.Conn, []byte) error { return nil }, MaxUnsent: unsent}
		if err := o.check(); err != nil || o.WriteBuffer != want {
			t.Errorf("MaxUnsent %d: WriteBuffer is %d, want %d; %v", unsent, o.WriteBuffer, want, err)
		}
	}
}

func TestListenFailsAndLeavesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	before := descriptors(t)
	_, err = Listen(&ListenerOptions{Addr: taken.Addr().String(), Loops: 4})
	is(t, err, syscall.EADDRINUSE)
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are left", after-before)
	}
}

// The caller's options are only read: they may serve for another listener.
func TestOptionsAreNotChanged(t *testing.T) {
	options := ListenerOptions{Addr: "127.0.0.1:0"}
	for range 2 {
		l, err := Listen(&options)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	if options.Loops != 0 || options.Logger != nil || options.CloseTimeout != 0 {
		t.Errorf("%+v", options)
	}
}

// Stats tells which backend is in use and, as the log does, why it is not the one that was asked for.
func TestBackendIsTold(t *testing.T) {
	for _, backend := range []string{"epoll", "io_uring"} {
		var log journal
		s := serve(t, ListenerOptions{Backend: backend, Logger: log.logger()})
		switch stats := s.Stats(); {
		case stats.Backend == backend && stats.BackendError == nil && log.String() == "":
		case stats.Backend == "epoll" && stats.BackendError != nil && strings.Contains(log.String(), "not to be had"):
		default:
			t.Errorf("asked for %s: %+v; log: %s", backend, stats, log.String())
		}
		s.Close()
		wait(t, "Start to return", s.ended)
		if stats := s.Stats(); stats.Backend != "" {
			t.Errorf("a closed listener uses %q", stats.Backend)
		}
	}
}
