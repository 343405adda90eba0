package csrc

/*
#include "hl_loop.h"
*/
import "C"

import "unsafe"

// The Go structs that lie over C memory, checked against C's layout when this package is compiled: an index other than
// 0 into an array of one is a compile-time error. layout.c pins the same layouts for C.
var _ = [1]struct{}{}[(unsafe.Sizeof(Op{})-unsafe.Sizeof(C.hl_op{}))|
	(unsafe.Offsetof(Op{}.Handle)-unsafe.Offsetof(C.hl_op{}.handle))|
	(unsafe.Offsetof(Op{}.Data)-unsafe.Offsetof(C.hl_op{}.data))|
	(unsafe.Offsetof(Op{}.Len)-unsafe.Offsetof(C.hl_op{}.len))|
	(unsafe.Offsetof(Op{}.Block)-unsafe.Offsetof(C.hl_op{}.block))|
	(unsafe.Offsetof(Op{}.User)-unsafe.Offsetof(C.hl_op{}.user))|
	(unsafe.Offsetof(Op{}.Arg)-unsafe.Offsetof(C.hl_op{}.arg))|
	(unsafe.Offsetof(Op{}.Flags)-unsafe.Offsetof(C.hl_op{}.flags))|
	(unsafe.Offsetof(Op{}.Kind)-unsafe.Offsetof(C.hl_op{}.kind))|
	(unsafe.Offsetof(Op{}.Code)-unsafe.Offsetof(C.hl_op{}.code))]

var _ = [1]struct{}{}[(unsafe.Sizeof(Event{})-unsafe.Sizeof(C.hl_event{}))|
	(unsafe.Offsetof(Event{}.Handle)-unsafe.Offsetof(C.hl_event{}.handle))|
	(unsafe.Offsetof(Event{}.Data)-unsafe.Offsetof(C.hl_event{}.data))|
	(unsafe.Offsetof(Event{}.Len)-unsafe.Offsetof(C.hl_event{}.len))|
	(unsafe.Offsetof(Event{}.Block)-unsafe.Offsetof(C.hl_event{}.block))|
	(unsafe.Offsetof(Event{}.User)-unsafe.Offsetof(C.hl_event{}.user))|
	(unsafe.Offsetof(Event{}.Result)-unsafe.Offsetof(C.hl_event{}.result))|
	(unsafe.Offsetof(Event{}.Flags)-unsafe.Offsetof(C.hl_event{}.flags))|
	(unsafe.Offsetof(Event{}.Kind)-unsafe.Offsetof(C.hl_event{}.kind))|
	(unsafe.Offsetof(Event{}.Type)-unsafe.Offsetof(C.hl_event{}._type))]

var _ = [1]struct{}{}[(unsafe.Sizeof(Ring{})-unsafe.Sizeof(C.hl_ring{}))|
	(unsafe.Offsetof(Ring{}.Head)-unsafe.Offsetof(C.hl_ring{}.head))|
	(unsafe.Offsetof(Ring{}.Tail)-unsafe.Offsetof(C.hl_ring{}.tail))|
	(unsafe.Offsetof(Ring{}.Mask)-unsafe.Offsetof(C.hl_ring{}.mask))|
	(unsafe.Offsetof(Ring{}.Entries)-unsafe.Offsetof(C.hl_ring{}.entries))]

var _ = [1]struct{}{}[(unsafe.Sizeof(Shared{})-unsafe.Sizeof(C.hl_shared{}))|
	(unsafe.Offsetof(Shared{}.SQ)-unsafe.Offsetof(C.hl_shared{}.sq))|
	(unsafe.Offsetof(Shared{}.CQ)-unsafe.Offsetof(C.hl_shared{}.cq))|
	(unsafe.Offsetof(Shared{}.Mailbox)-unsafe.Offsetof(C.hl_shared{}.mailbox))|
	(unsafe.Offsetof(Mailbox{}.Letters)-unsafe.Offsetof(C.hl_mailbox{}.head))|
	(unsafe.Offsetof(Shared{}.Stage)-unsafe.Offsetof(C.hl_shared{}.stage))|
	(unsafe.Offsetof(Shared{}.StageUsed)-unsafe.Offsetof(C.hl_shared{}.stage_used))]

