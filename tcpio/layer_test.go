package tcpio

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// certificate makes one for this machine, and what trusts it.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
}

// handshake is a Wrap.
func handshake(config *tls.Config) func(conn net.Conn) (net.Conn, error) {
	return func(conn net.Conn) (net.Conn, error) {
		secure := tls.Server(conn, config)
		return secure, secure.Handshake()
	}
}

func TestTLS(t *testing.T) {
	server, client := certificate(t)
	for mode, options := range map[string]ListenerOptions{
		"OnConnEvent": {OnConnEvent: echo},
		"OnData":      {OnData: echoData},
		"goroutines": {OnOpen: func(conn net.Conn) error {
			go func() {
				io.Copy(conn, conn)
				conn.Close()
			}()
			return nil
		}},
	} {
		t.Run(mode, func(t *testing.T) {
			options.Wrap = handshake(server)
			s := serve(t, options)
			var all sync.WaitGroup
			for range 10 {
				base := s.dial()
				all.Add(1)
				go func() {
					defer all.Done()
					conn := tls.Client(base, client)
					message := text(300_000) // many records, more than any buffer of the layer holds
					go io.WriteString(conn, message)
					got := make([]byte, len(message))
					if _, err := io.ReadFull(conn, got); err != nil || string(got) != message {
						t.Errorf("the echo differs: %v", err)
					}
					if err := conn.CloseWrite(); err != nil {
						t.Error(err)
					}
					if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
						t.Errorf("read %q and %v, want close_notify", rest, err)
					}
					conn.Close()
				}()
			}
			all.Wait()
			for range 10 {
				if err := wait(t, "OnClose", s.closes); err != nil && err != io.EOF {
					t.Errorf("OnClose was told %v", err)
				}
			}
		})
	}
}

// Small reads see everything that one record has brought, though the socket has nothing more.
func TestLayerIsReadToItsEnd(t *testing.T) {
	server, client := certificate(t)
	pieces := make(chan string, 100)
	s := serve(t, ListenerOptions{Wrap: handshake(server), OnConnEvent: func(conn net.Conn) error {
		if _, ok := conn.(interface{ NetConn() net.Conn }).NetConn().(*tls.Conn); !ok {
			t.Errorf("NetConn of %T", conn)
		}
		if n, err := conn.Read(nil); n != 0 || err != nil {
			t.Errorf("reading nothing: %d, %v", n, err)
		}
		buf := make([]byte, 3)
		n, err := conn.Read(buf)
		pieces <- string(buf[:n])
		return err
	}})
	conn := tls.Client(s.dial(), client)
	send(t, conn, "abcdefgh")
	for _, want := range []string{"abc", "def", "gh"} {
		if got := wait(t, "an event", pieces); got != want {
			t.Errorf("read %q, want %q", got, want)
		}
	}
	conn.CloseWrite()
	if got := wait(t, "an event", pieces); got != "" {
		t.Errorf("read %q at the end", got)
	}
	if err := s.failed(); err != io.EOF {
		t.Error(err)
	}
}

func TestWrapFails(t *testing.T) {
	server, _ := certificate(t)
	mine := errors.New("mine")
	for name, wrap := range map[string]func(net.Conn) (net.Conn, error){
		"by itself":        func(net.Conn) (net.Conn, error) { return nil, mine },
		"TLS":              handshake(server),
		"returns nothing":  func(net.Conn) (net.Conn, error) { return nil, nil },
		"closes, succeeds": func(conn net.Conn) (net.Conn, error) { return conn, conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			opened := false
			s := serve(t, ListenerOptions{Wrap: wrap, OnData: echoData,
				OnOpen: func(net.Conn) error { opened = true; return nil }})
			client := s.dial()
			send(t, client, "this is no ClientHello")
			io.Copy(io.Discard, client)
			client.Close()
			until(t, "it is gone", func() bool { return s.Stats().Conns == 0 })
			if name != "closes, succeeds" {
				err := s.failed()
				if name == "by itself" && err != mine {
					t.Errorf("OnErrorEvent was told %v", err)
				}
				if opened || len(s.closes) > 0 {
					t.Error("OnOpen or OnClose was called")
				}
			}
		})
	}
}

