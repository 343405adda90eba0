package adapters_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/client"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

// logLines is where a log is written to, a line at a time.
type logLines chan string

func (l logLines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// What a connection's life looks like in the log.
func TestSlogMiddleware(t *testing.T) {
	lines := make(logLines, 100)
	logger := slog.New(slog.NewJSONHandler(lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	next := func(want map[string]any) {
		t.Helper()
		line := <-lines
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s is %v, not %v, in %s", key, got[key], value, line)
			}
		}
		if got["remote"] == "" || got["remote"] == nil {
			t.Errorf("no remote in %s", line)
		}
	}
	config := server.DefaultConfig()
	config.ListenAddr = "127.0.0.1:0"
	config.Subprotocols = []string{"chat"}
	srv, err := server.NewServer(config, server.WithMiddleware(adapters.SlogMiddleware(logger)))
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()
	go srv.Run(api.HandlerFunc(func(data any) error {
		if message, ok := data.(api.Buffer); ok {
			defer message.Release()
			if string(message.Bytes()) == "gone" {
				return api.ErrTransportClosed
			}
			return errors.New("no such command")
		}
		return nil
	}))
	for _, end := range []struct {
		code  int
		level string
	}{{1000, "INFO"}, {1008, "WARN"}, {4000, "INFO"}} {
		c, _, err := client.Dial(context.Background(), "ws://"+srv.Addr().String()+"/room",
			&client.Options{Subprotocols: []string{"chat"}})
		if err != nil {
			t.Fatal(err)
		}
		next(map[string]any{"level": "INFO", "msg": "connection opened", "path": "/room", "subprotocol": "chat"})
		if end.code == 1000 {
			for _, text := range []string{"hello", "gone"} {
				if err := c.Send(protocol.OpcodeText, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			next(map[string]any{"level": "DEBUG", "msg": "message", "opcode": 1.0, "bytes": 5.0})
			next(map[string]any{"level": "ERROR", "msg": "handler failed", "error": "no such command"})
			next(map[string]any{"level": "DEBUG", "msg": "message", "bytes": 4.0})
			next(map[string]any{"level": "DEBUG", "msg": "handler failed"})
		}
		if err := c.CloseWith(end.code, "bye"); err != nil {
			t.Fatal(err)
		}
		next(map[string]any{"level": end.level, "msg": "connection closed", "code": float64(end.code), "reason": "bye"})
		<-c.Done()
	}
}
