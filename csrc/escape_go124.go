//go:build go1.24

package csrc

// No function of the core keeps a pointer that it is given (hl_loop_post copies), and none calls back into Go. Telling
// cgo so keeps arguments off the heap. Go 1.23 does not know these directives; here they hold for the whole package.

/*
#cgo noescape hl_slab_make
#cgo nocallback hl_slab_make
#cgo noescape hl_slab_free
#cgo nocallback hl_slab_free
#cgo noescape hl_slab_get_on
#cgo nocallback hl_slab_get_on
#cgo noescape hl_slab_ease
#cgo nocallback hl_slab_ease
#cgo noescape hl_slab_trim
#cgo nocallback hl_slab_trim
#cgo noescape hl_slab_arenas
#cgo nocallback hl_slab_arenas
#cgo noescape hl_slab_node_stats_read
#cgo nocallback hl_slab_node_stats_read
#cgo noescape hl_slab_stats_read
#cgo nocallback hl_slab_stats_read
#cgo noescape hl_block_unref
#cgo nocallback hl_block_unref
#cgo noescape hl_loop_new
#cgo nocallback hl_loop_new
#cgo noescape hl_loop_free
#cgo nocallback hl_loop_free
#cgo noescape hl_loop_shared
#cgo nocallback hl_loop_shared
#cgo noescape hl_loop_backend
#cgo nocallback hl_loop_backend
#cgo noescape hl_go_backend_error
#cgo nocallback hl_go_backend_error
#cgo noescape hl_loop_features
#cgo nocallback hl_loop_features
#cgo noescape hl_loop_enter
#cgo nocallback hl_loop_enter
#cgo noescape hl_go_reserve
#cgo nocallback hl_go_reserve
#cgo noescape hl_loop_cancel
#cgo nocallback hl_loop_cancel
#cgo noescape hl_go_post
#cgo nocallback hl_go_post
#cgo noescape hl_loop_wake
#cgo nocallback hl_loop_wake
#cgo noescape hl_loop_stats_read
#cgo nocallback hl_loop_stats_read
#cgo noescape hl_fd_pollable
#cgo nocallback hl_fd_pollable
#cgo noescape hl_deflate_config_valid
#cgo nocallback hl_deflate_config_valid
#cgo noescape hl_deflate_cost
#cgo nocallback hl_deflate_cost
#cgo noescape hl_deflate_once
#cgo nocallback hl_deflate_once
*/
import "C"