// A callback's deadlines are its own: they end its Reads and Writes, and not the wait for the next event.
func TestLayerDeadlines(t *testing.T) {
	past := time.Unix(1, 0)
	conns := make(chan net.Conn, 1)
	s := serve(t, ListenerOptions{
		Wrap: func(conn net.Conn) (net.Conn, error) { return conn, nil },
		OnOpen: func(conn net.Conn) error {
			conns <- conn
			return nil
		},
		OnConnEvent: func(conn net.Conn) error {
			buf := make([]byte, 1)
			if _, err := conn.Read(buf); err != nil {
				return err
			}
			switch buf[0] {
			case 's':
				return conn.SetDeadline(past)
			case 'w':
				_, err := conn.Write(buf)
				is(t, err, os.ErrDeadlineExceeded)
				return conn.SetWriteDeadline(time.Time{})
			case 'r':
				_, err := conn.Read(buf)
				is(t, err, os.ErrDeadlineExceeded)
				conn.SetReadDeadline(time.Time{})
			case 'f':
				conn.SetReadDeadline(time.Now().Add(time.Hour))
				if _, err := conn.Read(buf); err != nil {
					return err
				}
			}
			_, err := conn.Write(buf)
			return err
		},
	})
	client := s.dial()
	send(t, client, "s")
	send(t, client, "w") // the deadline has passed, and the connection has been idle since
	send(t, client, "r")
	expect(t, client, "r")
	send(t, client, "f")
	send(t, client, "1")
	expect(t, client, "1")
	conn := wait(t, "OnOpen", conns)
	if err := conn.SetReadDeadline(past); err != nil { // from elsewhere, while nothing but the layer reads
		t.Error(err)
	}
	send(t, client, "r")
	expect(t, client, "r")
	if len(s.errs) > 0 {
		t.Errorf("OnErrorEvent was told %v", <-s.errs)
	}
}

// What lies beneath a layer is read by the layer.
func TestSetReadingBeneathLayer(t *testing.T) {
	for mode, options := range modes {
		if options.Wrap == nil {
			continue
		}
		t.Run(mode, func(t *testing.T) {
			options.Wrap = func(conn net.Conn) (net.Conn, error) {
				for _, on := range []bool{false, true} {
					err := conn.(*Conn).SetReading(on)
					var op *net.OpError
					if !errors.Is(err, ErrWrapped) || !errors.As(err, &op) {
						t.Errorf("SetReading(%v): %v", on, err)
					}
				}
				return conn, nil
			}
			client := serve(t, options).dial()
			send(t, client, "x")
			expect(t, client, "x")
		})
	}
}

const unfinished = "\x16\x03\x01\x00\xff" // a record that does not come

func TestWrapTakesTooLong(t *testing.T) {
	server, _ := certificate(t)
	s := serve(t, ListenerOptions{Wrap: handshake(server), OnData: echoData, HandshakeTimeout: soon})
	for range 3 {
		client := s.dial()
		send(t, client, unfinished)
		is(t, s.failed(), ErrHandshakeTimeout)
		io.Copy(io.Discard, client)
	}
	if len(s.errs) > 0 {
		t.Errorf("OnErrorEvent was also told %v", <-s.errs)
	}
}

// A client that does not finish its handshake holds up nobody.
func TestWrapIsOffTheLoop(t *testing.T) {
	server, client := certificate(t)
	s := serve(t, ListenerOptions{Wrap: handshake(server), OnData: echoData})
	send(t, s.dial(), unfinished)
	conn := tls.Client(s.dial(), client)
	send(t, conn, "hello")
	expect(t, conn, "hello")
}

// Shutdown lets each layer say goodbye.
func TestShutdownTLS(t *testing.T) {
	server, client := certificate(t)
	for mode, options := range map[string]ListenerOptions{
		"OnConnEvent": {OnConnEvent: echo},
		"OnData":      {OnData: echoData},
	} {
		t.Run(mode, func(t *testing.T) {
			options.Wrap = handshake(server)
			s := serve(t, options)
			conn := tls.Client(s.dial(), client)
			send(t, conn, "hello")
			expect(t, conn, "hello")
			done := make(chan error, 1)
			go func() { done <- s.Shutdown(patient(t)) }()
			expectEnd(t, conn) // with close_notify, or it were io.ErrUnexpectedEOF
			conn.Close()
			if err := wait(t, "Shutdown", done); err != nil {
				t.Error(err)
			}
		})
	}
}
