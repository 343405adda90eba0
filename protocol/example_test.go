package protocol_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// An echo handler. The bytes of a message may be sent after its buffer was released.
func ExampleWSConnection_SendFrame() {
	echo := api.HandlerFunc(func(data any) error {
		message, ok := data.(api.Buffer)
		if !ok {
			return nil // an open or close event
		}
		payload := message.Bytes()
		message.Release()
		conn := api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection)
		return conn.SendFrame(&protocol.WSFrame{
			IsFinal:    true,
			Opcode:     protocol.MessageOpcode(data), // text is answered with text
			PayloadLen: int64(len(payload)),
			Payload:    payload,
		})
	})
	fmt.Println(echo.Handle(api.OpenEvent{}))
	// Output: <nil>
}

// A goroutine that takes the messages of a connection by itself, here one that its open event has given it.
func ExampleWSConnection_RecvZeroCopy() {
	serve := func(conn *protocol.WSConnection) {
		for {
			messages, err := conn.RecvZeroCopy()
			if err == io.EOF {
				return // the peer has left
			}
			if err != nil {
				log.Print(err)
				return
			}
			for _, m := range messages {
				fmt.Printf("%s\n", m.Bytes())
				m.Release()
			}
		}
	}
	_ = api.HandlerFunc(func(data any) error {
		if event, ok := data.(api.OpenEvent); ok {
			conn := event.Conn.(*protocol.WSConnection)
			conn.SetHandler(nil)
			go serve(conn)
		}
		return nil
	})
}

func ExampleAcceptKey() {
	fmt.Println(protocol.AcceptKey("dGhlIHNhbXBsZSBub25jZQ==")) // the example of RFC 6455 section 1.3
	// Output: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
}

func ExampleReadHandshake() {
	request, size, err := protocol.ReadHandshake([]byte("GET /chat HTTP/1.1\r\nHost: example.com\r\n" +
		"Upgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" +
		"first frames"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(request.URL.Path, size)
	_, _, err = protocol.ReadHandshake([]byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"))
	fmt.Println(err)
	// Output:
	// /chat 154
	// protocol: handshake refused with 426: this is a WebSocket endpoint
}

// A chat of a kind: a function for each event, and a value that belongs to the connection.
func ExampleEvents() {
	_ = protocol.Events{
		OnOpen: func(c *protocol.WSConnection, r *http.Request) {
			c.SetValue(r.URL.Query().Get("name"))
		},
		OnMessage: func(c *protocol.WSConnection, opcode byte, data []byte) {
			if err := c.Send(opcode, data); errors.Is(err, protocol.ErrBackpressure) {
				_ = c.PauseReading() // no more questions until the answers have been read
			}
		},
		OnDrain: func(c *protocol.WSConnection) { _ = c.ResumeReading() },
		OnClose: func(c *protocol.WSConnection, code int, reason string) {
			log.Printf("%v has left: %d %s", c.Value(), code, reason)
		},
	} // to be given to Server.Run
}

// Sending from a goroutine that may wait for a slow peer, but not for ever.
func ExampleWSConnection_Write() {
	_ = func(c *protocol.WSConnection, rows <-chan []byte) error {
		for row := range rows {
			ctx, cancel := context.WithTimeout(c.Context(), 10*time.Second)
			err := c.Write(ctx, protocol.OpcodeText, row)
			cancel()
			if err != nil {
				return err // context.DeadlineExceeded: it has read nothing for 10 s
			}
		}
		return nil
	}
}

// An upload goes to a file and its digest back, however large it is.
func ExampleWSConnection_NextReader() {
	_ = func(ctx context.Context, c *protocol.WSConnection) error { // on a goroutine of its own
		for {
			_, upload, err := c.NextReader(ctx)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			digest := sha256.New()
			if _, err := io.Copy(digest, upload); err != nil {
				return err
			}
			if err := c.Write(ctx, protocol.OpcodeBinary, digest.Sum(nil)); err != nil {
				return err
			}
		}
	}
}

// A download leaves as it is read.
func ExampleWSConnection_NextWriter() {
	_ = func(ctx context.Context, c *protocol.WSConnection, file *os.File) error { // not on a loop
		w, err := c.NextWriter(ctx, protocol.OpcodeBinary)
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, file); err != nil {
			return errors.Join(err, w.Close()) // which ends the connection: half a file must not look whole
		}
		return w.Close()
	}
}