var _ = [1]struct{}{}[(unsafe.Sizeof(StreamStats{})-unsafe.Sizeof(C.hl_stream_stats{}))|
	(unsafe.Offsetof(StreamStats{}.Queued)-unsafe.Offsetof(C.hl_stream_stats{}.queued))|
	(unsafe.Offsetof(StreamStats{}.Received)-unsafe.Offsetof(C.hl_stream_stats{}.received))|
	(unsafe.Offsetof(StreamStats{}.Sent)-unsafe.Offsetof(C.hl_stream_stats{}.sent))|
	(unsafe.Offsetof(StreamStats{}.FramesReceived)-unsafe.Offsetof(C.hl_stream_stats{}.frames_received))|
	(unsafe.Offsetof(StreamStats{}.FramesSent)-unsafe.Offsetof(C.hl_stream_stats{}.frames_sent))|
	(unsafe.Offsetof(StreamStats{}.Posted)-unsafe.Offsetof(C.hl_stream_stats{}.posted))]

var _ = [1]struct{}{}[(unsafe.Sizeof(LoopStats{})-unsafe.Sizeof(C.hl_loop_stats{}))|
	(unsafe.Offsetof(LoopStats{}.Turns)-unsafe.Offsetof(C.hl_loop_stats{}.turns))|
	(unsafe.Offsetof(LoopStats{}.Messages)-unsafe.Offsetof(C.hl_loop_stats{}.messages))|
	(unsafe.Offsetof(LoopStats{}.Letters)-unsafe.Offsetof(C.hl_loop_stats{}.letters))|
	(unsafe.Offsetof(LoopStats{}.Accepted)-unsafe.Offsetof(C.hl_loop_stats{}.accepted))|
	(unsafe.Offsetof(LoopStats{}.Slots)-unsafe.Offsetof(C.hl_loop_stats{}.slots))|
	(unsafe.Offsetof(LoopStats{}.NoMem)-unsafe.Offsetof(C.hl_loop_stats{}.nomem))]

var _ = [1]struct{}{}[(unsafe.Sizeof(Block{})-unsafe.Sizeof(C.hl_block{}))|
	(unsafe.Offsetof(Block{}.refs)-unsafe.Offsetof(C.hl_block{}.refs))|
	(unsafe.Offsetof(Block{}.class)-unsafe.Offsetof(C.hl_block{}.cls))|
	(unsafe.Offsetof(Block{}.size)-unsafe.Offsetof(C.hl_block{}.size))|
	(unsafe.Offsetof(Block{}.node)-unsafe.Offsetof(C.hl_block{}.node))]

var _ = [1]struct{}{}[(unsafe.Sizeof(SlabStats{})-unsafe.Sizeof(C.hl_slab_stats{}))|
	(unsafe.Offsetof(SlabStats{}.Reserved)-unsafe.Offsetof(C.hl_slab_stats{}.reserved))|
	(unsafe.Offsetof(SlabStats{}.Limit)-unsafe.Offsetof(C.hl_slab_stats{}.limit))|
	(unsafe.Offsetof(SlabStats{}.Failures)-unsafe.Offsetof(C.hl_slab_stats{}.failures))|
	(unsafe.Offsetof(SlabStats{}.Returned)-unsafe.Offsetof(C.hl_slab_stats{}.returned))|
	(unsafe.Offsetof(SlabStats{}.Classes)-unsafe.Offsetof(C.hl_slab_stats{}.classes))|
	(unsafe.Offsetof(SlabClassStats{}.Gets)-unsafe.Offsetof(C.hl_slab_class_stats{}.gets))]

var _ = [1]struct{}{}[(unsafe.Sizeof(SlabNodeStats{})-unsafe.Sizeof(C.hl_slab_node_stats{}))|
	(unsafe.Offsetof(SlabNodeStats{}.Fallbacks)-unsafe.Offsetof(C.hl_slab_node_stats{}.fallbacks))|
	(unsafe.Offsetof(SlabNodeStats{}.BytesPlain)-unsafe.Offsetof(C.hl_slab_node_stats{}.bytes_plain))|
	(unsafe.Offsetof(SlabNodeStats{}.BytesTransparent)-unsafe.Offsetof(C.hl_slab_node_stats{}.bytes_transparent))|
	(unsafe.Offsetof(SlabNodeStats{}.BytesHuge)-unsafe.Offsetof(C.hl_slab_node_stats{}.bytes_huge))|
	(unsafe.Offsetof(SlabNodeStats{}.Classes)-unsafe.Offsetof(C.hl_slab_node_stats{}.classes))]
