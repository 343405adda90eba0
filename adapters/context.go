package adapters

import (
	"sync"
	"time"

	"github.com/momentics/hioload-ws/api"
)

// contextFactory implements api.ContextFactory.
type contextFactory struct{}

// NewContextAdapter returns a factory of empty contexts.
func NewContextAdapter() api.ContextFactory { return contextFactory{} }

// NewContext returns an empty context.
func (contextFactory) NewContext() api.Context {
	return &contextStore{values: make(map[string]contextValue)}
}

// contextStore implements api.Context.
type contextStore struct {
	mu     sync.RWMutex
	values map[string]contextValue
}

type contextValue struct {
	value      any
	propagated bool
	expires    time.Time // zero: never
}

func (v contextValue) aliveAt(now time.Time) bool { return v.expires.IsZero() || now.Before(v.expires) }

func (s *contextStore) Set(key string, value any, propagated bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[key] = contextValue{value: value, propagated: propagated}
}

func (s *contextStore) Get(key string) (any, bool) {
	v, ok := s.lookup(key)
	return v.value, ok
}

func (s *contextStore) IsPropagated(key string) bool {
	v, ok := s.lookup(key)
	return ok && v.propagated
}

// lookup returns the value under key if it has one that has not expired.
func (s *contextStore) lookup(key string) (contextValue, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.values[key]
	if !ok || !v.aliveAt(time.Now()) {
		return contextValue{}, false
	}
	return v, true
}

func (s *contextStore) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, key)
}

func (s *contextStore) Clone() api.Context {
	clone := &contextStore{values: make(map[string]contextValue)}
	now := time.Now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for key, v := range s.values {
		if v.propagated && v.aliveAt(now) {
			clone.values[key] = v
		}
	}
	return clone
}

func (s *contextStore) WithExpiration(key string, ttlNanos int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.values[key]; ok {
		v.expires = time.Now().Add(time.Duration(ttlNanos))
		s.values[key] = v
	}
}

func (s *contextStore) Keys() []string {
	now := time.Now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys := make([]string, 0, len(s.values))
	for key, v := range s.values {
		if v.aliveAt(now) {
			keys = append(keys, key)
		}
	}
	return keys
}
