module github.com/momentics/hioload-ws

go 1.23.0
