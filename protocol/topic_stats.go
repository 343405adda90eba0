package protocol

// TopicStats are the counters of an [Endpoint]'s topics. A message counts once for each connection that it was meant
// for, except where publications are counted.
type TopicStats struct {
	Subscriptions int64 // there are now
	Published     int64 // publications that the loops were told of, or that nobody had subscribed to
	Refused       int64 // publications that failed for want of room or memory
	Delivered     int64 // messages given to connections; what becomes of them there GetStats and UnsentOnClosing tell
	SlowClosed    int64 // connections closed because they were slow
	Dropped       int64 // messages given up: the oldest that waited, those of subscriptions that ended, too large ones
	Replaced      int64 // messages that gave way to later ones of their topic
}

func (e *Endpoint) topicStats() TopicStats {
	x := &e.topics
	stats := TopicStats{
		Subscriptions: x.subscriptions.Load(),
		Published:     x.published.Load(),
		Refused:       x.refused.Load(),
		SlowClosed:    x.slowClosed.Load(),
		Dropped:       x.dropped.Load(),
		Replaced:      x.replaced.Load(),
	}
	for _, s := range e.shards {
		stats.Delivered += s.topics.delivered.Load()
	}
	return stats
}
