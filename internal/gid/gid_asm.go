//go:build (amd64 || arm64) && gc && !purego

package gid

func current() uintptr
