module github.com/momentics/hioload-ws/tests/differential

go 1.23.0

require (
	github.com/gorilla/websocket v1.5.3
	github.com/momentics/hioload-ws v0.0.0
)

replace github.com/momentics/hioload-ws => ../..
