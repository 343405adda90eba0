package client

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// certificate is one for 127.0.0.1 and example.com, with who vouches for it.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s.TLS.Certificates[0], pool
}

// tlsFront takes TLS off connections for the server at address.
func tlsFront(t testing.TB, address string, protocols []string) (front string, pool *x509.CertPool) {
	t.Helper()
	own, pool := certificate(t)
	config := &tls.Config{Certificates: []tls.Certificate{own}, NextProtos: protocols}
	front = listen(t, func(conn net.Conn) {
		secured := tls.Server(conn, config)
		if secured.Handshake() == nil {
			join(secured, address)
		}
	})
	return front, pool
}

// join copies between conn and the server at address until both have ended.
func join(conn net.Conn, address string) {
	far, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer far.Close()
	var both sync.WaitGroup
	both.Add(2)
	pass := func(to, from net.Conn) {
		defer both.Done()
		_, _ = io.Copy(to, from)
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	go pass(far, conn)
	go pass(conn, far)
	both.Wait()
}

// listen calls serve for each connection, which is closed behind it. All are gone when the test ends.
func listen(t testing.TB, serve func(net.Conn)) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	open := make(map[net.Conn]bool)
	var running sync.WaitGroup
	running.Add(1)
	go func() {
		defer running.Done()
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			running.Add(1)
			go func() {
				defer running.Done()
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for conn := range open {
			conn.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return ln.Addr().String()
}

// answering reads a request and answers what reply says, then holds the connection until the client ends it.
func answering(t testing.TB, reply func(*http.Request) string) (address string) {
	t.Helper()
	return listen(t, func(conn net.Conn) {
		reader := newReader(conn)
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, reply(request))
		_, _ = io.Copy(io.Discard, reader)
	})
}

func newReader(conn net.Conn) *bufio.Reader { return bufio.NewReader(conn) }
