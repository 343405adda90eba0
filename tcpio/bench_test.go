package tcpio

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"testing"
)

// BenchmarkEcho is a message of 64 bytes at a time on each of a few connections: with the readiness of OnConnEvent and
// two system calls per message in Go, with OnData, and, for comparison, with package net and a goroutine for each.
func BenchmarkEcho(b *testing.B) { benchmark(b, 1) }

// BenchmarkPipelinedEcho has a hundred messages under way on each connection. They arrive together and are answered one
// by one: a system call for each, but for OnData, where it is one for all.
func BenchmarkPipelinedEcho(b *testing.B) { benchmark(b, 100) }

const benchmarkMessage = 64

// answer writes each message of data by itself.
func answer(conn net.Conn, data []byte) (err error) {
	for len(data) > 0 && err == nil {
		n := min(benchmarkMessage, len(data))
		_, err = conn.Write(data[:n])
		data = data[n:]
	}
	return err
}

func benchmark(b *testing.B, depth int) {
	buf := make([]byte, 64<<10) // of the one loop
	for _, server := range []struct {
		name  string
		start func() (dial func() *net.TCPConn)
	}{
		{"OnConnEvent", func() func() *net.TCPConn {
			return serve(b, ListenerOptions{OnConnEvent: func(conn net.Conn) error {
				n, err := conn.Read(buf)
				if err != nil {
					return err
				}
				return answer(conn, buf[:n])
			}}).dial
		}},
		{"OnData", func() func() *net.TCPConn { return serve(b, ListenerOptions{OnData: answer}).dial }},
		{"net", func() func() *net.TCPConn {
			return func() *net.TCPConn {
				conn, client := standardPair(b)
				go func() {
					buf := make([]byte, 64<<10)
					for {
						n, err := conn.Read(buf)
						if err != nil || answer(conn, buf[:n]) != nil {
							return
						}
					}
				}()
				return client
			}
		}},
	} {
		for _, conns := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/%d", server.name, conns), func(b *testing.B) {
				dial := server.start()
				fds := make([]int, conns)
				for i := range fds {
					fds[i] = descriptor(b, dial())
				}
				message := bytes.Repeat([]byte{'x'}, benchmarkMessage*depth)
				b.ReportAllocs()
				b.ResetTimer()
				var all sync.WaitGroup
				for _, fd := range fds {
					all.Add(1)
					go func() {
						defer all.Done()
						got := make([]byte, len(message))
						for i := 0; i < b.N; i += conns * depth {
							exchange(b, fd, message, got)
						}
					}()
				}
				all.Wait()
			})
		}
	}
}
