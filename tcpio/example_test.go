package tcpio_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/momentics/hioload-ws/tcpio"
)

// talk connects to a listener, sends text, and prints what it answers until it closes.
func talk(listener *tcpio.Listener, text string) {
	conn, err := net.Dial("tcp", listener.GetListener().Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	io.WriteString(conn, text)
	conn.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(conn)
	if err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%s", answer)
}

// An echo server by readiness.
func Example() {
	buf := make([]byte, 4096) // one is enough: with one loop, callbacks run one at a time
	listener, err := tcpio.Listen(&tcpio.ListenerOptions{
		Addr: "127.0.0.1:0",
		OnConnEvent: func(conn net.Conn) error {
			n, err := conn.Read(buf)
			if err != nil {
				return err
			}
			_, err = conn.Write(buf[:n])
			return err
		},
		OnErrorEvent: func(err error) {
			if err != io.EOF {
				fmt.Println(err)
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	go talkThenClose(listener, "hello\n")
	listener.Start()
	// Output: hello
}

func talkThenClose(listener *tcpio.Listener, text string) {
	talk(listener, text)
	listener.Close()
}

// Lines are delivered one by one, however they were cut on their way.
func ExampleLines() {
	listener, err := tcpio.Listen(&tcpio.ListenerOptions{
		Addr:    "127.0.0.1:0",
		Framing: tcpio.Lines{Max: 1024},
		OnData: func(conn net.Conn, line []byte) error {
			answer := fmt.Sprintf("%d bytes: %s", len(line), strings.ToUpper(string(line)))
			return tcpio.WriteMessage(conn, tcpio.Lines{}, []byte(answer))
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	go talkThenClose(listener, "one\nthree\r\n")
	listener.Start()
	// Output:
	// 3 bytes: ONE
	// 5 bytes: THREE
}

// Connections may belong to goroutines that use them as they would any net.Conn.
func ExampleListenerOptions_goroutines() {
	listener, err := tcpio.Listen(&tcpio.ListenerOptions{
		Addr: "127.0.0.1:0",
		OnOpen: func(conn net.Conn) error {
			go func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(time.Minute))
				name, err := bufio.NewReader(conn).ReadString('\n')
				if err != nil {
					return
				}
				fmt.Fprintf(conn, "hello %s", name)
			}()
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	go talkThenClose(listener, "world\n")
	listener.Start()
	// Output: hello world
}

// State of the program's own goes with the connection.
func ExampleStream_SetValue() {
	type session struct{ messages int }
	listener, err := tcpio.Listen(&tcpio.ListenerOptions{
		Addr: "127.0.0.1:0",
		OnOpen: func(conn net.Conn) error {
			conn.(*tcpio.Stream).SetValue(new(session))
			return nil
		},
		Framing: tcpio.Lines{},
		OnData: func(conn net.Conn, _ []byte) error {
			s := conn.(*tcpio.Stream).Value().(*session)
			s.messages++
			_, err := fmt.Fprintf(conn, "line %d\n", s.messages)
			return err
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	go talkThenClose(listener, "a\nb\n")
	listener.Start()
	// Output:
	// line 1
	// line 2
}

// Shutdown lets connections finish, for as long as the context allows.
func ExampleListener_Shutdown() {
	listener, err := tcpio.Listen(&tcpio.ListenerOptions{
		Addr:        "127.0.0.1:0",
		IdleTimeout: time.Minute,
		OnData: func(conn net.Conn, data []byte) error {
			_, err := conn.Write(data)
			return err
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	go listener.Start()
	talk(listener, "hello\n")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := listener.Shutdown(ctx); err != nil {
		fmt.Println(err) // it took too long: the rest were closed at once
	}
	fmt.Println(listener.Stats().Conns, "connections are left")
	// Output:
	// hello
	// 0 connections are left
}

func ExampleWriteMessage() {
	var wire strings.Builder
	err := tcpio.WriteMessage(&wire, tcpio.LengthPrefix{Bytes: 2}, []byte("hello"))
	fmt.Printf("%q %v\n", wire.String(), err)
	// Output: "\x00\x05hello" <nil>
}
