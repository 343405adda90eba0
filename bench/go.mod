module github.com/momentics/hioload-ws/bench

go 1.23.0

require (
	github.com/lxzan/gws v1.8.9
	github.com/momentics/hioload-ws v0.0.0
	github.com/panjf2000/gnet/v2 v2.9.1
)

require (
	github.com/dolthub/maphash v0.1.0 // indirect
	github.com/klauspost/compress v1.17.9 // indirect
	github.com/panjf2000/ants/v2 v2.11.3 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	go.uber.org/zap v1.27.0 // indirect
	golang.org/x/sync v0.11.0 // indirect
	golang.org/x/sys v0.30.0 // indirect
	gopkg.in/natefinch/lumberjack.v2 v2.2.1 // indirect
)

replace github.com/momentics/hioload-ws => ../
