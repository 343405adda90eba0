package protocol_test

import (
	"fmt"
	"io"
	"log"

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
