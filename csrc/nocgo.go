//go:build !cgo

package csrc

// This file is compiled only when cgo is off, where it fails with the one line that tells what is missing.
var _ = hioload_ws_needs_cgo__set_CGO_ENABLED_1_and_install_a_C_compiler
