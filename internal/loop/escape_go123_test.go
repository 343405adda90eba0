//go:build !go1.24

package loop

// noescape: cgo cannot be told that arguments of the core's functions do not escape.
const noescape = false
