module github.com/momentics/hioload-ws/tests/nettest

go 1.23.0

require (
	github.com/momentics/hioload-ws v0.0.0
	golang.org/x/net v0.35.0
)

replace github.com/momentics/hioload-ws => ../..
